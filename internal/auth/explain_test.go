package auth_test

import (
	"context"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExplain_WorksWithoutAPassword and without a bind, a reservation or a line in the log.
func TestExplain_WorksWithoutAPassword(t *testing.T) {
	t.Parallel()
	s, _ := startTree(t)
	p := newPool(t, s.URL())
	for name, c := range map[string]struct {
		cfg      auth.Config
		username string
		want     auth.Outcome
		dn       string
	}{
		"of a user":              {byFilter(), "user0", auth.OK, ldaptest.UserDN(0)},
		"of nobody":              {byFilter(), "nobody", auth.InvalidUser, ""},
		"of a name that is two":  {byFilter(ldaptest.BaseDN), "twin", auth.InvalidUser, ""},
		"below no base":          {byFilter(absentDN), "user0", auth.DirectoryUnavailable, ""},
		"of a name that is none": {byFilter(), " user0", auth.BadRequest, ""},
		"by template":            {byTemplate(), "user0", auth.OK, ldaptest.UserDN(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &observer{}
			a, err := auth.New(c.cfg, p, o)
			require.NoError(t, err)
			r := a.Explain(context.Background(), c.username)
			assert.Equal(t, c.want, r.Outcome, "%v", r.Cause)
			assert.Equal(t, c.dn, r.DN)
			assert.False(t, r.Bind.Answered)
			assert.Empty(t, o.all())
		})
	}
	assert.Zero(t, s.LogCount(`BIND dn="`+ldaptest.UserDN(0)))
}

func TestExplain_NamesEachAttributeOfAFilterOnce(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][]string{
		"(uid={username})": {"uid"},
		"(&(objectClass=*)(|(UID={username})(uid={username}*)))": {"objectClass", "UID"},
		"(!(mail;lang-de>={username}))":                          {"mail"},
		"(member:1.2.840.113556.1.4.1941:={dn})":                 {"member"},
		"(uid={username}":                                        nil,
	} {
		assert.Equal(t, want, auth.FilterAttributes(filter), filter)
	}
}

func TestExplain_NamesTheAttributesComparedWithTheName(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][]string{
		"(uid={username})": {"uid"},
		"(&(objectClass=person)(|(UID={username})(mail={username}@example.org)(cn=*{username}))(member={dn}))": {"UID", "mail", "cn"},
		"(cn:caseExactMatch:={username})": {"cn"},
		"(uid=*)":                         nil,
		"(uid={username}":                 nil,
	} {
		assert.Equal(t, want, auth.NameAttributes(filter), filter)
	}
}
