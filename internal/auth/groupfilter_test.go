package auth

import (
	"strings"
	"testing"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/require"
)

// groupFilters are templates with what they are to become.
var groupFilters = []struct {
	template string
	want     func(dn, name string) node
}{
	{"(|(member={dn})(uniqueMember={dn})(memberUid={username}))", func(dn, name string) node {
		return or(equal("member", dn), equal("uniqueMember", dn), equal("memberUid", name))
	}},
	{"(&(objectClass=ipaUserGroup)(member={dn}))", func(dn, _ string) node { return and(equal("objectClass", "ipaUserGroup"), equal("member", dn)) }},
	{"(member:1.2.840.113556.1.4.1941:={dn})", func(dn, _ string) node { return inChain("member", "1.2.840.113556.1.4.1941", dn) }},
	{"(&(memberUid={username})(!(x={dn}{username})))", func(dn, name string) node {
		return and(equal("memberUid", name), not(equal("x", dn+name)))
	}},
	{`(|(member=uid={username},ou=\28x\29)(member:1.2:=cn=u-{username}+sn={username},{dn})(info=name {username}))`, func(dn, name string) node {
		value := ldapname.EscapeValue(name)
		return or(equal("member", "uid="+value+",ou=(x)"), inChain("member", "1.2", "cn=u-"+value+"+sn="+value+","+dn), equal("info", "name "+name))
	}},
}

// FuzzGroupFilter: whatever the DN and the name are, they become values of the filter and change
// nothing else.
func FuzzGroupFilter(f *testing.F) {
	for _, name := range hostileNames {
		f.Add("uid="+name+",ou=people", name)
		f.Add("{username}", "{dn}"+name)
	}
	f.Fuzz(func(t *testing.T, dn, name string) {
		if dn == "" || name == "" {
			t.Skip("an entry has both")
		}
		for _, c := range groupFilters {
			template, err := parseGroupFilter(c.template)
			require.NoError(t, err)
			require.Equal(t, c.want(dn, name), sentText(t, template.fill(dn, name)))
			require.Equal(t, or(c.want(dn, name), c.want(name, dn)), sentText(t, anyOf([]string{template.fill(dn, name), template.fill(name, dn)})))
		}
		require.Equal(t, equal("objectSid", dn), sentText(t, bytesFilter("objectSid", []byte(dn))))
	})
}

// FuzzADName: whatever was typed, the filter is one of three, and what was typed or a part of it is
// its only value.
func FuzzADName(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name)
		f.Add(`AD\` + name)
		f.Add(name + "@ad.example.org")
		f.Add(name + `\` + name + "@" + name)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		if typed == "" {
			t.Skip("Validate refuses it")
		}
		template, err := parseFilter(filters[1].template)
		require.NoError(t, err)
		plain := filters[1].want
		account := func(name string) node { return and(plain(name), equal("sAMAccountName", name)) }
		filters, err := newQualifiedFilters(template, "sAMAccountName")
		require.NoError(t, err)
		got, ok := filters.fill(typed, dialect.Domain{DNS: "ad.example.org", NetBIOS: "AD"})
		switch {
		case len(typed) > 3 && strings.EqualFold(typed[:3], `ad\`):
			require.True(t, ok)
			require.Equal(t, account(typed[3:]), sent(t, got))
		case strings.Contains(typed, `\`):
			require.False(t, ok, "another domain, or nobody of this one")
		case len(typed) > 15 && strings.EqualFold(typed[len(typed)-15:], "@ad.example.org"):
			require.True(t, ok)
			require.Equal(t, or(plain(typed), account(typed[:len(typed)-15])), sent(t, got))
		default:
			require.True(t, ok)
			require.Equal(t, plain(typed), sent(t, got))
		}
	})
}

func TestRequiredGroup_IsADNOrAName(t *testing.T) {
	t.Parallel()
	dn := func(s string) requiredGroup { return requiredGroup{text: s, isDN: true} }
	name := func(s, key string) requiredGroup { return requiredGroup{text: s, key: key} }
	for item, want := range map[string]requiredGroup{
		"Staff":                  name("Staff", "staff"),
		"Domain  Users":          name("Domain  Users", "domain users"),
		"cn=Staff,dc=org":        dn("cn=Staff,dc=org"),
		"cn = st\\61ff , DC=org": dn("cn = st\\61ff , DC=org"),
		`a\;b`:                   name("a;b", "a;b"),
		`a\\`:                    name(`a\`, `a\`),
		`a\b`:                    name(`a\b`, `a\b`),
		`Größe ,()*\`:            name(`Größe ,()*\`, `grosse ,()*\`),
		"a,b":                    name("a,b", "a,b"),
		"cn=x,b":                 name("cn=x,b", "cn=x,b"),
		"a=b":                    dn("a=b"),
		"cn=one+ou=two,dc=org":   dn("cn=one+ou=two,dc=org"),
	} {
		require.Equal(t, want, parseRequired(item), item)
	}
}
