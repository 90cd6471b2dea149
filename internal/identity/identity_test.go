package identity_test

import (
	"testing"

	"authsvc/internal/identity"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ list, err string }{
		{"Remote-User={username},X-Name=user {username} ({dn}),X-Mail={mail},X-Fixed=yes", ""},
		{"", "NAME=VALUE"}, {"Remote-User", "NAME=VALUE"}, {"Remote User={username}", "NAME=VALUE"}, {"={username}", "NAME=VALUE"},
		{"A={username},a={dn}", "twice"}, {"A={user}", "no placeholder"}, {"A={username", "no placeholder"}, {"A=}", "brace"}, {"A={phone}", "no placeholder"},
		{"Content-Length={username}", "another meaning"}, {"Authsvc-Cache=x", "another meaning"}, {"A=a\nb", "control character"},
	} {
		headers, err := identity.Parse(c.list, []string{"mail"})
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.list)
			continue
		}
		require.NoError(t, err)
		require.Len(t, headers, 4)
	}
}
