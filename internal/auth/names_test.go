package auth_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// special are the characters that RFC 4514 and RFC 4515 treat as special, and some that URLs,
// shells and formats do.
const special = `*()\,+"<>;=#/&|!~:{}%$'-_.@^` + "`"

// hostileNames are user names that want escaping. No two of them are one to a directory, which
// folds case and width.
func hostileNames() []string {
	names := []string{
		"in between", "#04024869", "##", `\\`, `\2a`, `\5c2a`, `a\00`, "a=b", "a,b", "a+b", "cn=a+sn=b", "{username}", "%s", "()", "(a)", `"a"`,
		"*)(uid=*", "*)(|(uid=*", "x)(objectClass=*))(&(uid=x", "x,uid=user0", `x\,ou=y`, "user0,ou=people", "<GUID=1>", "cn=service,dc=example,dc=org",
		"ä", "öäüß", "Ærøskøbing", "Ελλάδα", "Привет", "日本語", "עברית", "e\u0301tude", "🙂", "👩\u200d💻", "🇨🇭", "\U00020000", "x\u2028y",
	}
	for _, c := range special {
		names = append(names, string(c), string(c)+"b", "a"+string(c), "a"+string(c)+"b", "a"+string(c)+string(c))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestName_LogsInAsExactlyOneUser: every user has a password of its own, so one that is OK is the
// one that was meant.
func TestName_LogsInAsExactlyOneUser(t *testing.T) {
	t.Parallel()
	names := hostileNames()
	password := func(i int) string { return fmt.Sprintf("of number %d", i) }
	var ldif strings.Builder
	for i, name := range names {
		ldif.WriteString(person(name, ldaptest.PeopleDN, "userPassword: "+password(i)))
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: ldif.String()})
	p := newPool(t, s.URL())
	for i, name := range names {
		t.Run(fmt.Sprintf("%+q", name), func(t *testing.T) {
			t.Parallel()
			for how, cfg := range map[string]auth.Config{"by filter": byFilter(), "by template": byTemplate()} {
				r := authenticate(t, cfg, p, name, password(i))
				requireOutcome(t, auth.OK, r)
				require.Equal(t, name, r.User.Username, how)
				requireOutcome(t, auth.InvalidPassword, authenticate(t, cfg, p, name, password(i+1)))
			}
		})
	}
}

// TestName_WithFilterSyntaxMatchesNobody: user0 is there, with the password that is tried.
func TestName_WithFilterSyntaxMatchesNobody(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := newPool(t, s.URL())
	both := byFilter()
	both.Filter = "(&(objectClass=inetOrgPerson)(|(uid={username})(mail={username})))"
	for _, name := range []string{
		"*", "user*", "*user0*", "u*0", "user0*", "**", `\2a`, `user\2a`, `\75ser0`, `user\30`, "＊",
		"*)(uid=*", "*)(|(uid=*", "*))(|(uid=*", "user0)(uid=*", "user0))(&(uid=user0", "x)(|(uid=user0)", "x))(|(uid=user0", ")(uid=user0", "(uid=user0)",
		"=user0", "~=user0", ">=user0", "uid=user0", ":=user0", "user0,ou=people", "x,uid=user0", "x+uid=user0", "user0+uid=user0", "user0;ou=people", `user0\`, `user0\20`,
		"user0#", `"user0"`, "<user0>", "{username}", "（uid=user0）",
	} {
		t.Run(fmt.Sprintf("%+q", name), func(t *testing.T) {
			t.Parallel()
			for _, cfg := range []auth.Config{byFilter(), both} {
				r := authenticate(t, cfg, p, name, "password0")
				requireOutcome(t, auth.InvalidUser, r)
				require.ErrorContains(t, r.Cause, "no entry matches")
			}
			requireOutcome(t, auth.InvalidPassword, authenticate(t, byTemplate(), p, name, "password0"))
		})
	}
}

// TestName_InADNIsReadWhole asks for entries by the DNs that a template makes, those
// included that Validate would not let pass.
func TestName_InADNIsReadWhole(t *testing.T) {
	t.Parallel()
	names := append(hostileNames(), "line\nfeed", "linefeed", "tab\tbed", "tabbed", "bell\ax", "bellx", "car\rriage", "carriage", " led", "trailed ", "  both  ", "dele\x7fte")
	var ldif strings.Builder
	for _, name := range names {
		ldif.WriteString(person(name, ldaptest.PeopleDN))
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: ldif.String()})
	p := newPool(t, s.URL())
	for _, name := range names {
		t.Run(fmt.Sprintf("%+q", name), func(t *testing.T) {
			t.Parallel()
			dn, err := auth.FillDN("uid={username},"+ldaptest.PeopleDN, name)
			require.NoError(t, err)
			r, err := p.Search(t.Context(), ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"uid"}, nil))
			require.NoError(t, err)
			require.Len(t, r.Entries, 1, "%s: %s", dn, ldap.LDAPResultCodeMap[r.Code])
			require.Equal(t, []string{name}, r.Entries[0].GetAttributeValues("uid"))
		})
	}
}
