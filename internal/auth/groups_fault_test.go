package auth_test

import (
	"slices"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// answersGroup answers each search for an attribute with code and an entry that has these
// attributes. If entry is nil, it answers without an entry.
func answersGroup(attribute string, code uint16, entry map[string][]string) hook {
	return func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if req.Op != ldaptest.OpSearch || !slices.Contains(req.Attributes, attribute) {
			return false
		}
		if entry == nil {
			c.ReplySearch(req, code)
			return true
		}
		c.ReplySearch(req, code, ldaptest.Entry{DN: req.DN, Attributes: entry})
		return true
	}
}

// isAD answers what h answers, and otherwise as the root DSE and the partitions of a domain.
func isAD(h hook) hook {
	root := answersGroup("defaultNamingContext", 0, map[string][]string{"defaultNamingContext": {ldaptest.BaseDN}, "configurationNamingContext": {"CN=Configuration," + ldaptest.BaseDN}})
	partitions := answersGroup("nETBIOSName", 0, map[string][]string{"nETBIOSName": {"EXAMPLE"}})
	return func(c *ldaptest.Conn, req ldaptest.Request) bool {
		return h(c, req) || root(c, req) || partitions(c, req)
	}
}

// TestGroups_UnusableAnswerIsAFault uses answers that no directory here can be made to
// give.
func TestGroups_UnusableAnswerIsAFault(t *testing.T) {
	t.Parallel()
	ad, ipa := inGroups("staff"), inGroups("staff")
	ad.Dialect, ad.Groups.Filter = named("ad"), ""
	ipa.Dialect, ipa.Groups.Filter, ipa.Groups.Nested = named("freeipa"), "", true
	wholeDomain := ad
	wholeDomain.Groups.BaseDNs = nil
	many := make([]string, 2001)
	for i := range many {
		many[i] = string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
	}
	for name, c := range map[string]struct {
		cfg   auth.Config
		hook  hook
		want  auth.Outcome
		cause string
	}{
		"no tokenGroups":              {ad, answersGroup("tokenGroups", 0, map[string][]string{}), auth.DirectoryUnavailable, "shows no tokenGroups"},
		"tokenGroups in parts":        {ad, answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups;range=0-1499": {"x"}}), auth.DirectoryUnavailable, "range retrieval"},
		"too many tokenGroups":        {ad, answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups": many}), auth.DirectoryUnavailable, "in more than 2000 groups"},
		"the user is gone":            {ad, answersGroup("tokenGroups", 0, nil), auth.DirectoryUnavailable, "the user's entry was deleted"},
		"the user may not be read":    {ad, answersGroup("tokenGroups", ldap.LDAPResultInsufficientAccessRights, nil), auth.DirectoryUnavailable, "(50)"},
		"the server is busy":          {ad, answersGroup("tokenGroups", ldap.LDAPResultBusy, nil), auth.DirectoryUnavailable, ""},
		"the time limit":              {ad, answersGroup("tokenGroups", ldap.LDAPResultTimeLimitExceeded, nil), auth.DirectoryTimeout, "(3)"},
		"memberOf in parts":           {ipa, answersGroup("memberOf", 0, map[string][]string{"MemberOf;Range=0-1499": {"x"}}), auth.DirectoryUnavailable, "range retrieval"},
		"a memberOf that is no DN":    {ipa, answersGroup("memberOf", 0, map[string][]string{"memberOf": {"staff"}}), auth.DirectoryUnavailable, "is not a DN"},
		"a memberOf that is a filter": {ipa, answersGroup("memberOf", 0, map[string][]string{"memberOf": {"x)(cn=staff,dc=org"}}), auth.DirectoryUnavailable, "is not a DN"},
		"no domain in the root DSE":   {wholeDomain, answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups": {"x"}}), auth.DirectoryUnavailable, "check LDAP_PRESET"},
		"no partitions": {wholeDomain, isAD(func(c *ldaptest.Conn, req ldaptest.Request) bool {
			return answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups": {"x"}})(c, req) || answersGroup("nETBIOSName", 0, nil)(c, req)
		}), auth.DirectoryUnavailable, "no crossRef"},
		"groups that the token lists and the domain does not have": {wholeDomain, isAD(answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups": {"x"}})), auth.NotPermitted, "in none of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, c.hook)
			p := newPool(t, s.URL())
			r := authenticate(t, c.cfg, p, "user0", "password0")
			requireOutcome(t, c.want, r)
			require.ErrorContains(t, r.Cause, c.cause)
			requireOutcome(t, auth.InvalidPassword, authenticate(t, c.cfg, p, "user0", "wrong"))
		})
	}
}

// TestADDomain_NamesAreReadOnlyWhenTheyAreNeeded: a login pays for them neither before nor after,
// unless it would be refused for them.
func TestADDomain_NamesAreReadOnlyWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	reads := make(chan string, 100)
	away := make(chan struct{})
	s, _ := newServer(t, isAD(func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if req.Op != ldaptest.OpSearch || !slices.Contains(req.Attributes, "defaultNamingContext") {
			return false
		}
		reads <- req.DN
		select {
		case <-away:
			return false
		default:
			c.ReplySearch(req, ldap.LDAPResultInsufficientAccessRights)
			return true
		}
	}))
	p := newPool(t, s.URL())
	cfg := byFilter()
	cfg.Dialect = named("ad")
	a, _ := newAuthenticator(t, cfg, p)
	try := func(username string) auth.Result {
		return a.Authenticate(t.Context(), auth.Credentials{Username: username, Password: "password0"})
	}
	requireOutcome(t, auth.OK, try("user0"))
	require.Empty(t, reads)
	requireOutcome(t, auth.DirectoryUnavailable, try(`EXAMPLE\user0`)) // no verdict: nobody knows whose domain that is
	requireOutcome(t, auth.DirectoryUnavailable, try("user0@example.org"))
	require.Len(t, reads, 2)
	close(away)
	for range 3 {
		requireOutcome(t, auth.InvalidUser, try(`EXAMPLE\user0`)) // who has no sAMAccountName here
		requireOutcome(t, auth.InvalidUser, try("user0@example.org"))
	}
	require.Len(t, reads, 3)
	requireOutcome(t, auth.InvalidUser, try(`OTHER\user0`))
	require.Len(t, reads, 4)
}
