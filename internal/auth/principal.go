package auth

import (
	"errors"

	"authsvc/internal/dialect"
)

// nameByPrincipal makes the bind name of what was typed.
func (l *login) nameByPrincipal() (identity, error) {
	err := dialect.CheckPrincipal(l.username)
	name := l.username + l.suffix
	switch {
	case errors.Is(err, dialect.ErrNotAccount):
		return identity{}, end(Result{Outcome: BadRequest, Detail: err.Error()})
	case err != nil:
		return identity{}, end(Result{Outcome: InvalidPassword, DN: name, Cause: err})
	}
	return identity{user: User{Username: l.username, DN: name}}, nil
}
