package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"
	"authsvc/internal/ldapname"
)

// checkGroups checks whether the base DNs of groups and the required groups exist.
func (s *target) checkGroups(ctx context.Context) finding {
	g := s.Logins.Groups
	for _, base := range g.BaseDNs {
		if f := s.checkBase(ctx, base); f.Mark == Failed {
			f.Remedy = strings.ReplaceAll(f.Remedy, "LDAP_BASE_DN", "LDAP_GROUP_BASE_DN")
			return f
		}
	}
	a, err := s.authenticator(s.conn)
	if err != nil {
		return fail("correct LDAP_GROUP_FILTER", "%v", err)
	}
	required, err := a.RequiredGroups(ctx)
	if err != nil {
		return fail("read the directory's log", "the search for the required groups failed: %v", err)
	}
	return judgeGroups(required)
}

// judgeGroups reports on the required groups.
func judgeGroups(required []auth.RequiredGroup) finding {
	var missing, several, otherNames []string
	for _, r := range required {
		switch {
		case len(r.DNs) == 0:
			missing = append(missing, r.Item)
		case len(r.DNs) > 1:
			several = append(several, fmt.Sprintf("%s: %s", r.Item, strings.Join(r.DNs, "; ")))
		case r.IsDN && ldapname.PermitDNKey(r.Item) != ldapname.PermitDNKey(r.DNs[0]):
			otherNames = append(otherNames, fmt.Sprintf("%s is %s in the directory", r.Item, r.DNs[0]))
		}
	}
	f := passGroups(required)
	switch {
	case len(missing) > 0 && len(missing) == len(required):
		return fail("correct LDAP_REQUIRED_GROUPS, or give the service identity read access to the groups in the directory",
			"none of the required groups exists or is visible, so no user may log in: %s", strings.Join(missing, "; "))
	case len(missing) > 0:
		f = warn("remove it from LDAP_REQUIRED_GROUPS, or give the service identity read access to it in the directory", "a required group does not exist or is not visible: %s", strings.Join(missing, "; "))
	case len(several) > 0:
		f = warn("write the DN of the intended group into LDAP_REQUIRED_GROUPS", "the name of a required group matches several entries, and the members of each may log in")
	case len(otherNames) > 0:
		f = warn("write it in LDAP_REQUIRED_GROUPS as the directory does", "a required group has another spelling in the directory")
	}
	f.Details = slices.Concat(several, otherNames)
	return f
}

// passGroups is the finding if nothing is wrong with them.
func passGroups(required []auth.RequiredGroup) finding {
	if len(required) == 0 {
		return pass("groups are looked up; none is required")
	}
	items := make([]string, len(required))
	for i, r := range required {
		items[i] = r.Item
	}
	return pass("every required group exists: %s", strings.Join(items, "; "))
}

// authenticator returns an Authenticator that uses the doctor's connection.
func (s *target) authenticator(search *conn) (*auth.Authenticator, error) {
	return auth.New(s.Logins, &directory{search: search}, discardLogins{})
}
