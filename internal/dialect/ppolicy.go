package dialect

import (
	"errors"
	"fmt"
	"math"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// policyError is what the password policy control has as its error
// (draft-behera-ldap-password-policy-10 section 6.2).
type policyError int8

// The errors that speak of an account. 3 to 8 are about changing a password and mean nothing at a
// bind.
const (
	noPolicyError    policyError = -1 // passwordExpired is 0
	passwordExpired  policyError = 0
	accountLocked    policyError = 1
	changeAfterReset policyError = 2
	lastPolicyError  policyError = 8
)

// none is a warning's number that was not sent.
const none = -1

// policy is what the password policy controls of an answer say, both kinds.
type policy struct {
	err     policyError
	expires int64 // seconds until the password does, or none
	grace   int64 // logins left with an expired one, or none
	expired bool  // the Netscape control 2.16.840.1.113730.3.4.4 is there
}

// ErrControl is the error of [Dialect.Judge] for a control with an invalid value. Nothing else in
// the same answer counts either.
var ErrControl = errors.New("invalid password policy control")

// readPolicy reads the controls of an answer to a bind: the control of
// draft-behera-ldap-password-policy-10 section 6.2, and Netscape's expired and expiring
// (draft-vchu-ldap-pwd-policy-00). A control without a value, or with an empty one, says nothing. A
// value that is not exactly what its draft defines is an error, which repeats nothing of the value.
// Nothing else in the same answer counts then, because a control may take back the success that it
// comes with. Other controls are skipped.
func readPolicy(controls []ldappool.Control) (policy, error) {
	p := policy{err: noPolicyError, expires: none, grace: none}
	seen, expiring := false, int64(none)
	for _, c := range controls {
		if len(c.Value) == 0 {
			continue
		}
		ok := true
		switch c.OID {
		case PolicyOID:
			ok = !seen && p.decode(c.Value)
			seen = true
		case ldap.ControlTypeVChuPasswordMustChange:
			ok = string(c.Value) == "0"
			p.expired = true
		case ldap.ControlTypeVChuPasswordWarning:
			ok = expiring == none
			if ok {
				expiring, ok = decodeSeconds(c.Value)
			}
		}
		if !ok {
			return policy{err: noPolicyError}, ErrControl
		}
	}
	if p.expires == none && p.grace == none {
		p.expires = expiring
	}
	return p, nil
}

// decode reads a PasswordPolicyResponseValue, and reports whether it is one:
//
//	SEQUENCE { warning [0] CHOICE { timeBeforeExpiration [0] INTEGER (0 .. maxInt),
//	                                graceAuthNsRemaining [1] INTEGER (0 .. maxInt) } OPTIONAL,
//	           error   [1] ENUMERATED { passwordExpired (0) .. passwordInHistory (8) } OPTIONAL }
func (p *policy) decode(value []byte) bool {
	const (
		sequence, warning, policyErr = 0x30, 0xa0, 0x81
		expires, grace               = 0x80, 0x81
	)
	body, rest, ok := berElement(value, sequence)
	if !ok || len(rest) > 0 {
		return false
	}
	if choice, rest, ok := berElement(body, warning); ok {
		body = rest
		number, rest, ok := berElement(choice, expires)
		if ok {
			p.expires, ok = berNumber(number)
		} else if number, rest, ok = berElement(choice, grace); ok {
			p.grace, ok = berNumber(number)
		}
		if !ok || len(rest) > 0 {
			return false
		}
	}
	if len(body) == 0 {
		return true
	}
	content, rest, ok := berElement(body, policyErr)
	if !ok || len(rest) > 0 {
		return false
	}
	n, ok := berNumber(content)
	if !ok || n > int64(lastPolicyError) {
		return false
	}
	p.err = policyError(n) //nolint:gosec // it is 8 at most
	return true
}

// berElement reads the element with that tag that b begins with. Its length is definite (RFC 4511
// section 5.1).
func berElement(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	length, b := int(b[1]), b[2:]
	if size := length - 0x80; size >= 0 {
		if size < 1 || size > 4 || size > len(b) {
			return nil, nil, false
		}
		length = 0
		for _, octet := range b[:size] {
			if length = length<<8 | int(octet); length > math.MaxUint16 { // before an int of 32 bits overflows
				return nil, nil, false
			}
		}
		b = b[size:]
	}
	if length > len(b) {
		return nil, nil, false
	}
	return b[:length], b[length:], true
}

// berNumber reads the content of an INTEGER (0 .. maxInt) (RFC 4511 section 4.1.1), in as few bytes
// as it needs (X.690 section 8.3.2).
func berNumber(content []byte) (n int64, ok bool) {
	if len(content) < 1 || len(content) > 4 || content[0] > 0x7f || len(content) > 1 && content[0] == 0 && content[1] < 0x80 {
		return none, false
	}
	for _, octet := range content {
		n = n<<8 | int64(octet)
	}
	return n, true
}

// decodeSeconds reads the decimal number of seconds that Netscape's expiring control has.
func decodeSeconds(value []byte) (n int64, ok bool) {
	for _, digit := range value {
		if digit < '0' || digit > '9' {
			return none, false
		}
		if n = n*10 + int64(digit-'0'); n > math.MaxInt32 {
			return none, false
		}
	}
	return n, true
}

// judgeSuccess says what the controls make of a bind that succeeded.
func (p policy) judgeSuccess() Answer {
	switch {
	case p.err == noPolicyError && p.expired && p.grace == none:
		return Answer{Verdict: MustChange} // as the Netscape control has it: in, but only to change it
	case p.err == noPolicyError:
		return Answer{Verdict: Accepted, Warning: p.warning()}
	}
	a, _ := p.judgeError()
	return a
}

// judgeError says what the control's error means; false if it does not speak of the account.
func (p policy) judgeError() (Answer, bool) {
	switch p.err {
	case passwordExpired:
		return Answer{Verdict: PasswordExpired}, true
	case accountLocked:
		return Answer{Verdict: Locked, BeforePassword: true}, true
	case changeAfterReset:
		return Answer{Verdict: MustChange}, true
	}
	return Answer{}, false
}

// warning is what comes with a login that is accepted.
func (p policy) warning() Warning {
	switch {
	case p.grace != none:
		return Warning{Kind: GraceLogins, Count: p.grace}
	case p.expires != none:
		return Warning{Kind: PasswordExpires, Count: p.expires}
	}
	return Warning{}
}

// String returns the error's name in the draft, or "" for noPolicyError.
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
