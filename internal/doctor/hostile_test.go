package doctor_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// hostileDirectory lets everybody in and answers each search, also of the base and of a group, by
// one entry in whose name and values words stand.
func hostileDirectory(t *testing.T, words string, values int) *ldaptest.Server {
	t.Helper()
	many := make([]string, values)
	for i := range many {
		many[i] = fmt.Sprintf("%s%d", words, i)
	}
	return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		switch req.Op {
		case ldaptest.OpBind:
			c.WriteRaw(ldaptest.BindResponse(req.MessageID, 0, ""))
		case ldaptest.OpSearch:
			e := ldaptest.Entry{DN: "cn=" + words, Attributes: map[string][]string{}}
			for _, name := range []string{
				"namingContexts", "vendorName", "vendorVersion", "supportedSASLMechanisms", "supportedControl", "subschemaSubentry",
				"defaultNamingContext", "configurationNamingContext", "schemaNamingContext", "currentTime", "uid", "cn", "passwordLockout",
			} {
				e.Attributes[name] = many
			}
			code := uint16(0)
			if req.DN == ldaptest.PeopleDN {
				code = 32
			}
			c.WriteRaw(ldaptest.SearchEntry(req.MessageID, e))
			c.WriteRaw(ldaptest.SearchDone(req.MessageID, code, words))
		}
	})
}

func TestHostile_RepeatedPasswordIsWithheld(t *testing.T) {
	t.Parallel()
	const service, user = "Tr0ub4dor&3", "correct horse"
	for name, spell := range map[string]func(string) string{
		"as it is": func(s string) string { return s },
		"hex":      func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	} {
		for _, secret := range []string{service, user} {
			t.Run(name+" "+secret, func(t *testing.T) {
				t.Parallel()
				s := hostileDirectory(t, spell(secret), 2)
				steps := examine(t, func(o *doctor.Options) {
					o.Pool.BindPassword, o.User, o.Password = service, "alice", user
				}, s.URL())
				require.NotEmpty(t, find(t, steps, "root DSE").Details)
				require.NotContains(t, written(t, steps), strings.Trim(spell(secret), "="))
			})
		}
	}
}

func TestHostile_EndlessAnswersAreReportedInBounds(t *testing.T) {
	t.Parallel()
	s := hostileDirectory(t, strings.Repeat("x", 1000), 300)
	steps := examine(t, func(o *doctor.Options) { o.User = "alice" }, s.URL())
	require.Less(t, len(written(t, steps)), 100_000)
}

func TestReport_JSONEscapesControlCharacters(t *testing.T) {
	t.Parallel()
	s := hostileDirectory(t, "a\u009b31mb\u202ec\u200bd\x7f", 2)
	out := written(t, examine(t, func(o *doctor.Options) { o.User = "alice" }, s.URL()))
	require.NotContains(t, out, "\u009b")
	require.NotContains(t, out, "\u202e")
	require.NotContains(t, out, "\u200b")
	require.NotContains(t, out, "\x7f")
	require.Contains(t, out, `\\u202e`, "it is told of")
}
