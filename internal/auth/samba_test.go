package auth_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// oddGroup is a group's name with what filters and DNs take for their own, and umlauts.
const oddGroup = `Größe ,()*\ "x" + #1`

// byAD finds users of a Samba's domain as the preset ad does.
func byAD() auth.Config {
	return auth.Config{
		BaseDNs: []string{ldaptest.SambaBaseDN}, NameAttribute: "sAMAccountName", Dialect: named("ad"), Timeout: patience,
		Filter: "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))",
	}
}

// inADGroups is byAD with groups, one of which is required, if any is given.
func inADGroups(required ...string) auth.Config {
	cfg := byAD()
	cfg.Groups = auth.GroupConfig{Enabled: true, NameAttribute: "sAMAccountName", Required: required}
	return cfg
}

// newADPool makes a pool of connections to a Samba.
func newADPool(t testing.TB, s *ldaptest.Samba, change ...func(*ldappool.Config)) *ldappool.Pool {
	t.Helper()
	return newPool(t, s.URL(), append([]func(*ldappool.Config){func(c *ldappool.Config) {
		c.BindDN, c.BindPassword = ldaptest.SambaServiceDN, ldaptest.SambaServicePassword
	}}, change...)...)
}

// TestActiveDirectory_Logins logs in at a real Samba. The parts share it, since each start takes
// seconds.
func TestActiveDirectory_Logins(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	alice := s.AddUser("alice", "alice-secret", "userPrincipalName", "alice.long@mail.example.org")
	s.AddUser("bob", "bob-secret", "userPrincipalName", "bob@ad.example.org")
	s.AddUser("carol", "carol-secret") // has the implicit userPrincipalName alone
	s.AddUser("plain", "plain-secret", "userPrincipalName", "sam@mail.example.org")
	s.AddUser("noat", "noat-secret", "userPrincipalName", "bareupn")
	s.AddComputer("pc1", "pc1-secret")
	inner := s.AddGroup("inner", alice)
	outer := s.AddGroup("outer", inner)
	s.Modify(inner, "member", alice, outer) // a cycle
	odd := s.AddGroup("odd", alice)
	s.Modify(odd, "sAMAccountName", `odd-sam`)
	s.Modify(odd, "displayName", oddGroup)
	oddDN := s.AddGroupNamed(oddGroup, "odd-dn", alice)
	s.AddGroup("empty")
	p := newADPool(t, s)

	t.Run("names", func(t *testing.T) { t.Parallel(); testADNames(t, p) })
	t.Run("odd names", func(t *testing.T) { t.Parallel(); testADOddNames(t, p) })
	t.Run("filters", func(t *testing.T) { t.Parallel(); testADFilters(t, p) })
	t.Run("groups", func(t *testing.T) { t.Parallel(); testADGroups(t, p, outer, oddDN) })
	t.Run("prerequisites", func(t *testing.T) { t.Parallel(); testADMissing(t, p) })
}

// testADNames tries a name and its owner's password; an empty owner is an unknown user.
func testADNames(t *testing.T, p *ldappool.Pool) {
	t.Helper()
	for name, c := range map[string]struct{ typed, owner string }{
		"a sAMAccountName":                                      {"alice", "alice"},
		"a sAMAccountName in another case":                      {"ALICE", "alice"},
		"a userPrincipalName":                                   {"alice.long@mail.example.org", "alice"},
		"a userPrincipalName with the domain's suffix":          {"bob@ad.example.org", "bob"},
		"the implicit userPrincipalName":                        {"carol@ad.example.org", "carol"},
		"the implicit one of an account that has another":       {"alice@AD.Example.org", "alice"},
		"the domain and a backslash":                            {`AD\alice`, "alice"},
		"the domain in another case":                            {`ad\Alice`, "alice"},
		"another domain":                                        {`OTHER\alice`, ""},
		"no domain before the backslash":                        {`\alice`, ""},
		"nothing after the backslash":                           {`AD\`, ""},
		"the DNS name before the backslash":                     {`ad.example.org\alice`, ""},
		"two backslashes":                                       {`AD\AD\alice`, ""},
		"a userPrincipalName after the backslash":               {`AD\alice.long@mail.example.org`, ""},
		"a userPrincipalName without @ after the backslash":     {`AD\bareupn`, ""},
		"a userPrincipalName without @":                         {"bareupn", "noat"},
		"a userPrincipalName without @ and the domain's suffix": {"bareupn@ad.example.org", ""},
		"a suffix that is not the domain's":                     {"carol@mail.example.org", ""},
		"an account's name with a longer suffix":                {"carol@x.ad.example.org", ""},
		"nothing before the suffix":                             {"@ad.example.org", ""},
		"two @":                                                 {"carol@ad.example.org@ad.example.org", ""},
		"a star":                                                {"al*", ""},
		"a star after the backslash":                            {`AD\al*`, ""},
		"a star before the suffix":                              {"al*@ad.example.org", ""},
		"a filter after the backslash":                          {`AD\alice)(objectClass=*`, ""},
		"a computer":                                            {"pc1$", ""},
		"a computer with its domain":                            {`AD\pc1$`, ""},
		"a computer with its suffix":                            {"pc1$@ad.example.org", ""},
		"nobody":                                                {"nobody", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			owner, wrong := c.owner, auth.InvalidPassword
			if owner == "" {
				for _, who := range []string{"alice", "bob", "carol", "noat", "pc1"} {
					requireOutcome(t, auth.InvalidUser, authenticate(t, byAD(), p, c.typed, who+"-secret"))
				}
				return
			}
			r := authenticate(t, byAD(), p, c.typed, owner+"-secret")
			requireOutcome(t, auth.OK, r)
			require.Equal(t, owner, r.User.Username)
			require.Equal(t, "CN="+owner+","+ldaptest.SambaUsersDN, r.User.DN)
			require.Nil(t, r.User.Groups)
			requireOutcome(t, wrong, authenticate(t, byAD(), p, c.typed, "wrong"))
		})
	}
}

func testADGroups(t *testing.T, p *ldappool.Pool, outer, odd string) {
	t.Helper()
	for name, c := range map[string]struct {
		required string
		want     auth.Outcome
	}{
		"none":                                {"", auth.OK},
		"one that the user is in":             {"inner", auth.OK},
		"one that the user's group is in":     {"outer", auth.OK},
		"in another case":                     {"OUTER", auth.OK},
		"the primary group":                   {"domain users", auth.OK},
		"a built-in one":                      {"Users", auth.OK},
		"by its DN":                           {outer, auth.OK},
		"by its DN in another spelling":       {`cn = OUTER , cn=\55sers, dc=AD,dc=example , dc=org`, auth.OK},
		"an odd one by its DN":                {odd, auth.OK},
		"an odd one by its DN in hexadecimal": {strings.Replace(odd, `\,`, `\2c`, 1), auth.OK},
		"an odd one by its name":              {"odd-dn", auth.OK},
		"one that the user is not in":         {"empty", auth.NotPermitted},
		"one that does not exist":             {"nonsense", auth.NotPermitted},
		"one like it":                         {"inne", auth.NotPermitted},
		"a star":                              {"*", auth.NotPermitted},
		"a DN of the name elsewhere":          {"CN=outer," + ldaptest.SambaBaseDN, auth.NotPermitted},
		"the cn where it is not the name":     {oddGroup, auth.NotPermitted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := inADGroups()
			if c.required != "" {
				cfg = inADGroups("unknown", c.required)
			}
			r := authenticate(t, cfg, p, "alice", "alice-secret")
			requireOutcome(t, c.want, r)
			if c.want == auth.OK {
				require.Equal(t, []string{"Domain Users", "Users", "inner", "odd-dn", "odd-sam", "outer"}, r.User.Groups)
			}
			requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, "alice", "wrong"))
		})
	}
}

// testADOddNames has the cn as the groups' name: a sAMAccountName cannot be so odd.
func testADOddNames(t *testing.T, p *ldappool.Pool) {
	t.Helper()
	for required, want := range map[string]auth.Outcome{
		oddGroup: auth.OK, strings.ToUpper(oddGroup): auth.OK, oddGroup + "1": auth.NotPermitted, "odd-dn": auth.NotPermitted,
		`größe ,()*\ "x"  + #1`:         auth.OK,           // a space more, which is no difference to Samba
		"Gro\u0308ße ,()*\\ \"x\" + #1": auth.NotPermitted, // decomposed, which is one to Samba
	} {
		cfg := inADGroups(required)
		cfg.Groups.NameAttribute = "cn"
		cfg.Groups.BaseDNs = []string{ldaptest.SambaUsersDN}
		r := authenticate(t, cfg, p, "alice", "alice-secret")
		requireOutcome(t, want, r)
		if want == auth.OK {
			require.Equal(t, []string{"Domain Users", oddGroup, "inner", "odd", "outer"}, r.User.Groups)
		}
	}
}

// testADFilters has filters in place of tokenGroups: our own walk, and the rule in chain. Neither
// finds the primary group.
func testADFilters(t *testing.T, p *ldappool.Pool) {
	t.Helper()
	for filter, c := range map[string]struct {
		nested bool
		want   []string
	}{
		"(member={dn})":                          {false, []string{"inner", "odd-dn", "odd-sam"}},
		"(&(objectClass=group)(member={dn}))":    {true, []string{"inner", "odd-dn", "odd-sam", "outer"}},
		"(member:1.2.840.113556.1.4.1941:={dn})": {false, []string{"inner", "odd-dn", "odd-sam", "outer"}},
		"(&(member={dn})(!(cn={username})))":     {true, []string{"inner", "odd-dn", "odd-sam", "outer"}},
	} {
		cfg := inADGroups()
		cfg.Groups.Filter, cfg.Groups.Nested = filter, c.nested
		r := authenticate(t, cfg, p, `AD\ALICE`, "alice-secret")
		requireOutcome(t, auth.OK, r)
		require.Equal(t, c.want, r.User.Groups, filter)
	}
}

// TestActiveDirectory_GroupSearchTimeoutIsAFault: Samba stops after it has seen the
// password.
func TestActiveDirectory_GroupSearchTimeoutIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	p := newADPool(t, s, func(c *ldappool.Config) { c.RequestTimeout, c.DialTimeout = time.Second, time.Second })
	d := pauseAfterBind{p, s}
	r := authenticate(t, inADGroups("Domain Users"), d, "service", ldaptest.SambaServicePassword)
	requireOutcome(t, auth.DirectoryTimeout, r)
	s.Resume()
}

// pausable is a directory's process that can be stopped.
type pausable interface {
	Pause()
	Resume()
}

// pauseAfterBind stops the directory after a bind was answered.
type pauseAfterBind struct {
	*ldappool.Pool
	server pausable
}

func (d pauseAfterBind) Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error) {
	r, err := d.Pool.Bind(ctx, dn, password, controls...)
	d.server.Pause()
	return r, err
}
