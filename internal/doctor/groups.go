package doctor

import (
	"context"
	"strings"

	"authsvc/internal/auth"
	"authsvc/ldappool"
)

// groups looks whether the places of groups and the required groups are there.
func (s *patient) groups(ctx context.Context) finding {
	g := s.Logins.Groups
	for _, base := range g.BaseDNs {
		if f := s.base(ctx, base); f.Mark == Failed {
			f.Remedy = strings.ReplaceAll(f.Remedy, "LDAP_BASE_DN", "LDAP_GROUP_BASE_DN")
			return f
		}
	}
	a, err := s.authenticator(s.conn)
	if err != nil {
		return ill("see LDAP_GROUP_FILTER", "%v", err)
	}
	missing, err := a.MissingGroups(ctx)
	switch {
	case err != nil:
		return ill("see the directory's log", "the required groups cannot be looked for: %v", err)
	case len(missing) > 0 && len(missing) == len(g.Required):
		return ill("correct LDAP_REQUIRED_GROUPS, or have the access rules show the groups to the service identity",
			"none of the required groups is there, so nobody may log in: %s", strings.Join(missing, "; "))
	case len(missing) > 0:
		return unwise("take it out of LDAP_REQUIRED_GROUPS, or have the access rules show it to the service identity", "a required group is not there: %s", strings.Join(missing, "; "))
	case len(g.Required) > 0:
		return well("every required group is there: %s", strings.Join(g.Required, "; "))
	}
	return well("groups are looked up; none is required")
}

// authenticator does logins' steps on connections of our own.
func (s *patient) authenticator(search *ldappool.Conn) (*auth.Authenticator, error) {
	return auth.New(s.Logins, &directory{search: search}, nobody{})
}
