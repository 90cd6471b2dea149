package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// errDecoy is the cause of a rejected login as the decoy.
var errDecoy = errors.New("the entry is AUTH_UNIFORM_DECOY_DN, which must never log in")

// isDecoy reports whether a DN is the decoy's. It denies logins, so it must match at least what any
// directory considers equal.
func (a *Authenticator) isDecoy(dn string) bool {
	if a.cfg.DecoyDN == "" {
		return false
	}
	return ldapname.SameDN(ldapname.CountKey(a.cfg.DecoyDN), ldapname.CountKey(dn))
}

// passwordNotCompared reports whether the verdict was reached without comparing the password: the
// name has no entry, or its account is rejected before the comparison. It cannot detect that for a
// directory that answers an unknown DN with invalidCredentials.
func passwordNotCompared(r Result) bool {
	switch {
	case r.Outcome == OK || !r.Outcome.IsVerdict() || r.PasswordSeen:
		return false
	case r.Outcome != InvalidPassword || !r.Bind.Answered:
		return true
	}
	return r.Bind.NotCompared
}

// needsDecoy reports whether a login with the result r must compare the password with the decoy's.
func (l *login) needsDecoy(r Result) bool {
	return l.clock != nil && l.cfg.DecoyDN != "" && passwordNotCompared(r)
}

// compareWithDecoy makes the directory compare the password with the decoy's if it has not compared
// it with another, so that names with and without an entry take the same time. A fault is a fault,
// as for a name with an entry. No other answer changes the verdict. unanswered is that of
// tryPassword.
func (l *login) compareWithDecoy(ctx context.Context) (notice string, unanswered bool, err error) {
	before := l.server
	r, unanswered := l.tryPassword(ctx, l.cfg.DecoyDN)
	wrongDN := r.Bind.Answered && r.Bind.Code == ldap.LDAPResultInvalidDNSyntax
	if r.Outcome.IsFault() && !wrongDN {
		return "", unanswered, asError(Result{Outcome: r.Outcome, RetryAfter: r.RetryAfter, Bind: r.Bind, Cause: fmt.Errorf("bind as the decoy: %w", r.Cause)})
	}
	l.decoyAnswered = true
	if before != "" { // the server that decided
		l.server = before
	}
	if r.Outcome != InvalidPassword {
		notice = fmt.Sprintf("the bind as AUTH_UNIFORM_DECOY_DN ended with %s instead of a wrong password: run authsvc check", r.Outcome.Code())
	}
	return notice, unanswered, nil
}

// ProbeDecoy binds as the decoy with a random password and returns the result. compared reports
// whether the directory compared the password, as it should.
func (a *Authenticator) ProbeDecoy(ctx context.Context) (r Result, compared bool) {
	l := &login{Authenticator: a, password: rand.Text()}
	r, _ = l.tryPassword(ctx, a.cfg.DecoyDN)
	r.Phases = l.phases
	return r, r.Outcome == InvalidPassword && !passwordNotCompared(r)
}
