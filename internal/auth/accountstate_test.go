package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// startAD runs a server that has these attributes for one user of AD, x, whose password is right.
// It remembers the binds of logins.
func startAD(t *testing.T, attributes map[string][]string) (*ldaptest.Server, *passwords) {
	t.Helper()
	return newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
		switch {
		case isFind(req):
			c.ReplySearch(req, 0, ldaptest.Entry{DN: "CN=x," + ldaptest.BaseDN, Attributes: attributes})
		case isLogin(req):
			c.ReplyBind(req, 0, "")
		default:
			return false
		}
		return true
	})
}

// byADName has a filter that finds machines too.
func byADName(attributes ...string) auth.Config {
	cfg := byFilter()
	cfg.Dialect, cfg.Filter, cfg.NameAttribute, cfg.Attributes = named("ad"), "(sAMAccountName={username})", "sAMAccountName", attributes
	return cfg
}

func TestAccount_StateInTheEntryOfADCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		attributes map[string][]string
		want       auth.Outcome
		binds      int
	}{
		"an ordinary user":                    {map[string][]string{"sAMAccountName": {"x"}, "userAccountControl": {"512"}}, auth.OK, 1},
		"one of whom nothing is to be seen":   {nil, auth.OK, 1},
		"one whose password never expires":    {map[string][]string{"userAccountControl": {"66048"}}, auth.OK, 1},
		"a disabled user":                     {map[string][]string{"userAccountControl": {"514"}}, auth.AccountDisabled, 1},
		"a disabled user, in small letters":   {map[string][]string{"useraccountcontrol": {"514"}}, auth.AccountDisabled, 1},
		"bits beyond 31":                      {map[string][]string{"userAccountControl": {"4294967810"}}, auth.DirectoryUnavailable, 1},
		"a negative number with the bit":      {map[string][]string{"userAccountControl": {"-2147483134"}}, auth.AccountDisabled, 1},
		"no number":                           {map[string][]string{"userAccountControl": {"NORMAL"}}, auth.DirectoryUnavailable, 1},
		"a workstation":                       {map[string][]string{"userAccountControl": {"4096"}}, auth.InvalidUser, 0},
		"a domain controller":                 {map[string][]string{"userAccountControl": {"532480"}}, auth.InvalidUser, 0},
		"a trusted domain":                    {map[string][]string{"userAccountControl": {"2080"}}, auth.InvalidUser, 0},
		"a name that ends in $":               {map[string][]string{"sAMAccountName": {"pc1$"}, "userAccountControl": {"512"}}, auth.InvalidUser, 0},
		"a name with a $ inside":              {map[string][]string{"sAMAccountName": {"p$c"}, "userAccountControl": {"512"}}, auth.OK, 1},
		"an attribute of another directory's": {map[string][]string{"nsAccountLock": {"TRUE"}, "loginDisabled": {"TRUE"}}, auth.OK, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, seen := startAD(t, c.attributes)
			requireOutcome(t, c.want, authenticate(t, byADName(), newPool(t, s.URL()), "x", "secret"))
			require.Len(t, seen.all(), c.binds)
		})
	}
}

func TestAttributes_IdentifiersOfADAreText(t *testing.T) {
	t.Parallel()
	s, _ := startAD(t, map[string][]string{
		"objectGUID": {"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"},
		"objectSid":  {"\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00"},
		"thumbnail":  {"\xff\xd8"},
	})
	r := authenticate(t, byADName("objectGUID", "objectsid", "thumbnail"), newPool(t, s.URL()), "x", "secret")
	requireOutcome(t, auth.OK, r)
	require.Equal(t, map[string][]string{
		"objectGUID": {"00112233-4455-6677-8899-aabbccddeeff"}, "objectsid": {"S-1-5-32-544"}, "thumbnail": {"/9g="},
	}, r.User.Attributes, "and nothing that was not configured")
}

func TestContract_APrincipalIsBoundAsItIs(t *testing.T) {
	t.Parallel()
	s, seen := startAD(t, nil)
	p := newPool(t, s.URL())
	cfg := auth.Config{Dialect: named("ad"), DNTemplate: "{username}@example.org", Timeout: patience}
	for _, name := range []string{"x", "first.last", "O'Neil", "ü", "a b", "(*)", "+a,b;c", `"q"`, "{username}", "<SID>"} {
		r := authenticate(t, cfg, p, name, "secret")
		requireOutcome(t, auth.OK, r)
		require.Equal(t, &auth.User{Username: name, DN: name + "@example.org"}, r.User)
		binds := seen.all()
		require.Equal(t, name+"@example.org secret", binds[len(binds)-1])
	}
	before := len(seen.all())
	for _, name := range []string{"x@example.org", "@", `EXAMPLE\x`, "HOST/x", "CN=x,DC=example,DC=org", "x＠example.org", `EXAMPLE＼x`} {
		r := authenticate(t, cfg, p, name, "secret")
		requireOutcome(t, auth.BadRequest, r)
		require.Equal(t, `username: must not contain @ \ / or =`, r.Detail)
	}
	for _, name := range []string{"pc1$", "pc1＄", "pc1$\u0301", "pc1$\u200b"} {
		r := authenticate(t, cfg, p, name, "secret")
		requireOutcome(t, auth.InvalidPassword, r)
		require.ErrorContains(t, r.Cause, "a computer")
	}
	require.Len(t, seen.all(), before, "none of these was tried")
}

func TestPrincipal_IsForADAlone(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"{username}@example.org", "{username}@", "x{username}@example.org", "{username}@a@b", `{username}@a\b`} {
		for _, preset := range dialect.All() {
			_, err := auth.New(auth.Config{Dialect: preset, DNTemplate: template, Timeout: patience}, nil, nil)
			if preset == named("ad") && template == "{username}@example.org" {
				require.NoError(t, err)
				continue
			}
			require.ErrorContains(t, err, "not a DN", "%v: %s", preset, template)
		}
	}
}

// freeIPASchema is what FreeIPA's users have beyond slapd's own schema
// (install/share/60basev2.ldif; 389 DS' 10-core).
const freeIPASchema = `attributetype ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 2.16.840.1.113730.3.8.3.1 NAME 'ipaUniqueID' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 2.16.840.1.113730.3.8.4.1 NAME 'ipaObject' AUXILIARY MUST ipaUniqueID MAY nsAccountLock )
objectclass ( 2.16.840.1.113730.3.8.12.30 NAME 'ipaOverrideTarget' STRUCTURAL MAY ( uid $ cn $ userPassword ) )`

// TestFreeIPA_CompatibilityTreeLeavesUsersUnique: it has each user again, as an entry of another
// class.
func TestFreeIPA_CompatibilityTreeLeavesUsersUnique(t *testing.T) {
	t.Parallel()
	user := func(uid, lock string) string {
		dn := "uid=" + uid + ",cn=users,cn=accounts," + ldaptest.BaseDN
		return "dn: " + dn + "\nobjectClass: inetOrgPerson\nobjectClass: ipaObject\nuid: " + uid + "\ncn: x\nsn: x\nipaUniqueID: " + uid +
			"\nnsAccountLock: " + lock + "\nuserPassword: secret\n\n" +
			"dn: uid=" + uid + ",cn=users,cn=compat," + ldaptest.BaseDN + "\nobjectClass: ipaOverrideTarget\nuid: " + uid + "\ncn: x\n\n"
	}
	ldif := ""
	for _, cn := range []string{"accounts", "compat"} {
		ldif += "dn: cn=" + cn + "," + ldaptest.BaseDN + "\nobjectClass: device\ncn: " + cn + "\n\n" +
			"dn: cn=users,cn=" + cn + "," + ldaptest.BaseDN + "\nobjectClass: device\ncn: users\n\n"
	}
	ldif += user("alice", "FALSE") + user("locked", "TRUE") + user("shouted", "true")
	p := newPool(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{ExtraGlobal: freeIPASchema, LDIF: ldif}).URL())
	cfg := byPreset(named("freeipa"))
	cfg.BaseDNs = []string{ldaptest.BaseDN}
	requireOutcome(t, auth.OK, authenticate(t, cfg, p, "alice", "secret"))
	requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, "alice", "wrong"))
	for _, uid := range []string{"locked", "shouted"} {
		requireOutcome(t, auth.AccountDisabled, authenticate(t, cfg, p, uid, "secret"))
		requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, uid, "wrong"))
	}
	plain := byFilter(ldaptest.BaseDN)
	plain.Dialect = named("freeipa")
	requireOutcome(t, auth.InvalidUser, authenticate(t, plain, p, "alice", "secret"))
}

// TestAccount_IsReportedLockedAfterWrongPasswords goes the way from the first try to the lock.
// slapd dates a lock by a clock that may be some milliseconds ahead of the one that it compares it
// with: at the turn of a second, the lock is not in effect at once.
func TestAccount_IsReportedLockedAfterWrongPasswords(t *testing.T) {
	t.Parallel()
	for preset, start := range map[*dialect.Dialect]func(*testing.T) string{
		named("openldap"): func(t *testing.T) string { t.Helper(); return startPolicySlapd(t, true) },
		named("389ds"):    start389,
	} {
		t.Run(preset.String(), func(t *testing.T) {
			t.Parallel()
			p := newPool(t, start(t))
			cfg := byPreset(preset)
			requireOutcome(t, auth.OK, authenticate(t, cfg, p, "good", rightPassword))
			for range 3 {
				requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, "good", wrongPassword))
			}
			ldaptest.Eventually(t, "the lock", func() bool {
				return authenticate(t, cfg, p, "good", wrongPassword).Outcome == auth.AccountLocked
			})
			for _, password := range []string{wrongPassword, rightPassword} {
				r := authenticate(t, cfg, p, "good", password)
				requireOutcome(t, auth.AccountLocked, r)
				require.Equal(t, "accountLocked", r.Bind.Policy)
			}
			requireOutcome(t, auth.OK, authenticate(t, cfg, p, "good-w", rightPassword))
		})
	}
}

// TestAccount_LoginSucceedsAfterAMustChange on the same connection: slapd and 389 DS refuse all but
// a bind there.
func TestAccount_LoginSucceedsAfterAMustChange(t *testing.T) {
	t.Parallel()
	for preset, start := range map[*dialect.Dialect]func(*testing.T) string{
		named("openldap"): func(t *testing.T) string { t.Helper(); return startPolicySlapd(t, true) },
		named("389ds"):    start389,
	} {
		t.Run(preset.String(), func(t *testing.T) {
			t.Parallel()
			p := newPool(t, start(t))
			for range 3 {
				requireOutcome(t, auth.MustChangePassword, authenticate(t, byPreset(preset), p, "reset", rightPassword))
				requireOutcome(t, auth.OK, authenticate(t, byPreset(preset), p, "good", rightPassword))
			}
		})
	}
}
