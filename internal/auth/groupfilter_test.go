package auth

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

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
	{ipaGroupsOfUser, func(dn, _ string) node { return and(equal("objectClass", "ipaUserGroup"), equal("member", dn)) }},
	{"(member:1.2.840.113556.1.4.1941:={dn})", func(dn, _ string) node { return inChain("member", "1.2.840.113556.1.4.1941", dn) }},
	{"(&(memberUid={username})(!(x={dn}{username})))", func(dn, name string) node {
		return and(equal("memberUid", name), not(equal("x", dn+name)))
	}},
}

// FuzzGroupFilter: whatever the DN and the name are, they become values of the filter and change nothing else.
func FuzzGroupFilter(f *testing.F) {
	for _, name := range nastyNames {
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
			require.Equal(t, c.want(dn, name), sent(t, template.fill(dn, name)))
			require.Equal(t, or(c.want(dn, name), c.want(name, dn)), sent(t, anyOf([]string{template.fill(dn, name), template.fill(name, dn)})))
		}
		require.Equal(t, equal("objectSid", dn), sent(t, bytesFilter("objectSid", []byte(dn))))
	})
}

// FuzzADName: whatever was typed, the filter is one of three, and what was typed or a part of it is its only value.
func FuzzADName(f *testing.F) {
	for _, name := range nastyNames {
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
		got, ok := adFilter(template, typed, adDomain{dns: "ad.example.org", netBIOS: "AD"})
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

// FuzzDNKey: a DN has one key however it is spelt, and another value has another.
func FuzzDNKey(f *testing.F) {
	for i, name := range nastyNames {
		f.Add(name, nastyNames[(i+1)%len(nastyNames)])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || a == "" || b == "" {
			t.Skip("values are UTF-8")
		}
		hexed := func(s string) string {
			var out strings.Builder
			for i := range len(s) {
				fmt.Fprintf(&out, `\%02X`, s[i])
			}
			return out.String()
		}
		key := dnKey("cn=" + escapeDN(a) + ",ou=groups")
		require.Equal(t, key, dnKey("CN = "+hexed(a)+" , OU=GROUPS"))
		require.Equal(t, key, dnKey("cn="+strings.ReplaceAll(escapeDN(a), `\,`, `\2c`)+",ou=groups"))
		require.Equal(t, foldValue(a) == foldValue(b), key == dnKey("cn="+hexed(b)+",ou=groups"))
		require.NotEqual(t, key, dnKey("cn="+hexed(a)))
		require.NotEqual(t, key, dnKey("ou=groups,cn="+hexed(a)))
		require.Equal(t, dnKey("cn="+hexed(a)+"+sn="+hexed(b)), dnKey("SN="+hexed(b)+"+CN="+hexed(a)))
	})
}

func TestARequiredGroupIsADNOrAName(t *testing.T) {
	t.Parallel()
	for item, want := range map[string]requiredGroup{
		"Staff":                  {name: "staff"},
		"Domain  Users":          {name: "domain users"},
		"cn=Staff,dc=org":        {dn: dnKey("cn=staff,dc=org")},
		"cn = st\\61ff , DC=org": {dn: dnKey("cn=staff,dc=org")},
		`a\;b`:                   {name: "a;b"},
		`a\\`:                    {name: `a\`},
		`a\b`:                    {name: `a\b`},
		`Größe ,()*\`:            {name: foldValue(`GRÖSSE ,()*\`)},
		"a,b":                    {name: "a,b"},
		"cn=x,b":                 {name: "cn=x,b"},
		"a=b":                    {dn: dnKey("a=b")},
		"cn=one+ou=two,dc=org":   {dn: dnKey("OU=two+CN=one,dc=org")},
	} {
		require.Equal(t, want, parseRequired(item), item)
	}
	require.Equal(t, "no DN: a\xffb", dnKey("a\xffb"))
	require.NotEqual(t, dnKey("cn=a\xff"), dnKey("cn=a\xfe"), "what is not UTF-8 is only like itself")
	require.NotEqual(t, dnKey(`cn=a\ff`), dnKey(`cn=a\fe`))
}
