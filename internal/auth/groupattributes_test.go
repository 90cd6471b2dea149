package auth

import (
	"fmt"
	"testing"

	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/require"
)

// FuzzGroupFilterAttributes: whatever values the user's entry has, they become values of the filter
// and change nothing else.
func FuzzGroupFilterAttributes(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name, "{dn}"+name)
	}
	f.Add("{username}", "{gidNumber}")
	f.Fuzz(func(t *testing.T, one, two string) {
		if one == "" || two == "" {
			return // no attribute has an empty value
		}
		values := func(attribute string) [][]byte {
			if attribute == "a" {
				return [][]byte{[]byte(one), []byte(two)}
			}
			return [][]byte{[]byte(one)}
		}
		for template, want := range map[string]node{
			"(x={b})":               equal("x", one),
			"(x={a})":               or(equal("x", one), equal("x", two)),
			"(x={b}-{b})":           equal("x", one+"-"+one),
			"(m=uid={b},o=x)":       equal("m", "uid="+ldapname.EscapeValue(one)+",o=x"),
			"(&(m={dn})(!(x={a})))": and(equal("m", "uid=u"), not(or(equal("x", one), equal("x", two)))),
			"(|(m={dn})(u={username})(m=cn={a},{dn}))": or(equal("m", "uid=u"), equal("u", "{b}"),
				or(equal("m", "cn="+ldapname.EscapeValue(one)+",uid=u"), equal("m", "cn="+ldapname.EscapeValue(two)+",uid=u"))),
		} {
			parsed, err := parseGroupFilter(template)
			require.NoError(t, err)
			filled, err := parsed.withValues(values)
			require.NoError(t, err)
			require.Equal(t, want, sentText(t, filled.fill("uid=u", "{b}")), template)
		}
	})
}

func TestGroupFilter_MatchesNothingByAnAttributeThatTheEntryDoesNotHave(t *testing.T) {
	t.Parallel()
	none := func(string) [][]byte { return nil }
	for template, want := range map[string]string{
		"(x={a})":                              "(objectClass=authsvcNone)",
		"(|(m={dn})(x={a}))":                   "(|(m=u)(objectClass=authsvcNone))",
		"(&(m={dn})(!(x={a})))":                "(&(m=u)(!(objectClass=*)))",
		"(&(m={dn})(!(!(x=v-{a}*))))":          "(&(m=u)(!(!(objectClass=authsvcNone))))",
		"(!(&(x={a})(|(y=1)(!(z={a})))))":      "(!(&(objectClass=*)(|(y=1)(!(objectClass=authsvcNone)))))",
		"(&(m={dn})(!(y=1))(x:2.5.13.2:={a}))": "(&(m=u)(!(y=1))(objectClass=authsvcNone))",
	} {
		parsed, err := parseGroupFilter(template)
		require.NoError(t, err)
		filled, err := parsed.withValues(none)
		require.NoError(t, err)
		require.Equal(t, want, filled.fill("u", "n"))
	}
}

func TestGroupFilter_BoundsTheValuesOfAnAttribute(t *testing.T) {
	t.Parallel()
	parsed, err := parseGroupFilter("(x={a})")
	require.NoError(t, err)
	many := make([][]byte, maxPlaceholderValues+1)
	for i := range many {
		many[i] = fmt.Append(nil, i)
	}
	_, err = parsed.withValues(func(string) [][]byte { return many[1:] })
	require.NoError(t, err)
	_, err = parsed.withValues(func(string) [][]byte { return many })
	require.ErrorIs(t, err, errManyPlaceholderValues)
}
