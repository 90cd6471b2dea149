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
func (d *doctor) judgeServiceBind(ctx context.Context, server, at string, step dialStep) finding {
	switch {
	case step.err == nil:
		return pass("the directory lets %s in", d.Pool.BindDN)
	case step.result == nil:
		return d.explainNotLDAP(ctx, server, at, step.err)
	}
	if r := step.result; r.Code == ldap.LDAPResultUnwillingToPerform && d.refusesAnonymousRead(ctx, server, addrOf(server, at), r.Code) {
		f := fail("wait some minutes and try again; let the server make an exception of this machine, and keep AUTH_THROTTLE_FAILURES and "+
			"AUTH_THROTTLE_CLIENT_FAILURES below "+
			"what it allows: see docs/directories.md",
			"the server refuses whatever this machine asks, a read of its root DSE too (result code %d): it may ban this address after wrong passwords of users", r.Code)
		f.Details = d.refusal(*r).Details
		return f
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
		f = fail("set LDAP_START_TLS=true, or ldaps:// in LDAP_URL", "the directory takes no password without TLS")
	case verdict.Bind.SubCode != "" && verdict.Outcome == auth.InvalidUser:
		f = fail("correct LDAP_BIND_DN", "there is no account %s", who)
	case verdict.Outcome == auth.InvalidUser:
		f = fail("correct LDAP_BIND_DN: the whole DN of an entry that is there", "there is no entry %s", who)
	case verdict.Outcome == auth.InvalidPassword:
		f = fail("correct LDAP_BIND_PASSWORD (or what is in LDAP_BIND_PASSWORD_FILE) or LDAP_BIND_DN; the password may have been changed. Do not try often: each try counts against the account",
			"the directory refuses the service identity %s: the password is wrong, or there is no such entry, which it does not tell apart", who)
		if verdict.Bind.SubCode != "" {
			f.Finding = "the directory refuses the service identity " + who + ": the password is wrong"
		}
	case verdict.Outcome == auth.AccountLocked:
		f = fail("have it unlocked in the directory, and find out who tries wrong passwords of it", "the service identity %s is locked", who)
	case verdict.Outcome == auth.AccountDisabled:
		f = fail("have it enabled in the directory", "the service identity %s is disabled", who)
	case verdict.Outcome == auth.AccountExpired:
		f = fail("have it prolonged in the directory", "the service identity %s has expired", who)
	case verdict.Outcome == auth.PasswordExpired, verdict.Outcome == auth.MustChangePassword:
		f = fail("give it a new password, and one that does not run out, and put it into LDAP_BIND_PASSWORD", "the password of the service identity %s has run out or must be changed", who)
	case verdict.Outcome == auth.NotPermitted:
		f = fail("let it log on from this machine, at any hour", "the service identity %s may not log on now, or not from here", who)
	case r.Code == ldap.LDAPResultInvalidDNSyntax:
		f = fail("write LDAP_BIND_DN as a DN: cn=service,dc=example,dc=org", "%q is no DN to the directory", who)
	case r.Code == ldap.LDAPResultUnwillingToPerform:
		f = fail("see the directory's log: it may be read-only, want TLS, have switched off simple binds or the account, "+
			"or ban this machine's address after wrong passwords",
			"the directory is not willing to let %s bind", who)
	case r.Code == ldap.LDAPResultBusy, r.Code == ldap.LDAPResultUnavailable:
		f = fail("wait, and look at its load", "the directory says that it is busy or not ready")
	default:
		f = fail("see the directory's log", "the directory does not let %s in", who)
	}
	f.Details = []string{"it said: " + said}
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
