package auth_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// groupFilter is the one of the preset openldap.
const groupFilter = "(|(member={dn})(uniqueMember={dn})(memberUid={username}))"

// oddUser is a user's name with what filters and DNs take for their own.
const oddUser = `ö,()*\ {username} "+#`

// inGroups is byFilter with groups, one of which is required, if any is given.
func inGroups(required ...string) auth.Config {
	cfg := byFilter()
	cfg.Groups = auth.GroupConfig{Enabled: true, BaseDNs: []string{ldaptest.GroupsDN}, Filter: groupFilter, NameAttribute: "cn", Required: required}
	return cfg
}

// nested is inGroups with the groups' groups.
func nested(required ...string) auth.Config {
	cfg := inGroups(required...)
	cfg.Groups.Nested = true
	return cfg
}

// groupDN is the DN of a group with every byte of its name escaped.
func groupDN(name string) string {
	return "cn=" + strings.TrimPrefix(personDN(name, ldaptest.GroupsDN), "uid=")
}

// group is the LDIF of a group of that class and its members, as lines.
func group(class, name string, lines ...string) string {
	return "dn: " + groupDN(name) + "\nobjectClass: " + class + "\n" + attribute("cn", name) + strings.Join(lines, "\n") + "\n\n"
}

// members is the LDIF of a groupOfNames.
func members(name string, dns ...string) string {
	lines := make([]string, len(dns))
	for i, dn := range dns {
		lines[i] = "member: " + dn
	}
	return group("groupOfNames", name, lines...)
}

// chain is the LDIF of n groups, named and numbered, of which the first has the user and each other
// one the group before.
func chain(name string, n int, user string) string {
	var ldif strings.Builder
	for i := range n {
		ldif.WriteString(members(fmt.Sprint(name, i+1), user))
		user = groupDN(fmt.Sprint(name, i+1))
	}
	return ldif.String()
}

// startGroups runs slapd over users and groups of all kinds.
func startGroups(t *testing.T) *ldaptest.Slapd {
	t.Helper()
	user := ldaptest.UserDN
	return ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users:  9,
		Access: "access to dn.subtree=\"" + hiddenDN + "\" by * none\n",
		LDIF: unit("hidden", ldaptest.BaseDN) + person(oddUser, ldaptest.PeopleDN, "userPassword: secret") +
			members("staff", user(0), user(7)) +
			members("Other", user(1)) +
			group("groupOfUniqueNames", "unique", "uniqueMember: "+user(0)) +
			group("posixGroup", "posix", "gidNumber: 1", "memberUid: user0", "memberUid: staff") +
			members("spelt", `UID = USER\30 ,  ou=PEOPLE,dc=example , dc=org`) +
			members(oddGroup, user(0), personDN(oddUser, ldaptest.PeopleDN)) +
			members("all", groupDN("staff"), groupDN("Other")) +
			members("round1", groupDN("round3"), user(2)) + members("round2", groupDN("round1")) + members("round3", groupDN("round2")) +
			members("self", groupDN("self"), user(2)) +
			chain("deep", 20, user(3)) + chain("deeper", 21, user(4)) +
			group("posixGroup", "user8", "gidNumber: 2", "memberUid: user5") + // shares its name with a user
			group("posixGroup", "trap", "gidNumber: 3", "memberUid: user8"),
	})
}

func TestGroups_PermitAndReject(t *testing.T) {
	t.Parallel()
	p := newPool(t, startGroups(t).URL())
	oddDN := groupDN(oddGroup)
	for name, c := range map[string]struct {
		cfg  auth.Config
		user int
		want auth.Outcome
	}{
		"a group by its name":                        {inGroups("staff"), 0, auth.OK},
		"in another case":                            {inGroups("STAFF"), 0, auth.OK},
		"the second of several":                      {inGroups("other", "staff"), 0, auth.OK},
		"by uniqueMember":                            {inGroups("unique"), 0, auth.OK},
		"by memberUid":                               {inGroups("posix"), 0, auth.OK},
		"by a member in another spelling":            {inGroups("spelt"), 0, auth.OK},
		"by its DN":                                  {inGroups("cn=staff," + ldaptest.GroupsDN), 0, auth.OK},
		"by its DN in another spelling":              {inGroups(`CN = st\61FF , OU=groups,DC=Example ,dc=org`), 0, auth.OK},
		"an odd one by its name":                     {inGroups(oddGroup), 0, auth.OK},
		"an odd one by its DN, all bytes escaped":    {inGroups(oddDN), 0, auth.OK},
		"an odd one by its DN, escaped as by hand":   {inGroups(`cn=größe \,()*\\ \"x\" \+ #1,` + ldaptest.GroupsDN), 0, auth.OK},
		"an odd one by an escaped name":              {inGroups(strings.ReplaceAll(oddGroup, `\`, `\\`)), 0, auth.OK},
		"one that others are in":                     {inGroups("other"), 0, auth.NotPermitted},
		"one that does not exist":                    {inGroups("nonsense"), 0, auth.NotPermitted},
		"a star":                                     {inGroups("*"), 0, auth.NotPermitted},
		"a part of a name":                           {inGroups("staf"), 0, auth.NotPermitted},
		"a DN of that name elsewhere":                {inGroups("cn=staff," + ldaptest.BaseDN), 0, auth.NotPermitted},
		"a DN with one value more":                   {inGroups("cn=staff+ou=x," + ldaptest.GroupsDN), 0, auth.NotPermitted},
		"a user in no group":                         {inGroups("staff"), 6, auth.NotPermitted},
		"a group's group that does not count":        {inGroups("all"), 0, auth.NotPermitted},
		"a group's group":                            {nested("all"), 0, auth.OK},
		"another's group's group":                    {nested("staff"), 1, auth.NotPermitted},
		"a cycle, all round":                         {nested("round3"), 2, auth.OK},
		"a cycle without the group":                  {nested("staff"), 2, auth.NotPermitted},
		"the deepest that is looked at":              {nested("deep20"), 3, auth.OK},
		"too deep, wherever the required one stands": {nested("deeper1"), 4, auth.DirectoryUnavailable},
		"a group that shares its name with a user":   {nested("trap"), 5, auth.NotPermitted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authenticate(t, c.cfg, p, ldaptest.Username(c.user), ldaptest.Password(c.user))
			requireOutcome(t, c.want, r)
			require.Equal(t, ldaptest.UserDN(c.user), r.DN)
			requireOutcome(t, auth.InvalidPassword, authenticate(t, c.cfg, p, ldaptest.Username(c.user), "wrong"))
		})
	}
}

func TestGroups_AreReportedByName(t *testing.T) {
	t.Parallel()
	p := newPool(t, startGroups(t).URL())
	deep := make([]string, 20)
	for i := range deep {
		deep[i] = fmt.Sprint("deep", i+1)
	}
	for name, c := range map[string]struct {
		cfg            auth.Config
		user, password string
		want           []string
	}{
		"those of all kinds":        {inGroups(), "user0", "password0", []string{oddGroup, "posix", "spelt", "staff", "unique"}},
		"with groups of groups":     {nested(), "user0", "password0", []string{oddGroup, "all", "posix", "spelt", "staff", "unique"}},
		"none":                      {inGroups(), "user6", "password6", []string{}},
		"each of a cycle once":      {nested(), "user2", "password2", []string{"round1", "round2", "round3", "self"}},
		"those of an odd user":      {inGroups(), oddUser, "secret", []string{oddGroup}},
		"nobody asked for any":      {byFilter(), "user0", "password0", nil},
		"by what was not typed":     {inGroups("posix"), "USER0", "password0", []string{oddGroup, "posix", "spelt", "staff", "unique"}},
		"a group without that name": {func() auth.Config { c := inGroups(); c.Groups.NameAttribute = "description"; return c }(), "user0", "password0", []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authenticate(t, c.cfg, p, c.user, c.password)
			requireOutcome(t, auth.OK, r)
			require.Equal(t, c.want, r.User.Groups)
		})
	}
	r := authenticate(t, nested(), p, "user3", "password3")
	requireOutcome(t, auth.OK, r)
	require.ElementsMatch(t, deep, r.User.Groups)
}

// TestGroups_ByMemberOf: FreeIPA maintains memberOf, and does so transitively. Here a group and a
// role have the same name.
func TestGroups_ByMemberOf(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal: "moduleload memberof\nobjectclass ( 2.16.840.1.113730.3.8.4.2 NAME 'ipaUserGroup' SUP top AUXILIARY )\n",
		LDIF: person("ipa", ldaptest.PeopleDN, "userPassword: secret", "memberOf: CN=Direct, ou=GROUPS,"+ldaptest.BaseDN,
			"memberOf: "+groupDN("indirect"), "memberOf: "+groupDN(oddGroup), "memberOf: cn=admins,"+staffDN, "memberOf: cn=gone,"+ldaptest.GroupsDN) +
			person("lonely", ldaptest.PeopleDN, "userPassword: secret") + unit("staff", ldaptest.BaseDN) +
			group("groupOfNames\nobjectClass: ipaUserGroup", "direct", "member: cn=x") +
			group("groupOfNames\nobjectClass: ipaUserGroup", "indirect", "member: cn=x") +
			group("groupOfNames\nobjectClass: ipaUserGroup", oddGroup, "member: cn=x") +
			group("groupOfNames\nobjectClass: ipaUserGroup", "admins", "member: cn=x") +
			"dn: cn=admins," + staffDN + "\nobjectClass: groupOfNames\ncn: admins\nmember: cn=x\n\n",
	})
	p := newPool(t, s.URL())
	by := func(required ...string) auth.Config {
		cfg := inGroups(required...)
		cfg.Dialect, cfg.Groups.Filter, cfg.Groups.Nested, cfg.Groups.BaseDNs = named("freeipa"), "", true, []string{ldaptest.BaseDN}
		return cfg
	}
	r := authenticate(t, by(oddGroup), p, "ipa", "secret")
	requireOutcome(t, auth.OK, r)
	require.Equal(t, []string{oddGroup, "direct", "indirect"}, r.User.Groups)
	requireOutcome(t, auth.OK, authenticate(t, by(groupDN("direct")), p, "ipa", "secret"))
	requireOutcome(t, auth.NotPermitted, authenticate(t, by("admins"), p, "ipa", "secret"))
	requireOutcome(t, auth.NotPermitted, authenticate(t, by("direct"), p, "lonely", "secret"))
}

// TestGroups_FailedLookupIsAFault: the password was right, and that is not enough.
func TestGroups_FailedLookupIsAFault(t *testing.T) {
	t.Parallel()
	change := func(f func(*auth.GroupConfig)) auth.Config {
		cfg := inGroups("staff")
		f(&cfg.Groups)
		return cfg
	}
	s := startGroups(t)
	p := newPool(t, s.URL())
	for name, c := range map[string]struct {
		cfg   auth.Config
		cause string
	}{
		"a base that does not exist": {change(func(g *auth.GroupConfig) { g.BaseDNs = []string{absentDN} }), "No Such Object (32)"},
		"a base that is hidden":      {change(func(g *auth.GroupConfig) { g.BaseDNs = []string{hiddenDN} }), "No Such Object (32)"},
		"the second base of two":     {change(func(g *auth.GroupConfig) { g.BaseDNs = []string{ldaptest.GroupsDN, absentDN} }), "No Such Object (32)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				r := authenticate(t, c.cfg, p, "user0", "password0")
				requireOutcome(t, auth.DirectoryUnavailable, r)
				require.ErrorContains(t, r.Cause, c.cause)
			}
			requireOutcome(t, auth.InvalidPassword, authenticate(t, c.cfg, p, "user0", "wrong"))
		})
	}
}

func TestGroups_SizeLimitIsAFault(t *testing.T) {
	t.Parallel()
	var ldif strings.Builder
	for i := range 6 {
		ldif.WriteString(members(fmt.Sprint("g", i), ldaptest.UserDN(0)))
	}
	ldif.WriteString(members("one", ldaptest.UserDN(1)))
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2, LDIF: ldif.String(), ExtraDatabase: "limits * size.soft=5 size.hard=5\n"})
	p := newPool(t, s.URL())
	r := authenticate(t, inGroups(), p, "user0", "password0")
	requireOutcome(t, auth.DirectoryUnavailable, r)
	require.ErrorContains(t, r.Cause, "Size Limit Exceeded (4)")
	requireOutcome(t, auth.OK, authenticate(t, inGroups("one"), p, "user1", "password1"))
}

func TestGroups_SearchTimeoutIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: members("staff", ldaptest.UserDN(0))})
	p := newPool(t, s.URL(), func(c *ldappool.Config) { c.RequestTimeout, c.DialTimeout = time.Second, time.Second })
	r := authenticate(t, inGroups("staff"), pauseAfterBind{p, s}, "user0", "password0")
	requireOutcome(t, auth.DirectoryTimeout, r)
	s.Resume()
}

func TestGroups_ImpossibleLookupIsRejectedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*auth.GroupConfig)
		want   string
	}{
		"no base":               {func(g *auth.GroupConfig) { g.BaseDNs = nil }, "groups need a base DN"},
		"no name attribute":     {func(g *auth.GroupConfig) { g.NameAttribute = "" }, "groups need a name attribute"},
		"a filter of nobody":    {func(g *auth.GroupConfig) { g.Filter = "(objectClass=group)" }, "must have {dn}, {username} or an attribute"},
		"a filter that is none": {func(g *auth.GroupConfig) { g.Filter = "(member={dn}" }, "group filter"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := inGroups()
			c.change(&cfg.Groups)
			_, err := auth.New(cfg, nil, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
}
