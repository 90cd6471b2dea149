package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// errDecoy is the cause of a refused login of the decoy itself.
var errDecoy = errors.New("the entry is AUTH_UNIFORM_DECOY_DN, which must never log in")

// isDecoy reports whether a DN is the decoy's. It refuses, so it is coarser than the equality of
// any directory.
func (a *Authenticator) isDecoy(dn string) bool {
	if a.cfg.DecoyDN == "" {
		return false
	}
	return ldapname.SameDN(ldapname.CountKey(a.cfg.DecoyDN), ldapname.CountKey(dn))
}

// passwordNotCompared reports whether the directory gave, or was asked for, a verdict without
// comparing the password: the name has no entry, or its account is refused before that. If a
// directory answers an unknown DN with invalidCredentials, nothing shows it.
func passwordNotCompared(r Result) bool {
	switch {
	case r.Outcome == OK || !r.Outcome.IsVerdict() || r.PasswordSeen:
		return false
	case r.Outcome != InvalidPassword || !r.Bind.Answered:
		return true
	}
	return r.Bind.NotCompared
}

// needsDecoy reports whether a login that has come to r must compare the password with the decoy's.
func (l *login) needsDecoy(r Result) bool {
	return l.clock != nil && l.cfg.DecoyDN != "" && passwordNotCompared(r)
}

// compareWithDecoy makes the directory compare the password with the decoy's after it has compared
// it with no other, so that names with and without an entry cost it the same. Of the answer only
// time and faults count: a fault is a fault as for a name with an entry, and no other answer
// changes the verdict. unanswered is as tryPassword has it.
func (l *login) compareWithDecoy(ctx context.Context) (notice string, unanswered bool, err error) {
	before := l.server
	r, unanswered := l.tryPassword(ctx, l.cfg.DecoyDN)
	wrongDN := r.Bind.Answered && r.Bind.Code == ldap.LDAPResultInvalidDNSyntax
	if r.Outcome.IsFault() && !wrongDN {
		return "", unanswered, end(Result{Outcome: r.Outcome, RetryAfter: r.RetryAfter, Bind: r.Bind, Cause: fmt.Errorf("bind as the decoy: %w", r.Cause)})
	}
	l.decoyAnswered = true
	if before != "" { // that one decided
		l.server = before
	}
	if r.Outcome != InvalidPassword {
		notice = fmt.Sprintf("the bind as AUTH_UNIFORM_DECOY_DN ended with %s instead of a wrong password: run authsvc check", r.Outcome.Code())
	}
	return notice, unanswered, nil
}

// ProbeDecoy binds as the decoy with a random password and returns what that means. compared
// reports whether the directory compared the password with one, as it should.
func (a *Authenticator) ProbeDecoy(ctx context.Context) (r Result, compared bool) {
	l := &login{Authenticator: a, password: rand.Text()}
	r, _ = l.tryPassword(ctx, a.cfg.DecoyDN)
	r.Phases = l.phases
	return r, r.Outcome == InvalidPassword && !passwordNotCompared(r)
}
