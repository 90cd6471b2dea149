package dialect

import (
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// Verdict is what a directory says of an account or of a password.
type Verdict uint8

// The verdicts. From Locked to NotPermitted they are about an account.
const (
	NoVerdict Verdict = iota // it says nothing of either
	Accepted
	NoSuchEntry
	WrongPassword
	Locked
	Disabled
	AccountExpired
	PasswordExpired
	MustChange // the password, before it is of use
	NotPermitted
	Unavailable // the directory itself, for now
)

// Answer is what the answer to a user's bind means.
type Answer struct {
	Verdict        Verdict
	BeforePassword bool   // the directory says so whether the password is right or not
	Notice         string // something that an operator should look at
	SubCode        string // of the diagnostic message
	Policy         string // the password policy control's error by its name, as accountLocked
	Warning        Warning
	// NotCompared: the directory compared the password with none.
	NotCompared bool
}

// PasswordSeen reports whether the directory gives such an answer only to one who knows the
// password.
func (a Answer) PasswordSeen() bool {
	return a.Verdict == Accepted || a.Verdict >= Locked && a.Verdict <= NotPermitted && !a.BeforePassword
}

// Warning is what a user who was let in should know.
type Warning struct {
	Kind  WarningKind
	Count int64 // not negative
}

// WarningKind says what a Warning is about.
type WarningKind uint8

// The kinds of warnings.
const (
	NoWarning       WarningKind = iota
	PasswordExpires             // in Count seconds
	GraceLogins                 // the password has expired, and Count logins are left
)

// Judge says what the answer to a user's bind means (RFC 4511 section 4.2.2 and appendix A, the
// password policy controls, and the directory's own words). Only what speaks of this password or
// this account is a verdict. Its error is ErrControl.
func (d *Dialect) Judge(r ldappool.Result) (Answer, error) {
	p, err := readPolicy(r.Controls)
	var a Answer
	if err == nil {
		a = d.judge(r, p)
	}
	a.Policy = p.err.String()
	if d.subCode != nil {
		a.SubCode = d.subCode(r.Diagnostic)
	}
	return a, err
}

func (d *Dialect) judge(r ldappool.Result, p policy) Answer {
	if r.Code == ldap.LDAPResultSuccess {
		return p.judgeSuccess()
	}
	if d.refusal != nil {
		if a, ok := d.refusal(r); ok {
			return a
		}
	}
	if speaksOfAccounts(r.Code) {
		if a, ok := p.judgeError(); ok {
			a.BeforePassword = a.BeforePassword || d.policyBeforePassword
			return a
		}
	}
	switch r.Code {
	case ldap.LDAPResultInvalidCredentials:
		if p.expired && !d.policyBeforePassword {
			return Answer{Verdict: PasswordExpired}
		}
		return Answer{Verdict: WrongPassword}
	case ldap.LDAPResultInappropriateAuthentication: // the entry has no password at all
		return Answer{Verdict: WrongPassword, NotCompared: true}
	case ldap.LDAPResultNoSuchObject:
		return Answer{Verdict: NoSuchEntry, NotCompared: true}
	}
	return Answer{}
}

// speaksOfAccounts reports whether a result code may come with the password policy control's
// verdict on an account. The draft has invalidCredentials (section 8.1); 389 DS sends 53 and 19,
// and others 50.
func speaksOfAccounts(code uint16) bool {
	switch code {
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights:
		return true
	}
	return false
}

// PolicyControls are the controls of a user's bind that asks for the password policy. They are not
// critical: a directory that does not know one must ignore it (RFC 4511 section 4.1.11), and AD
// answers a critical one with something that is no bind response.
func PolicyControls() []ldappool.Control { return policyRequest }

var policyRequest = []ldappool.Control{{OID: PolicyOID}}

// PolicyOID is that of the password policy control (draft-behera-ldap-password-policy-10 section
// 6).
const PolicyOID = ldap.ControlTypeBeheraPasswordPolicy
