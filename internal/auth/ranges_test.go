package auth_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldapname"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// numbered are n values that no two of are one.
func numbered(prefix string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return values
}

// rangeDirectory answers searches for an attribute as Active Directory does: with at most so many
// values at a time, and in addition with the attribute without values.
type rangeDirectory struct {
	attribute string
	values    []string
	most      int
	entry     map[string][]string                 // what else the entry has
	change    func(asked int, name string) string // of the name that the answer has for a part; nil changes nothing
	asked     int                                 // parts, so far
}

// answer takes a search for the attribute.
func (r *rangeDirectory) answer(c *ldaptest.Conn, req ldaptest.Request) bool {
	if req.Op != ldaptest.OpSearch {
		return false
	}
	first := -1
	for _, asked := range req.Attributes {
		whole, part, ranged := ldapname.ParseRange(asked)
		if ldapname.SameDescription(whole, r.attribute) {
			first = 0
			if ranged {
				first = part.First
			}
		}
	}
	if first < 0 {
		return false
	}
	dn := ldaptest.UserDN(0)
	if req.Scope == ldap.ScopeBaseObject {
		dn = req.DN
	}
	attributes := map[string][]string{"uid": {"user0"}, r.attribute: nil}
	for name, values := range r.entry {
		attributes[name] = values
	}
	end, last := min(first+r.most, len(r.values)), ldapname.ToLast
	if end < len(r.values) {
		last = end - 1
	}
	name := r.attribute + ";range=" + ldapname.Range{First: first, Last: last}.String()
	r.asked++
	if r.change != nil {
		name = r.change(r.asked, name)
	}
	attributes[name] = r.values[min(first, end):end]
	c.ReplySearch(req, ldap.LDAPResultSuccess, ldaptest.Entry{DN: dn, Attributes: attributes})
	return true
}

// TestRanges_AreFetchedWhole: whatever the number of values, and however the attribute is asked
// for.
func TestRanges_AreFetchedWhole(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 1499, 1500, 1501, 3000, 4000} {
		for _, asked := range []string{"memberOf", "MEMBEROF", "memberOf:base64"} {
			t.Run(fmt.Sprintf("%d of %s", n, asked), func(t *testing.T) {
				t.Parallel()
				r := &rangeDirectory{attribute: "memberOf", values: numbered("cn=", n), most: 1500, entry: map[string][]string{"mail": {"user0@example.org"}}}
				s, _ := newServer(t, r.answer)
				cfg := byFilter()
				cfg.Attributes = []string{"mail", asked}
				got := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
				requireOutcome(t, auth.OK, got)
				want := slices.Clone(r.values)
				if strings.HasSuffix(asked, ":base64") {
					for i, v := range want {
						want[i] = base64Of(v)
					}
				}
				require.Equal(t, map[string][]string{"mail": {"user0@example.org"}, strings.TrimSuffix(asked, ":base64"): want}, got.User.Attributes)
				requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, newPool(t, s.URL()), "user0", "wrong"))
			})
		}
	}
}

// TestRanges_OfAnOptionAreFetchedWhole: an attribute with a language may come in parts too.
func TestRanges_OfAnOptionAreFetchedWhole(t *testing.T) {
	t.Parallel()
	r := &rangeDirectory{attribute: "description;lang-en", values: numbered("x", 25), most: 10}
	s, _ := newServer(t, r.answer)
	cfg := byFilter()
	cfg.Attributes = []string{"2.5.4.13;lang-en"}
	got := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
	requireOutcome(t, auth.OK, got)
	require.Equal(t, map[string][]string{"2.5.4.13;lang-en": r.values}, got.User.Attributes)
}

// TestRanges_ThatDoNotFitAreAFault: never a part, and never nothing.
func TestRanges_ThatDoNotFitAreAFault(t *testing.T) {
	t.Parallel()
	second := func(name string) func(int, string) string {
		return func(asked int, was string) string {
			if asked%2 == 0 {
				return name
			}
			return was
		}
	}
	always := func(name string) func(int, string) string { return func(int, string) string { return name } }
	twice := numbered("x", 19)
	twice = append(twice, "x3")
	for name, c := range map[string]struct {
		values []string
		most   int
		change func(int, string) string
		cause  string
	}{
		"the same part again":           {numbered("x", 20), 10, second("memberOf;range=0-9"), "does not fit"},
		"a gap":                         {numbered("x", 20), 10, second("memberOf;range=11-*"), "does not fit"},
		"another number of values":      {numbered("x", 30), 10, second("memberOf;range=10-15"), "does not fit"},
		"a range that cannot be read":   {numbered("x", 20), 10, second("memberOf;range=x"), "does not fit"},
		"a first part that is none":     {numbered("x", 20), 10, always("memberOf;range=10-19"), "does not fit"},
		"no second part":                {numbered("x", 20), 10, second("memberOf"), "not the rest"},
		"the second of another":         {numbered("x", 20), 10, second("member;range=10-*"), "not the rest"},
		"a value in two parts":          {twice, 10, nil, "changed while they were read"},
		"more parts than are asked for": {numbered("x", 100), 1, nil, "more than 50 searches"},
		"more than is kept":             {numbered(strings.Repeat("x", 10_000), 150), 20, nil, "exceed 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, asked := range []string{"memberOf", "memberOf:base64"} {
				s, _ := newServer(t, (&rangeDirectory{attribute: "memberOf", values: c.values, most: c.most, change: c.change}).answer)
				cfg := byFilter()
				cfg.Attributes = []string{asked}
				r := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
				requireOutcome(t, auth.DirectoryUnavailable, r)
				require.ErrorContains(t, r.Cause, "memberOf: ")
				require.ErrorContains(t, r.Cause, c.cause)
			}
		})
	}
}

// TestRanges_OfGroupsAreFetchedWhole: of the attribute that tells a user's groups, and of one that
// tells a group's names.
func TestRanges_OfGroupsAreFetchedWhole(t *testing.T) {
	t.Parallel()
	staff := "cn=staff," + ldaptest.GroupsDN
	t.Run("memberOf", func(t *testing.T) {
		t.Parallel()
		values := numbered("cn=role,cn=", 25)
		values[24] = staff
		r := &rangeDirectory{attribute: "memberOf", values: values, most: 10}
		s, _ := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
			return r.answer(c, req) || groupsAre(staff, map[string][]string{"cn": {"staff"}})(c, req)
		})
		cfg := inGroups("staff")
		cfg.Dialect, cfg.Groups.Filter, cfg.Groups.Nested = named("freeipa"), "", true
		got := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.OK, got)
		require.Equal(t, []string{"staff"}, got.User.Groups)
	})
	t.Run("cn", func(t *testing.T) {
		t.Parallel()
		names := numbered("name", 25)
		s, _ := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
			if slices.Contains(req.Attributes, "cn;range=10-*") {
				c.ReplySearch(req, 0, ldaptest.Entry{DN: req.DN, Attributes: map[string][]string{"cn;range=10-*": names[10:]}})
				return true
			}
			return groupsAre(staff, map[string][]string{"cn;range=0-9": names[:10]})(c, req)
		})
		got := authenticate(t, inGroups("name24"), newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.OK, got)
		require.Equal(t, []string{"staff"}, got.User.Groups)
		requireOutcome(t, auth.NotPermitted, authenticate(t, inGroups("name25"), newPool(t, s.URL()), "user0", "password0"))
	})
}

// groupsAre answers searches below the groups with one group.
func groupsAre(dn string, attributes map[string][]string) hook {
	return func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if req.Op != ldaptest.OpSearch || req.DN != ldaptest.GroupsDN || req.Scope == ldap.ScopeBaseObject {
			return false
		}
		c.ReplySearch(req, 0, ldaptest.Entry{DN: dn, Attributes: attributes})
		return true
	}
}

// TestRanges_AreFetchedAfterThePassword: a stranger costs the directory no search for them.
func TestRanges_AreFetchedAfterThePassword(t *testing.T) {
	t.Parallel()
	r := &rangeDirectory{attribute: "memberOf", values: numbered("x", 30), most: 10}
	s, _ := newServer(t, r.answer)
	cfg := byFilter()
	cfg.Attributes = []string{"memberOf"}
	requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, newPool(t, s.URL()), "user0", "wrong"))
	require.Equal(t, 1, r.asked)
}

// base64Of is a value in base64.
func base64Of(value string) string { return base64.StdEncoding.EncodeToString([]byte(value)) }
