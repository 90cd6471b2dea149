package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// probeName is a name that no user has, for searches that only test whether searching works.
const probeName = "authsvc-readiness-check"

// errNoRequiredGroup means that no login can be permitted.
var errNoRequiredGroup = errors.New("none of the required groups exists or is visible to the service identity")

// Missing searches for the base DNs and the required groups, as the service identity and as logins
// do. missing is what the directory does not have or show, so that no login can succeed. err is a
// fault: the directory did not answer.
func (a *Authenticator) Missing(ctx context.Context) (missing, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	for _, base := range a.cfg.BaseDNs {
		l := &login{Authenticator: a}
		answer, err := l.search(ctx, base, a.filter.fill(probeName, probeName))
		if err != nil {
			return nil, err
		}
		if err := judgeSearch(answer.Result); err != nil {
			return missingOrFault("LDAP_BASE_DN", base, resultOf(err).Cause)
		}
	}
	if a.groups == nil {
		return nil, nil
	}
	for _, base := range a.groups.BaseDNs {
		if missing, err := a.missingGroupBase(ctx, base); missing != nil || err != nil {
			return missing, err
		}
	}
	required, err := a.RequiredGroups(ctx)
	if err != nil {
		return missingOrFault("LDAP_REQUIRED_GROUPS", strings.Join(a.groups.Required, ";"), err)
	}
	for _, r := range required {
		if len(r.DNs) > 0 {
			return nil, nil
		}
	}
	if len(required) > 0 {
		return fmt.Errorf("LDAP_REQUIRED_GROUPS: %q: %w", strings.Join(a.groups.Required, ";"), errNoRequiredGroup), nil
	}
	return nil, nil
}

// missingGroupBase is Missing for one base of groups.
func (a *Authenticator) missingGroupBase(ctx context.Context, base string) (missing, err error) {
	l := &login{Authenticator: a}
	scope, text := ldap.ScopeBaseObject, "(objectClass=*)"
	if a.groups.filter != "" {
		f, err := a.groups.filter.withValues(func(string) [][]byte { return nil })
		if err != nil {
			return nil, err
		}
		scope, text = ldap.ScopeWholeSubtree, f.fill("cn="+probeName+","+base, probeName)
	}
	answer, err := l.doSearch(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 1, 0, false, text, []string{"1.1"}, nil))
	if err != nil {
		return nil, err
	}
	if err := judgeSearch(answer.Result); err != nil {
		return missingOrFault("LDAP_GROUP_BASE_DN", base, resultOf(err).Cause)
	}
	return nil, nil
}

// missingOrFault returns the error of a lookup as missing if the directory answered it, and as a
// fault otherwise.
func missingOrFault(variable, value string, cause error) (missing, err error) {
	var answer *directoryError
	if !errors.As(cause, &answer) || answer.result.Code == ldap.LDAPResultTimeLimitExceeded || answer.result.Code == ldap.LDAPResultBusy ||
		answer.result.Code == ldap.LDAPResultUnavailable {
		return nil, cause
	}
	return fmt.Errorf("%s: %q: %w", variable, value, cause), nil
}
