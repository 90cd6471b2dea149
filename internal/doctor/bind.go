package doctor

import (
	"context"
	"fmt"

	"authsvc/internal/auth"
	"authsvc/internal/redact"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// judgeServiceBind reports on the service bind.
func (d *doctor) judgeServiceBind(ctx context.Context, server, at string, a attempt, step dialStep) finding {
	switch {
	case step.err == nil && d.external():
		return d.acceptedExternal(server)
	case step.err == nil:
		return pass("the directory accepts the bind of %s", d.Pool.BindDN)
	case step.result == nil:
		return d.explainNotLDAP(ctx, server, at, step.err)
	}
	if r := step.result; r.Code == ldap.LDAPResultUnwillingToPerform && d.refusesAnonymousRead(ctx, server, addrOf(server, at), r.Code) {
		f := fail("wait a few minutes and try again; exempt this machine from the server's ban, and keep AUTH_THROTTLE_FAILURES and "+
			"AUTH_THROTTLE_CLIENT_FAILURES below "+
			"the number of failures that the server allows: see docs/directories.md",
			"the server refuses every request of this machine, even to read its root DSE (result code %d): it may have banned this address after users' wrong passwords", r.Code)
		f.Details = d.refusal(*r).Details
		return f
	}
	if d.external() {
		return d.refusedExternal(ctx, server, at, a, *step.result)
	}
	return d.refusal(*step.result)
}

// refusal explains the result code of a service bind.
func (d *doctor) refusal(r ldappool.Result) finding {
	said := fmt.Sprintf("%s (%d)", ldap.LDAPResultCodeMap[r.Code], r.Code)
	if shown := redact.Diagnostic(r.Diagnostic, d.Pool.BindPassword); shown != "" {
		said += ": " + shown
	}
	who := d.Pool.BindDN
	verdict := auth.ExplainBind(d.Logins.Dialect, r)
	var f finding
	switch {
	case r.Code == ldap.LDAPResultStrongAuthRequired, r.Code == ldap.LDAPResultConfidentialityRequired:
		f = fail("set LDAP_START_TLS=true, or use ldaps:// in LDAP_URL", "the directory accepts no password without TLS")
	case verdict.Bind.SubCode != "" && verdict.Outcome == auth.InvalidUser:
		f = fail("correct LDAP_BIND_DN", "the account %s does not exist", who)
	case verdict.Outcome == auth.InvalidUser:
		f = fail("correct LDAP_BIND_DN: it must be the complete DN of an existing entry", "the entry %s does not exist", who)
	case verdict.Outcome == auth.InvalidPassword:
		f = fail("correct LDAP_BIND_PASSWORD (or the content of LDAP_BIND_PASSWORD_FILE) or LDAP_BIND_DN; the password may have been changed. Do not try often: the directory may count each attempt and lock the account",
			"the directory refuses the service identity %s: the password is wrong, or the entry does not exist (the directory's answer is the same)", who)
		if verdict.Bind.SubCode != "" {
			f.Finding = "the directory refuses the service identity " + who + ": the password is wrong"
		}
	case verdict.Outcome == auth.AccountLocked:
		f = fail("unlock the account in the directory, and find out which client uses a wrong password for it", "the service identity %s is locked", who)
	case verdict.Outcome == auth.AccountDisabled:
		f = fail("enable the account in the directory", "the service identity %s is disabled", who)
	case verdict.Outcome == auth.AccountExpired:
		f = fail("extend the account's expiry date in the directory", "the service identity %s has expired", who)
	case verdict.Outcome == auth.PasswordExpired, verdict.Outcome == auth.MustChangePassword:
		f = fail("set a new password that does not expire in the directory, and put it into LDAP_BIND_PASSWORD", "the password of the service identity %s has expired or must be changed", who)
	case verdict.Outcome == auth.NotPermitted:
		f = fail("allow the account to log on from this machine at any hour", "the service identity %s may not log on at this hour or from this machine", who)
	case r.Code == ldap.LDAPResultInvalidDNSyntax:
		f = fail("write LDAP_BIND_DN as a DN: cn=service,dc=example,dc=org", "the directory does not accept %q as a DN", who)
	case r.Code == ldap.LDAPResultUnwillingToPerform:
		f = fail("read the directory's log: it may be read-only, require TLS, have simple binds or the account disabled, "+
			"or ban this machine's address after wrong passwords",
			"the directory is unwilling to perform the bind of %s", who)
	case r.Code == ldap.LDAPResultBusy, r.Code == ldap.LDAPResultUnavailable:
		f = fail("wait and try again; check the directory's load", "the directory reports that it is busy or unavailable")
	default:
		f = fail("read the directory's log", "the directory rejects the bind of %s", who)
	}
	f.Details = []string{"the directory's answer: " + said}
	f.Finding += fmt.Sprintf(" (result code %d%s)", r.Code, data(verdict.Bind.SubCode))
	return f
}

// data formats AD's sub-code as AD does.
func data(subCode string) string {
	if subCode == "" {
		return ""
	}
	return ", data " + subCode
}
