package auth_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestThrottle_SpellingsOfANumberShareABudgetWithATemplate: telephoneNumberMatch (RFC 4517 section
// 4.2.29) ignores spaces and hyphens.
func TestThrottle_SpellingsOfANumberShareABudgetWithATemplate(t *testing.T) {
	t.Parallel()
	number := func(n string) string {
		return "dn: telephoneNumber=" + n + "," + ldaptest.PeopleDN + "\nobjectClass: inetOrgPerson\ncn: x\nsn: x\ntelephoneNumber: " + n + "\nuserPassword: secret\n\n"
	}
	p := newPool(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: number("123456") + person("a-b", ldaptest.PeopleDN, "userPassword: secret") + person("ab", ldaptest.PeopleDN, "userPassword: secret")}).URL())
	template := func(attribute string) auth.Config {
		return auth.Config{DNTemplate: attribute + "={username}," + ldaptest.PeopleDN, Timeout: patience}
	}
	for _, attribute := range []string{"telephoneNumber", "2.5.4.20"} {
		requireOutcome(t, auth.OK, authenticate(t, template(attribute), p, "1-23 4-56", "secret"))
		a, _ := newAuthenticator(t, throttled(t, template(attribute), 3, 100), p)
		for _, name := range []string{"123456", "1-23456", "12 34-56"} {
			requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", name, "wrong"))
		}
		for _, name := range []string{"123456", "1-2-3456", "1 2 3 4 5 6", "123-456"} {
			requireOutcome(t, auth.TooManyAttempts, from(a, "192.0.2.1", name, "wrong"))
		}
	}
	// Names that are compared as text keep budgets of their own.
	for _, attribute := range []string{"uid", "userid", "0.9.2342.19200300.100.1.1"} {
		a, _ := newAuthenticator(t, throttled(t, template(attribute), 1, 100), p)
		requireOutcome(t, auth.InvalidPassword, from(a, "192.0.2.1", "a-b", "wrong"))
		requireOutcome(t, auth.OK, from(a, "192.0.2.1", "ab", "secret"))
		r := from(a, "192.0.2.1", "a-b", "secret")
		require.Equal(t, auth.TooManyAttempts, r.Outcome)
	}
}
