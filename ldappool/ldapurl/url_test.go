package ldapurl

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse_GivesOneSpellingAndTheAddress(t *testing.T) {
	t.Parallel()
	for given, want := range map[string][2]string{
		"LDAP://LDAP.Example.ORG":         {"ldap://ldap.example.org", "LDAP.Example.ORG:389"},
		"ldaps://h:1636/":                 {"ldaps://h:1636", "h:1636"},
		"ldaps://h:":                      {"ldaps://h", "h:636"},
		"ldap://[2001:DB8:0:0::1]":        {"ldap://[2001:db8::1]", "[2001:DB8:0:0::1]:389"},
		"ldap://[::ffff:c000:201]:3890":   {"ldap://192.0.2.1:3890", "[::ffff:c000:201]:3890"},
		"ldap://[FE80::1%25Eth0]":         {"ldap://[fe80::1%25Eth0]", "[FE80::1%Eth0]:389"},
		"LDAPI://%2Frun%2Fslapd%2Fldapi/": {"ldapi://%2Frun%2Fslapd%2Fldapi", ""},
		"ldap+srv://Example.org/":         {"ldap+srv://example.org", ""},
	} {
		u, err := Parse(given)
		require.NoError(t, err, given)
		require.Equal(t, want, [2]string{u.String(), u.Address()}, given)
		require.Equal(t, u.Scheme, SchemeOf(given), given)
		again, err := Parse(u.String())
		require.NoError(t, err, given)
		require.Equal(t, u.String(), again.String(), given)
	}
	socket, err := Parse("ldapi://%2frun%2fa%20b")
	require.NoError(t, err)
	require.Equal(t, "/run/a b", socket.Socket)
}

func TestParse_SaysWhatToCorrect(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]error{
		"": ErrNoURL, "ldap.example.org:389": ErrNoURL, "http://h": ErrScheme, "ldaps+srv://h": ErrScheme,
		"ldap://": ErrNoHost, "ldap://:389": ErrNoHost, "ldap+srv://": ErrNoHost, "ldap://h/dc=org": ErrShape, "ldap://h?": ErrShape, "ldap://h#x": ErrShape,
		"ldap://h:ldap": ErrShape, "ldap://[::1": ErrShape, "ldap://h:0": ErrPort, "ldap://h:65536": ErrPort, "ldap://2001:db8::1": ErrBrackets,
		"ldap+srv://h:389": ErrDomain, "ldap+srv://192.0.2.1": ErrDomain, "ldapi://": ErrSocket, "ldapi:///": ErrSocket, "ldapi://%2": ErrSocket,
		"ldap://u:secret@h": ErrUser,
	} {
		_, err := Parse(given)
		require.Equal(t, want, err, given)
		if SchemeOf(given) == "" {
			require.Contains(t, []error{ErrNoURL, ErrScheme}, err, given)
		}
	}
}

// TestWithoutUser_HidesWhatMayBeAPassword, however the URL is broken.
func TestWithoutUser_HidesWhatMayBeAPassword(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"ldap://h": "ldap://h", "ldap://u:p@h": "ldap://[redacted]@h", "u:p@q@h": "[redacted]@h", "ldap://u:/p#?@h:x": "ldap://[redacted]@h:x",
	} {
		require.Equal(t, want, WithoutUser(given))
		require.Equal(t, given != want, HoldsUser(given))
	}
	require.False(t, HoldsUser("ldapi://%2frun%2fslapd@main"))
}

func TestBeginsInTheClear_IsAllButTLSAndSockets(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]bool{"ldap://h": true, "ldap+srv://h": true, "ldaps://h": false, "ldapi:///s": false} {
		u, err := Parse(given)
		require.NoError(t, err)
		require.Equal(t, want, u.BeginsInTheClear(), given)
	}
}
