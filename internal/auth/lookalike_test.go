package auth_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldapname"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// lookAlikes are names of groups with others that some folding takes for them. Which of them are
// one to a directory is the directory's to say.
func lookAlikes() [][]string {
	return [][]string{
		{"staff", "𝐒taff", "ｓtaff", "ſtaff", "staﬀ", "sta\ufb00", "staf\u00adf", "sta\u200bff", "stäff", "sta\u0308ff", "𝓢𝓣𝓐𝓕𝓕", "ⓢtaff", "sta ff", "staff\u00a0x"},
		{"access", "acceß", "acceẞ", "accesſ"},
		{"masse", "maße"},
		{"kim", "\u212aim", "kím", "k\u0131m", "k\u0130m", "ki\u0307m"},
		{"Ꭰgroup", "ꭰgroup"},
		{"ა-group", "ⴀ-group", "Ⴀ-group", "Ა-group"},
		{"ツ", "つ", "ﾂ"},
		{"bjorn", "bjørn", "björn"},
		{"ǝx", "ɘx", "Ǝx"},
		{"ohm", "\u2126hm", "ωhm"},
	}
}

// groupMaker adds a group with one member.
type groupMaker struct {
	t     *testing.T
	admin *ldap.Conn
	class string
	under string
}

// add reports whether the directory takes the group. It does not if it has one of that name.
func (m groupMaker) add(name, member string) bool {
	m.t.Helper()
	req := ldap.NewAddRequest(m.dn(name), nil)
	req.Attribute("objectClass", []string{m.class})
	req.Attribute("cn", []string{name})
	req.Attribute("member", []string{member})
	err := m.admin.Add(req)
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultEntryAlreadyExists, ldap.LDAPResultConstraintViolation) {
		return false
	}
	require.NoError(m.t, err, "%+q", name)
	return true
}

func (m groupMaker) dn(name string) string { return "cn=" + ldapname.EscapeValue(name) + "," + m.under }

func newGroupMaker(t *testing.T, url, user, password, class, under string) groupMaker {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind(user, password))
	return groupMaker{t, c, class, under}
}

// testLookAlikes has a user in the first group of each family, and a double in all others that the
// directory keeps apart from it.
func testLookAlikes(t *testing.T, m groupMaker, cfg auth.Config, d auth.Directory, user, double, userDN, doubleDN string) {
	t.Helper()
	apart := 0
	for _, family := range lookAlikes() {
		plain := family[0]
		require.True(t, m.add(plain, userDN))
		for _, other := range family[1:] {
			if !m.add(other, doubleDN) {
				continue
			}
			apart++
			for _, required := range [][2]string{{plain, other}, {m.dn(plain), m.dn(other)}} {
				cfg.Groups.Required = []string{required[0]}
				requireOutcome(t, auth.OK, authenticate(t, cfg, d, user, "secret"))
				requireOutcome(t, auth.NotPermitted, authenticate(t, cfg, d, double, "secret"))
				cfg.Groups.Required = []string{required[1]}
				requireOutcome(t, auth.NotPermitted, authenticate(t, cfg, d, user, "secret"))
				requireOutcome(t, auth.OK, authenticate(t, cfg, d, double, "secret"))
			}
		}
	}
	t.Logf("the directory keeps %d look-alikes apart", apart)
	require.Greater(t, apart, 5)
}

func TestRequiredGroup_LookAlikesAtSlapd(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: person("real", ldaptest.PeopleDN, "userPassword: secret") + person("double", ldaptest.PeopleDN, "userPassword: secret")})
	m := newGroupMaker(t, s.URL(), ldaptest.RootDN, ldaptest.RootPassword, "groupOfNames", ldaptest.GroupsDN)
	testLookAlikes(t, m, inGroups(), newPool(t, s.URL()), "real", "double", "uid=real,"+ldaptest.PeopleDN, "uid=double,"+ldaptest.PeopleDN)
}

func TestRequiredGroup_LookAlikesAt389DS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	for _, uid := range []string{"real", "double"} {
		s.Add("uid="+uid+","+ldaptest.PeopleDN, map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {uid}, "cn": {uid}, "sn": {uid}, "userPassword": {"secret"}})
	}
	m := newGroupMaker(t, s.URL(), ldaptest.DirectoryManagerDN, ldaptest.RootPassword, "groupOfNames", ldaptest.GroupsDN)
	cfg := inGroups()
	cfg.Dialect = named("389ds")
	// To 389 DS these are two entries, with one name.
	plain, escaped := "cn=big team,"+ldaptest.GroupsDN, `cn=big\20team,`+ldaptest.GroupsDN
	for dn, uid := range map[string]string{plain: "real", escaped: "double"} {
		s.Add(dn, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"big team"}, "member": {"uid=" + uid + "," + ldaptest.PeopleDN}})
	}
	p := newPool(t, s.URL())
	for required, want := range map[string][2]auth.Outcome{
		plain: {auth.OK, auth.NotPermitted}, escaped: {auth.NotPermitted, auth.OK}, strings.ToUpper(plain): {auth.OK, auth.NotPermitted},
		`CN=BIG\20TEAM,` + ldaptest.GroupsDN: {auth.NotPermitted, auth.OK}, `cn=big\ team,` + ldaptest.GroupsDN: {auth.OK, auth.NotPermitted}, "big team": {auth.OK, auth.OK},
	} {
		cfg.Groups.Required = []string{required}
		requireOutcome(t, want[0], authenticate(t, cfg, p, "real", "secret"))
		requireOutcome(t, want[1], authenticate(t, cfg, p, "double", "secret"))
	}
	testLookAlikes(t, m, cfg, p, "real", "double", "uid=real,"+ldaptest.PeopleDN, "uid=double,"+ldaptest.PeopleDN)
}

func TestRequiredGroup_LookAlikesAtSamba(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	user, double := s.AddUser("real", "secret"), s.AddUser("double", "secret")
	m := newGroupMaker(t, s.URL(), ldaptest.SambaAdmin, ldaptest.SambaAdminPassword, "group", ldaptest.SambaUsersDN)
	cfg := inADGroups()
	cfg.Groups.NameAttribute = "cn"
	testLookAlikes(t, m, cfg, newADPool(t, s), "real", "double", user, double)
}

// TestRequiredGroup_InAnotherSpellingIsWhatTheDirectorySays: the directory takes these for the
// group.
func TestRequiredGroup_InAnotherSpellingIsWhatTheDirectorySays(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2, LDIF: members("Straßen Bau", ldaptest.UserDN(0)) + members("ÄB", ldaptest.UserDN(0)) +
		"dn: cn=two+ou=parts," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: two\nou: parts\nmember: " + ldaptest.UserDN(0) + "\n\n" +
		members("staff, all", ldaptest.UserDN(0)) + members("staff", ldaptest.UserDN(1))})
	p := newPool(t, s.URL())
	for required, want := range map[string]auth.Outcome{
		"äb": auth.OK, "Äb": auth.OK, "a\u0308b": auth.OK, "ＡＢ": auth.NotPermitted,
		"straßen  bau": auth.OK, " STRAßEN BAU ": auth.OK, "strassen bau": auth.NotPermitted,
		"cn=äb," + ldaptest.GroupsDN: auth.OK, `cn=a\cc\88b, OU=GROUPS,` + ldaptest.BaseDN: auth.OK,
		"commonName=ÄB,organizationalUnitName=groups," + ldaptest.BaseDN: auth.OK, "2.5.4.3=ÄB," + ldaptest.GroupsDN: auth.OK,
		"cn=straßen  bau," + ldaptest.GroupsDN: auth.OK, `cn=\20straßen bau\20,` + ldaptest.GroupsDN: auth.OK, "cn=strassen bau," + ldaptest.GroupsDN: auth.NotPermitted,
		"OU=Parts+CN=TWO," + ldaptest.GroupsDN: auth.OK, "cn=two," + ldaptest.GroupsDN: auth.NotPermitted,
		"staff, all": auth.OK, "STAFF, ALL": auth.OK, `cn=staff\, all,` + ldaptest.GroupsDN: auth.OK, `cn=staff\2c all,` + ldaptest.GroupsDN: auth.OK,
		"cn=ab," + ldaptest.GroupsDN: auth.NotPermitted, "cn=äb," + ldaptest.BaseDN: auth.NotPermitted,
	} {
		requireOutcome(t, want, authenticate(t, inGroups(required), p, "user0", "password0"))
		requireOutcome(t, auth.NotPermitted, authenticate(t, inGroups(required), p, "user1", "password1"))
	}
}

// TestRequiredGroup_UsesTheMatchingRuleOfTheAttribute: names that differ in case, or octets that
// look like text, are different ones where the directory's schema says so.
func TestRequiredGroup_UsesTheMatchingRuleOfTheAttribute(t *testing.T) {
	t.Parallel()
	team := func(dn string, lines ...string) string {
		return "dn: " + dn + "," + ldaptest.GroupsDN + "\nobjectClass: team\nmember: " + ldaptest.UserDN(0) + "\n" + strings.Join(lines, "\n") + "\n\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, ExtraGlobal: `attributetype ( 1.1.2.1.2 NAME 'exactName' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.1.2.1.3 NAME 'octetName' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
objectclass ( 1.1.2.2.1 NAME 'team' SUP top STRUCTURAL MUST member MAY ( exactName $ octetName ) )
`, LDIF: team("exactName=Staff", "exactName: Staff", "octetName: Staff", "octetName:: stafd") + // not UTF-8
		strings.Replace(team("exactName=staff", "exactName: staff"), ldaptest.UserDN(0), "cn=x", 1)})
	p := newPool(t, s.URL())
	by := func(attribute, required string) auth.Config {
		cfg := inGroups(required)
		cfg.Groups.NameAttribute = attribute
		return cfg
	}
	for _, c := range []struct {
		attribute, required string
		want                auth.Outcome
	}{
		{"exactName", "Staff", auth.OK}, {"exactName", "staff", auth.NotPermitted}, {"exactName", "STAFF", auth.NotPermitted},
		{"octetName", "Staff", auth.OK}, {"octetName", "staff", auth.NotPermitted},
		{"octetName", "stafd", auth.NotPermitted}, {"octetName", "STAFD", auth.NotPermitted}, {"octetName", "stafd===", auth.NotPermitted},
		{"cn", "exactName=Staff," + ldaptest.GroupsDN, auth.OK}, {"cn", "exactName=Staff,OU=GROUPS," + ldaptest.BaseDN, auth.OK},
		{"cn", "exactName=staff," + ldaptest.GroupsDN, auth.NotPermitted}, {"cn", "exactName=STAFF," + ldaptest.GroupsDN, auth.NotPermitted},
	} {
		t.Run(c.attribute+" "+c.required, func(t *testing.T) {
			t.Parallel()
			requireOutcome(t, c.want, authenticate(t, by(c.attribute, c.required), p, "user0", "password0"))
		})
	}
}

// TestRequiredGroup_IsWhatItsDNNamesNow: a rename counts at once, whatever is cached.
func TestRequiredGroup_IsWhatItsDNNamesNow(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	m := newGroupMaker(t, s.URL(), ldaptest.RootDN, ldaptest.RootPassword, "groupOfNames", ldaptest.GroupsDN)
	require.True(t, m.add("staff", ldaptest.UserDN(0)))
	a, _ := newAuthenticator(t, inGroups("CN=STAFF,"+ldaptest.GroupsDN), newPool(t, s.URL()))
	try := func(want ...auth.Outcome) {
		t.Helper()
		for i, w := range want {
			requireOutcome(t, w, from(a, "", ldaptest.Username(i), ldaptest.Password(i)))
		}
	}
	try(auth.OK, auth.NotPermitted)
	require.NoError(t, m.admin.ModifyDN(ldap.NewModifyDNRequest(m.dn("staff"), "cn=old", true, "")))
	try(auth.NotPermitted, auth.NotPermitted)
	require.True(t, m.add("staff", ldaptest.UserDN(1)))
	try(auth.NotPermitted, auth.OK)
	require.NoError(t, m.admin.Del(ldap.NewDelRequest(m.dn("staff"), nil)))
	try(auth.NotPermitted, auth.NotPermitted)
	require.True(t, m.add("staff", ldaptest.UserDN(0))) // another entry of the same DN
	try(auth.OK, auth.NotPermitted)
}

// TestRequiredGroup_IsReadOnceAndAFailedReadIsAFault, where only the directory can say.
func TestRequiredGroup_IsReadOnceAndAFailedReadIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: members("staff", ldaptest.UserDN(0))})
	p := newPool(t, s.URL())
	for required, base := range map[string]string{"CN=STAFF," + ldaptest.GroupsDN: "CN=STAFF," + ldaptest.GroupsDN, "STAFF": groupDN("staff")} {
		base = ldapname.CanonicalDN(base)
		for code, want := range map[uint16]auth.Outcome{
			ldap.LDAPResultBusy: auth.DirectoryUnavailable, ldap.LDAPResultInsufficientAccessRights: auth.DirectoryUnavailable, ldap.LDAPResultReferral: auth.DirectoryUnavailable,
			ldap.LDAPResultInvalidDNSyntax: auth.DirectoryUnavailable, ldap.LDAPResultTimeLimitExceeded: auth.DirectoryTimeout, ldap.LDAPResultNoSuchObject: auth.NotPermitted,
		} {
			requireOutcome(t, want, authenticate(t, inGroups(required), answersAt{p, base, &ldappool.SearchResult{Result: ldappool.Result{Code: code}}, nil}, "user0", "password0"))
		}
		for fault, want := range map[error]auth.Outcome{ldappool.ErrTimeout: auth.DirectoryTimeout, ldappool.ErrUnavailable: auth.DirectoryUnavailable} {
			requireOutcome(t, want, authenticate(t, inGroups(required), answersAt{p, base, nil, fault}, "user0", "password0"))
		}
		d := &counting{Directory: p}
		a, _ := newAuthenticator(t, inGroups(required), d)
		for i, searches := range []int64{3, 5, 7} { // the user and the groups; the first time, the required group
			requireOutcome(t, auth.OK, from(a, "", "user0", "password0"))
			require.Equal(t, searches, d.searches.Load(), "login %d", i)
		}
	}
	hidden := answersAt{p, "CN=STAFF," + ldaptest.GroupsDN, &ldappool.SearchResult{}, nil}
	r := authenticate(t, inGroups("CN=STAFF,"+ldaptest.GroupsDN), hidden, "user0", "password0")
	requireOutcome(t, auth.DirectoryUnavailable, r)
	require.ErrorContains(t, r.Cause, "not visible to the service identity")
}

// answersAt answers searches at one base in place of a directory.
type answersAt struct {
	auth.Directory
	base   string
	answer *ldappool.SearchResult
	err    error
}

func (d answersAt) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, f ldapconn.Filter) (*ldappool.SearchResult, error) {
	if req.Scope == ldap.ScopeBaseObject && strings.EqualFold(ldapname.CanonicalDN(req.BaseDN), d.base) {
		return d.answer, d.err
	}
	return d.Directory.SearchWithFilter(ctx, req, f)
}

// TestGroups_TakeABoundedNumberOfSearches, for a user who is in many groups that nest, or that look
// like a required one.
func TestGroups_TakeABoundedNumberOfSearches(t *testing.T) {
	t.Parallel()
	var ldif strings.Builder
	for n := 1; n < 64; n++ { // slapd keeps apart all that have other letters of these
		var name strings.Builder
		for i, c := range "keeper" {
			if n>>i&1 == 1 {
				c += '𝐀' - 'a'
			}
			name.WriteRune(c)
		}
		ldif.WriteString(members(name.String(), ldaptest.UserDN(1)))
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2, LDIF: chain("deep", 20, ldaptest.UserDN(0)) + ldif.String()})
	p := newPool(t, s.URL())
	thrice := nested("deep20")
	thrice.Groups.BaseDNs = []string{ldaptest.GroupsDN, ldaptest.GroupsDN, ldaptest.GroupsDN}
	for name, c := range map[string]struct {
		cfg  auth.Config
		user int
		want auth.Outcome
	}{
		"a chain":                 {nested("deep20"), 0, auth.OK},
		"a chain over many bases": {thrice, 0, auth.DirectoryUnavailable},
		"look-alikes by name":     {inGroups("KEEPER"), 1, auth.DirectoryUnavailable},
		"look-alikes by DN":       {inGroups("CN=KEEPER," + ldaptest.GroupsDN), 1, auth.NotPermitted},
		"one of them":             {inGroups("KEEPER", "𝐊eeper"), 1, auth.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &counting{Directory: p}
			r := authenticate(t, c.cfg, d, ldaptest.Username(c.user), ldaptest.Password(c.user))
			requireOutcome(t, c.want, r)
			require.LessOrEqual(t, d.searches.Load(), int64(1+50))
			if c.want == auth.DirectoryUnavailable {
				require.ErrorContains(t, r.Cause, "more than 50 searches")
			}
		})
	}
}

// TestGroups_OfATokenAreReadOnce: who is in them is asked at each login, what they are called is
// not.
func TestGroups_OfATokenAreReadOnce(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	alice := s.AddUser("alice", "secret")
	var dns []string
	for i := range 120 {
		dns = append(dns, s.AddGroup(fmt.Sprint("g", i), alice))
	}
	d := &counting{Directory: newADPool(t, s)}
	a, _ := newAuthenticator(t, inADGroups("g119"), d)
	var counts []int64
	for range 3 {
		before := d.searches.Load()
		r := from(a, "", "alice", "secret")
		requireOutcome(t, auth.OK, r)
		require.Len(t, r.User.Groups, 122)
		counts = append(counts, d.searches.Load()-before)
	}
	require.Equal(t, []int64{2 + 2 + 2, 2, 2}, counts, "the user, the token; the domain, 122 groups")
	s.Modify(dns[119], "member")
	requireOutcome(t, auth.NotPermitted, from(a, "", "alice", "secret"))
}

// TestThrottle_LookAlikesNeitherShareNorClearACount, where they are entries of their own.
func TestThrottle_LookAlikesNeitherShareNorClearACount(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: person("user400", ldaptest.PeopleDN, "userPassword: secret") + person("𝐔ser400", ldaptest.PeopleDN, "userPassword: other") +
		person("strasse", ldaptest.PeopleDN, "userPassword: other") + person("straße", ldaptest.PeopleDN, "userPassword: secret")})
	p := newPool(t, s.URL())
	for name, c := range map[string]struct {
		cfg           auth.Config
		victim, other string
	}{
		"by filter":                             {byFilter(), "user400", "𝐔ser400"},
		"by template":                           {byTemplate(), "user400", "𝐔ser400"},
		"by filter, an odd victim":              {byFilter(), "straße", "strasse"},
		"by template, an odd victim":            {byTemplate(), "straße", "strasse"},
		"by filter, of another's plain name":    {byFilter(), "𝐔ser400", "user400"},
		"by filter, another of the plain names": {byFilter(), "strasse", "straße"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret, otherSecret := "secret", "other"
			if c.victim == "𝐔ser400" || c.victim == "strasse" {
				secret, otherSecret = otherSecret, secret
			}
			a, _ := newAuthenticator(t, throttled(t, c.cfg, 10, 100), p)
			guesses := 0
			for range 30 {
				if from(a, "192.0.2.1", c.victim, "wrong").Outcome == auth.InvalidPassword {
					guesses++
				}
				if guesses < 10 || c.cfg.DNTemplate == "" {
					requireOutcome(t, auth.OK, from(a, "192.0.2.1", c.other, otherSecret))
				}
			}
			require.Equal(t, 10, guesses, "guesses at the victim, with the attacker's own success between them")
			requireOutcome(t, auth.OK, from(a, "192.0.2.2", c.victim, secret))
		})
	}
}

// TestThrottle_SpellingsOfITakeOneBudget: U+0130 is an i to slapd.
func TestThrottle_SpellingsOfITakeOneBudget(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: person("iiiiii", ldaptest.PeopleDN, "userPassword: secret")})
	a, _ := newAuthenticator(t, throttled(t, byTemplate(), 10, 100), newPool(t, s.URL()))
	requireOutcome(t, auth.OK, from(a, "192.0.2.1", "\u0130\u0130iiI\u0130", "secret"))
	letters := []string{"i", "I", "\u0130", "ｉ"}
	guesses := 0
	for n := range 1 << 12 {
		var name strings.Builder
		for k := range 6 {
			name.WriteString(letters[n>>(2*k)&3])
		}
		if from(a, "192.0.2.1", name.String(), "wrong").Outcome == auth.InvalidPassword {
			guesses++
		}
	}
	require.Equal(t, 10, guesses)
}
