package auth

import (
	"errors"
	"time"

	"authsvc/internal/dialect"
)

// checkState returns the warnings of the entry, or an error if the entry shows that the account is
// disabled. With a template there is no entry, so only the bind can show that.
func (l *login) checkState() ([]Warning, error) {
	entry := l.identity.entry
	if entry == nil {
		return nil, nil
	}
	switch disabled, err := l.cfg.Dialect.Disabled(entry); {
	case err != nil:
		return nil, fault(err)
	case disabled:
		return nil, asError(Result{Outcome: AccountDisabled, Cause: errDisabled})
	}
	return warnings(l.cfg.Dialect.Expiry(entry, time.Now())), nil
}

// errDisabled is the cause of a denied login with the right password.
var errDisabled = errors.New("the bind succeeded, but according to the entry the account is disabled")

// warnings converts a warning of the directory to those for the caller.
func warnings(w dialect.Warning) []Warning {
	switch w.Kind {
	case dialect.PasswordExpires:
		return []Warning{{Code: PasswordExpiring, Count: w.Count}}
	case dialect.GraceLogins:
		return []Warning{{Code: GraceLogins, Count: w.Count}}
	}
	return nil
}
