package ldappooltest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/ldappool"
	"authsvc/ldappool/ldappooltest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const alice = "uid=alice,ou=people,dc=example,dc=org"

// people is a directory with a service identity and two users.
func people() *ldappooltest.Directory {
	return ldappooltest.New(
		ldap.NewEntry("dc=example,dc=org", map[string][]string{"dc": {"example"}}),
		ldap.NewEntry("cn=service,dc=example,dc=org", map[string][]string{"cn": {"service"}, "userPassword": {"hidden"}}),
		ldap.NewEntry(alice, map[string][]string{"uid": {"alice"}, "mail": {"a@example.org", "alice@example.org"}, "userPassword": {"secret", "other"}}),
		ldap.NewEntry("uid=bob,ou=people,dc=example,dc=org", map[string][]string{"uid": {"bob"}, "userPassword": {"secret"}}),
	)
}

// on runs a test of a pool on the directory, in a bubble.
func on(t *testing.T, test func(t *testing.T, d *ldappooltest.Directory, p *ldappool.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := people()
		defer d.Close()
		cfg := d.Config()
		cfg.BindDN, cfg.BindPassword = "cn=service,dc=example,dc=org", "hidden"
		p, err := ldappool.New(cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close(context.Background())) }()
		test(t, d, p)
	})
}

func search(p *ldappool.Pool, base string, scope int, filter string, attributes ...string) (*ldappool.SearchResult, error) {
	return p.Search(context.Background(), ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, filter, attributes, nil))
}

func TestDirectory_AnswersBindsAndSearches(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, _ *ldappooltest.Directory, p *ldappool.Pool) {
		t.Helper()
		for password, code := range map[string]uint16{"secret": 0, "other": 0, "wrong": ldap.LDAPResultInvalidCredentials} {
			r, err := p.Bind(context.Background(), "UID=alice,ou=people,dc=example,dc=org", password)
			require.NoError(t, err)
			require.Equal(t, code, r.Code, password)
		}
		for _, c := range []struct {
			base   string
			scope  int
			filter string
			want   []string
		}{
			{"dc=example,dc=org", ldap.ScopeWholeSubtree, "(uid=ALICE)", []string{alice}},
			{"DC=example,dc=org", ldap.ScopeWholeSubtree, "(&(uid=*)(!(uid=bob)))", []string{alice}},
			{"dc=example,dc=org", ldap.ScopeWholeSubtree, "(|(mail=alice@example.org)(uid=nobody))", []string{alice}},
			{"dc=example,dc=org", ldap.ScopeSingleLevel, "(uid=alice)", nil},
			{"ou=people,dc=example,dc=org", ldap.ScopeSingleLevel, "(uid=alice)", []string{alice}},
			{"", ldap.ScopeWholeSubtree, "(uid=alice)", []string{alice}},
			{alice, ldap.ScopeBaseObject, "(uid=*)", []string{alice}},
			{"dc=example,dc=org", ldap.ScopeBaseObject, "(dc=*)", []string{"dc=example,dc=org"}},
			{"dc=example,dc=com", ldap.ScopeWholeSubtree, "(uid=*)", nil},
			{"dc=example,dc=org", ldap.ScopeWholeSubtree, "(uid=ali*)", nil}, // it knows no substrings
		} {
			r, err := search(p, c.base, c.scope, c.filter)
			require.NoError(t, err)
			require.Zero(t, r.Code)
			var found []string
			for _, e := range r.Entries {
				found = append(found, e.DN)
				require.Empty(t, e.GetAttributeValues("userPassword"))
			}
			require.Equal(t, c.want, found, "%+v", c)
		}
		r, err := search(p, "dc=example,dc=org", ldap.ScopeWholeSubtree, "(userPassword=*)")
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultSizeLimitExceeded, r.Code)
		require.Len(t, r.Entries, 2)
		r, err = search(p, alice, ldap.ScopeBaseObject, "(uid=*)", "MAIL")
		require.NoError(t, err)
		require.Equal(t, []string{"a@example.org", "alice@example.org"}, r.Entries[0].GetAttributeValues("mail"))
		require.Len(t, r.Entries[0].Attributes, 1)
	})
}

func TestDirectory_FailsAsDirectoriesDo(t *testing.T) {
	t.Parallel()
	on(t, func(t *testing.T, d *ldappooltest.Directory, p *ldappool.Pool) {
		t.Helper()
		bind := func() (*ldappool.BindResult, error) { return p.Bind(context.Background(), alice, "secret") }
		_, err := bind()
		require.NoError(t, err)

		d.Cut()
		_, err = bind()
		require.NoError(t, err, "another connection is made")
		_, err = search(p, alice, ldap.ScopeBaseObject, "(uid=*)")
		require.NoError(t, err)

		d.AnswerWith(ldap.LDAPResultBusy)
		r, err := bind()
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultBusy, r.Code)
		found, err := search(p, alice, ldap.ScopeBaseObject, "(uid=*)")
		require.NoError(t, err)
		require.EqualValues(t, ldap.LDAPResultBusy, found.Code)
		d.AnswerWith(0)

		d.Pause()
		_, err = bind()
		require.ErrorIs(t, err, ldappool.ErrTimeout)
		d.Resume()

		d.Stop()
		time.Sleep(time.Minute)
		_, err = bind()
		require.ErrorIs(t, err, ldappool.ErrUnavailable)
		d.Start()
		time.Sleep(time.Minute)
		_, err = bind()
		require.NoError(t, err)
	})
}

func TestDirectory_ClosedOneRefusesConnections(t *testing.T) {
	t.Parallel()
	d := people()
	d.Close()
	d.Close()
	_, err := d.Dial(t.Context(), "", "")
	require.Error(t, err)
}

func Example() {
	directory := ldappooltest.New(
		ldap.NewEntry("uid=alice,dc=example,dc=org", map[string][]string{"uid": {"alice"}, "userPassword": {"secret"}}))
	defer directory.Close()
	pool, err := ldappool.New(directory.Config())
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer func() { _ = pool.Close(ctx) }()

	directory.Cut() // as a firewall does; no login notices
	verdict, err := pool.Bind(ctx, "uid=alice,dc=example,dc=org", "secret")
	if err != nil {
		panic(err)
	}
	fmt.Println(ldap.LDAPResultCodeMap[verdict.Code])
	// Output: Success
}
