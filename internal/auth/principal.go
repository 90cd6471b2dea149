package auth

import (
	"errors"

	"authsvc/internal/dialect"
)

// nameByPrincipal makes the bind name from the typed name.
func (l *login) nameByPrincipal() (identity, error) {
	err := dialect.CheckPrincipal(l.username)
	name := l.username + l.principalSuffix
	switch {
	case errors.Is(err, dialect.ErrNotAccount):
		return identity{}, asError(Result{Outcome: BadRequest, Detail: err.Error()})
	case err != nil:
		return identity{}, asError(Result{Outcome: InvalidPassword, DN: name, Cause: err})
	}
	return identity{user: User{Username: l.username, DN: name}}, nil
}
