package auth

import (
	"errors"
	"strings"
)

// principalSuffix gives what follows the name in a template that makes a user principal name, {username}@example.org, which AD
// takes in place of a DN ([MS-ADTS] section 5.1.1.1.1). false where the template is none, and for other directories.
func (p Preset) principalSuffix(template string) (string, bool) {
	suffix, ok := strings.CutPrefix(template, placeholder)
	ok = ok && p == AD && len(suffix) > 1 && suffix[0] == '@' && !strings.ContainsAny(suffix[1:], `@\/={} `)
	return suffix, ok
}

// errPrincipal is what is told of a name that would make a bind name of another form: AD reads DOMAIN\name, name@domain,
// canonical names and service principals with slashes, and DNs.
var errPrincipal = errors.New(`username: must not contain @ \ / or =`)

// validPrincipal tells what is wrong with a name that a principal is to be made of.
func validPrincipal(name string) error {
	if strings.ContainsAny(AD.fold(name), `@\/=`) { // AD takes their wide forms for them
		return errPrincipal
	}
	return nil
}

// nameByPrincipal makes the bind name of what was typed, and tells whether the login goes on.
func (l *login) nameByPrincipal() bool {
	if err := validPrincipal(l.username); err != nil {
		l.end(Result{Outcome: BadRequest, Detail: err.Error()})
		return false
	}
	l.user = User{Username: l.username, DN: l.username + l.suffix}
	l.result.DN = l.user.DN
	if isComputerName(AD.fold(l.username)) {
		l.end(Result{Outcome: InvalidPassword, Cause: errComputer})
		return false
	}
	return true
}
