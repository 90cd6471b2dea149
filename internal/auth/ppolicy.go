package auth

import (
	"errors"
	"fmt"
	"math"

	"github.com/go-ldap/ldap/v3"
)

// policyError is what the password policy control has as its error (draft-behera-ldap-password-policy-10 section 6.2).
type policyError int8

// The errors that speak of an account. 3 to 8 are about changing a password and mean nothing at a bind.
const (
	noPolicyError    policyError = -1 // passwordExpired is 0
	passwordExpired  policyError = 0
	accountLocked    policyError = 1
	changeAfterReset policyError = 2
	lastPolicyError  policyError = 8
)

// none is a warning's number that was not sent.
const none = -1

// policyRequest asks for the password policy control. Not critical: a directory that does not know it must not care (RFC
// 4511 section 4.1.11), and AD answers a critical one with something that is no bind response. It is sent with every bind and
// never changed.
var policyRequest ldap.Control = ldap.NewControlBeheraPasswordPolicy()

// policy is what the password policy controls of an answer say, both kinds.
type policy struct {
	err     policyError
	expires int64 // seconds until the password does, or none
	grace   int64 // logins left with an expired one, or none
	expired bool  // the Netscape control 2.16.840.1.113730.3.4.4 is there
}

var errPolicy = errors.New("a password policy control that cannot be")

// readPolicy reads the controls of an answer to a bind: of draft-behera-ldap-password-policy-10 section 6.2, and Netscape's
// expired and expiring (draft-vchu-ldap-pwd-policy-00). It fails where one is not what it may be: what stands beside it says
// nothing either, for what is attached to a success may take it back. Controls that nobody asked for are skipped.
func readPolicy(controls []ldap.Control) (policy, error) {
	p := policy{err: noPolicyError, expires: none, grace: none}
	behera, expiring := 0, int64(none)
	for _, c := range controls {
		switch c := c.(type) {
		case *ldap.ControlBeheraPasswordPolicy:
			behera++
			p.err, p.expires, p.grace = policyError(c.Error), c.Expire, c.Grace
			if behera > 1 || p.err < noPolicyError || p.err > lastPolicyError ||
				!isCount(p.expires) || !isCount(p.grace) || p.expires != none && p.grace != none {
				return policy{err: noPolicyError}, fmt.Errorf("%w: %d of them, error %d, expires %d, grace %d", errPolicy, behera, c.Error, c.Expire, c.Grace)
			}
		case *ldap.ControlVChuPasswordMustChange:
			p.expired = true
		case *ldap.ControlVChuPasswordWarning:
			if expiring != none || c.Expire < 0 || !isCount(c.Expire) {
				return policy{err: noPolicyError}, fmt.Errorf("%w: password expiring in %d s", errPolicy, c.Expire)
			}
			expiring = c.Expire
		}
	}
	if p.expires == none && p.grace == none {
		p.expires = expiring
	}
	return p, nil
}

// isCount tells whether n is none, or an INTEGER (0 .. maxInt) of the draft and of RFC 4511 section 4.1.1.
func isCount(n int64) bool { return n >= none && n <= math.MaxInt32 }

// judgeSuccess says what the controls make of a bind that succeeded.
func (p policy) judgeSuccess() (verdict, bool) {
	switch {
	case p.err == noPolicyError && p.expired && p.grace == none:
		return verdict{outcome: MustChangePassword}, true // as the Netscape control has it: in, but only to change it
	case p.err == noPolicyError:
		return verdict{outcome: OK}, true
	}
	return p.judgeError()
}

// judgeError says what the control's error means; false where it does not speak of the account.
func (p policy) judgeError() (verdict, bool) {
	switch p.err {
	case passwordExpired:
		return verdict{outcome: PasswordExpired}, true
	case accountLocked:
		return verdict{outcome: AccountLocked, early: true}, true
	case changeAfterReset:
		return verdict{outcome: MustChangePassword}, true
	}
	return verdict{}, false
}

// warnings are what comes with a login that is OK.
func (p policy) warnings() []Warning {
	switch {
	case p.grace != none:
		return []Warning{{Code: GraceLogins, Count: p.grace}}
	case p.expires != none:
		return []Warning{{Code: PasswordExpiring, Count: p.expires}}
	}
	return nil
}

// String is the error's name in the draft, or "" where there is none.
func (e policyError) String() string {
	if e == noPolicyError {
		return ""
	}
	names := [...]string{"passwordExpired", "accountLocked", "changeAfterReset", "passwordModNotAllowed", "mustSupplyOldPassword",
		"insufficientPasswordQuality", "passwordTooShort", "passwordTooYoung", "passwordInHistory"}
	if e < 0 || int(e) >= len(names) {
		return fmt.Sprintf("policy error %d", int8(e))
	}
	return names[e]
}
