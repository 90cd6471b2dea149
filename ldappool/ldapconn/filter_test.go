package ldapconn

import (
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// filterTexts are filters of every kind (RFC 4515 section 3).
var filterTexts = []string{
	"(objectClass=*)", "(uid=x)", "(uid=)", `(uid=\2a\28\29\5c\ff)`, "(uid~=x)", "(uid>=x)", "(uid<=x)",
	"(cn=a*)", "(cn=*a)", "(cn=*a*)", "(cn=a*b*c)", "(cn:caseExactMatch:=x)", "(cn:=x)", "(:dn:1.2.3:=x)", "(o:dn:=x)",
	"(member:1.2.840.113556.1.4.1941:=cn=x,dc=y)", "(&)", "(|)", "(!(uid=x))", "(&(uid=x)(|(mail=y)(!(cn=z*))))", "(cn=\u00e4\u20ac)",
}

func TestFilter_ATextIsCompiledAsGoLDAPDoes(t *testing.T) {
	t.Parallel()
	for _, text := range filterTexts {
		want, err := ldap.CompileFilter(text)
		require.NoError(t, err, text)
		got, err := CompileFilter(text)
		require.NoError(t, err, text)
		require.Equal(t, want.Bytes(), got.Bytes(), text)
		again, err := CompileFilter(got.String())
		require.NoError(t, err, text)
		require.Equal(t, got, again, "%s means the same as %s", got, text)
	}
	for _, text := range []string{"", "uid=x", "(uid=x", "(uid=x))", "(uid)", `(uid=\zz)`, "(&(uid=x)"} {
		_, err := CompileFilter(text)
		require.ErrorIs(t, err, ErrInvalidRequest, text)
	}
}

// templates are filters with placeholders.
var templates = []string{
	"(uid={username})", "(&(objectClass=person)(|(uid={username})(mail={username})))", "(mail={username}@example.org)",
	"(cn={first} {last})", "(cn={username}*)", "(cn=*{username}*{mail})", "(member:1.2.840.113556.1.4.1941:={dn})",
	"(cn:dn:caseExactMatch:={dn})", "(!(uid={username}))", "(uid>={username})", `(&(cn=\2a{username}\5c)(!(objectClass=computer)))`,
	"(|(gidNumber={gidNumber})(memberUid={username})(member={dn}))", `(&(uid=\00{username}\ff)(objectSid=\01\00\00\ffvalue))`, "(uid=no placeholder)", "(uid={Not a placeholder})",
}

// fillText puts values into the text of a template, as one does without compiling it.
func fillText(template string, names []string, values []string) string {
	for i, name := range names {
		template = strings.ReplaceAll(template, "{"+name+"}", ldap.EscapeFilter(values[i]))
	}
	return template
}

func TestFilter_ZeroValueIsInvalid(t *testing.T) {
	t.Parallel()
	require.True(t, Filter{}.IsZero())
	require.Empty(t, Filter{}.String())
}

func TestFilterTemplate_FillsValuesAsTheirEscapedTextWouldBe(t *testing.T) {
	t.Parallel()
	for _, text := range templates {
		template, err := CompileTemplate(text)
		require.NoError(t, err, text)
		values := []string{"x", "*", `)(uid=*`, `\`, "\x00\x01", "\u00e4", "a b", "\xff", strings.Repeat("x", 127), strings.Repeat("x", 300), strings.Repeat("x", 70_000)}
		for _, value := range values {
			fill := make([]string, len(template.Names()))
			for i := range fill {
				fill[i] = value + strings.Repeat("y", i)
			}
			want, err := ldap.CompileFilter(fillText(text, template.Names(), fill))
			require.NoError(t, err)
			require.Equal(t, want.Bytes(), template.Fill(fill...).ber, "%s with %.100q", text, value)
		}
	}
}

func TestFilterTemplate_NamesItsPlaceholders(t *testing.T) {
	t.Parallel()
	template, err := CompileTemplate("(|(gidNumber={gidNumber})(memberUid={username})(cn={username}{x-y;z})(a={}{ b}{9})")
	require.ErrorIs(t, err, ErrInvalidRequest, "it has no end")
	require.Nil(t, template)
	template, err = CompileTemplate("(|(gidNumber={gidNumber})(memberUid={username})(cn={username}{x-y;z})(a={}{ b}{9}))")
	require.NoError(t, err)
	require.Equal(t, []string{"gidNumber", "username", "x-y;z"}, template.Names())
	require.Panics(t, func() { template.Fill("one") })
}

func TestFilterTemplate_APlaceholderStandsOnlyInAValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"({attribute}=x)", "(cn:{rule}:=x)", "(cn:dn:{rule}:=x)", "({username}=*)", "{filter}", "({filter})", "(&{filter})", "(&(uid={username})({attribute}=x))",
		"(uid={username}",
	} {
		_, err := CompileTemplate(text)
		require.ErrorIs(t, err, ErrInvalidRequest, text)
	}
	_, err := CompileTemplate("(|" + strings.Repeat("(a={x}{y})", 300) + ")")
	require.NoError(t, err, "two names")
	var many strings.Builder
	for i := range 256 {
		many.WriteString("(a={x" + strings.Repeat("x", i) + "})")
	}
	_, err = CompileTemplate("(|" + many.String() + ")")
	require.ErrorIs(t, err, ErrInvalidRequest)
}

func TestFilterTemplate_CanBeFilledByManyAtOnce(t *testing.T) {
	t.Parallel()
	template, err := CompileTemplate("(&(uid={username})(cn=*))")
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		value := strings.Repeat("x", 100*i+1)
		want, err := CompileFilter("(&(uid=" + value + ")(cn=*))")
		require.NoError(t, err)
		all.Go(func() {
			for range 100 {
				if got := template.Fill(value); string(got.ber) != string(want.ber) {
					t.Errorf("%q", got.ber)
				}
			}
		})
	}
	all.Wait()
}

// TestFilterTemplate_AnEmptyValueIsAValue: put into the text, it would make a test for presence of
// (cn=*{x}).
func TestFilterTemplate_AnEmptyValueIsAValue(t *testing.T) {
	t.Parallel()
	template, err := CompileTemplate("(cn=*{x})")
	require.NoError(t, err)
	require.Equal(t, octetsOf(t, "a4 08 04 02 636e 30 02 82 00"), template.Fill("").ber)
}

func FuzzFilterTemplate(f *testing.F) {
	for _, text := range append(templates, filterTexts...) {
		f.Add(text, "x")
		f.Add(text, "*)(\x00\\")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(text) > 1000 || value == "" { // go-ldap's compiler is recursive, and the text is the operator's
			return
		}
		template, err := CompileTemplate(text)
		if err != nil {
			return
		}
		fill := make([]string, len(template.Names()))
		for i := range fill {
			fill[i] = value
		}
		want, err := ldap.CompileFilter(fillText(text, template.Names(), fill))
		require.NoError(t, err)
		require.Equal(t, want.Bytes(), template.Fill(fill...).ber)
	})
}
