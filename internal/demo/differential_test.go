package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// comparedFilters are judged alike by slapd and by the demo directory.
func comparedFilters() []string {
	return []string{
		"(objectClass=*)", "(objectClass=inetOrgPerson)", "(objectclass=PERSON)", "(objectClass=nosuch)",
		"(!(objectClass=device))",
		"(uid=alice)", "(UID=ALICE)", "(userid=alice)", "(uid=mallory)", "(!(uid=alice))", "(uid=*)", "(!(uid=*))",
		"(uid=ａlice)", "(uid=alice\\20)", "(uid=o'hara)", "(uid=peggy\\28temp\\29)", "(uid=peggy)", "(uid=al*)",
		"(uid=*e)", "(uid=*a*)", "(uid=a*c*e)", "(uid=a*ice*e)", "(uid=*(temp\\29)", "(uid=\\2a)", "(uid=**)",
		"(cn=  alice   archer )", "(cn=al*  ar*)", "(cn=alice *archer)", "(cn=* a*)", "(cn=*  *)", "(cn=*ce )",
		"(cn=Doe, Jane)", "(cn=jürgen groß)", "(cn=JÜRGEN GROß)", "(sn=gro\\c3\\9f)", "(cn=ju\u0308rgen*)",
		"(cn=)", "(mail=)", "(mail=ALICE@example.org)", "(mail=*archer@*)", "(!(mail=*))",
		"(mail=jürgen@x)", "(!(mail=alice@example.org))",
		"(nosuch=x)", "(nosuch=*)", "(|(nosuch=x)(uid=bob))", "(&(nosuch=x)(uid=bob))",
		"(&)", "(|)", "(!(&))", "(!(|))",
		"(cn;lang-en=alice)", "(cn;lang-en=*)",
		"(userPassword=*)", "(userPassword=alice-password)", "(userPassword=a*)", "(|(userPassword=*)(uid=bob))",
		"(member=uid=alice,ou=people,dc=example,dc=org)", "(member=UID=Alice, ou=People,dc=example,dc=org)",
		"(member=cn=doe\\5c2C jane,ou=people,dc=example,dc=org)", "(member=notadn)", "(member=*)", "(manager=*)",
		"(telephoneNumber=+44 20 7946 0001)", "(telephoneNumber=+44*)",
		"(dc=EXAMPLE)", "(ou=groups)", "(o=example organisation)",
		"(description=*)", "(&(objectClass=person)(!(mail=*)))", "(&(objectClass=person)(|(uid=bob)(uid=carol)))",
		"(&(objectClass=groupOfNames)(member=uid=alice,ou=people,dc=example,dc=org))",
	}
}

// comparedSearches are searches that slapd and the demo directory answer alike.
func comparedSearches() []*ldap.SearchRequest {
	var searches []*ldap.SearchRequest
	add := func(base string, scope, limit int, filter string, attributes ...string) {
		searches = append(searches, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases,
			limit, 0, false, filter, attributes, nil))
	}
	for _, filter := range comparedFilters() {
		add(BaseDN, ldap.ScopeWholeSubtree, 0, filter, "1.1")
	}
	for _, base := range []string{
		BaseDN, PeopleDN, GroupsDN, ServiceDN, "DC=Example, dc=ORG", "userid=ALICE," + PeopleDN,
		`cn=doe\2c  jane,` + PeopleDN, "uid=mallory," + PeopleDN, "uid=a,ou=b," + PeopleDN, "ou=none," + BaseDN,
		"dc=other", "dc=org", "", "no dn", "uid=alice+cn=x," + PeopleDN,
	} {
		for scope := ldap.ScopeBaseObject; scope <= ldap.ScopeChildren; scope++ {
			if base != "" || scope != ldap.ScopeBaseObject { // the root DSEs differ
				add(base, scope, 0, "(objectClass=*)", "1.1")
			}
		}
	}
	for limit := range 7 {
		add(PeopleDN, ldap.ScopeBaseObject, limit, "(objectClass=*)", "1.1")
		add(GroupsDN, ldap.ScopeWholeSubtree, limit, "(objectClass=*)", "1.1")
	}
	for _, attributes := range [][]string{
		nil, {"*"}, {"1.1"}, {"1.1", "cn"}, {"CN"}, {"commonName", "surname"}, {"cn", "cn"}, {"uid", "nosuch"},
		{"userPassword"}, {"userPassword", "uid"}, {"cn;lang-en"}, {"*", "cn"}, {"member"}, {"jpegPhoto"}, {""},
	} {
		add(BaseDN, ldap.ScopeWholeSubtree, 0, "(objectClass=*)", attributes...)
	}
	return searches
}

func TestSearch_IsAnsweredLikeSlapd(t *testing.T) {
	t.Parallel()
	demoURL, slapdURL := start(t, Config{}).URL(), startSlapd(t)
	identities := map[string][2]string{
		"service":   {ServiceDN, ServicePassword},
		"user":      {"uid=alice," + PeopleDN, "alice-password"},
		"anonymous": {},
	}
	for identity, who := range identities {
		ours, theirs := connect(t, demoURL), connect(t, slapdURL)
		if who[0] != "" {
			require.NoError(t, ours.Bind(who[0], who[1]))
			require.NoError(t, theirs.Bind(who[0], who[1]))
		}
		for _, request := range comparedSearches() {
			name := fmt.Sprintf("%s, base %q, scope %d, limit %d, filter %s, attributes %q",
				identity, request.BaseDN, request.Scope, request.SizeLimit, request.Filter, request.Attributes)
			assert.Equal(t, answer(theirs, request), answer(ours, request), name)
		}
	}
}

// answer runs a search and describes everything about its answer that must agree.
func answer(conn *ldap.Conn, request *ldap.SearchRequest) []string {
	found, err := conn.Search(request)
	lines := []string{fmt.Sprintf("code %d", codeOf(err))}
	failed := &ldap.Error{}
	if errors.As(err, &failed) {
		lines = append(lines, "matched "+failed.MatchedDN)
	}
	if found == nil {
		return lines
	}
	if request.SizeLimit > 0 { // which ones come first is the server's choice
		return append(lines, fmt.Sprintf("%d entries", len(found.Entries)))
	}
	for _, e := range found.Entries {
		lines = append(lines, describe(e))
	}
	slices.Sort(lines[1:])
	return lines
}

// describe is an entry in one line, whatever the order of its attributes.
func describe(e *ldap.Entry) string {
	dn, err := ldap.ParseDN(e.DN)
	if err != nil {
		return err.Error()
	}
	var attributes []string
	for _, a := range e.Attributes {
		slices.Sort(a.Values)
		attributes = append(attributes, fmt.Sprintf("%s=%q", a.Name, a.Values))
	}
	slices.Sort(attributes)
	return dn.String() + ": " + strings.Join(attributes, " ")
}
