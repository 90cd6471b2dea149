package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/require"
)

// password is a secret whose letters no message has by chance.
const password = "Hunter2-xyzzy"

// quiet is the least environment that loads without a warning; what is appended to it wins.
func quiet(more ...string) []string {
	return minimal(append([]string{"HTTP_ADDR=127.0.0.1:8080"}, more...)...)
}

// minimal is the least environment that loads; what is appended to it wins.
func minimal(more ...string) []string {
	return append([]string{
		"LDAP_URL=ldaps://ldap.example.org", "LDAP_BASE_DN=dc=example,dc=org",
		"LDAP_BIND_DN=cn=service,dc=example,dc=org", "LDAP_BIND_PASSWORD=" + password,
	}, more...)
}

// template is the least environment with a DN template.
func template(more ...string) []string {
	return append([]string{"LDAP_URL=ldaps://ldap.example.org", "LDAP_USER_DN_TEMPLATE=uid={username},dc=example,dc=org"}, more...)
}

// mustLoad loads what has to be right.
func mustLoad(t *testing.T, environ []string) *config.Config {
	t.Helper()
	c, err := config.Load(environ)
	require.NoError(t, err)
	return c
}

// problems loads what has to be wrong and gives what is.
func problems(t *testing.T, environ []string) []config.Problem {
	t.Helper()
	c, err := config.Load(environ)
	require.Error(t, err)
	require.Nil(t, c)
	var wrong *config.Error
	require.ErrorAs(t, err, &wrong)
	require.NotEmpty(t, wrong.Problems)
	return wrong.Problems
}

// problem loads what is wrong in one thing and gives its text.
func problem(t *testing.T, variable string, environ []string) string {
	t.Helper()
	all := problems(t, environ)
	require.Len(t, all, 1, "%v", all)
	require.Equal(t, variable, all[0].Variable)
	return all[0].String()
}

// file makes a file with a content and gives its path.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// cut parts a variable from its value.
func cut(v string) (name, value string) {
	name, value, _ = strings.Cut(v, "=")
	return name, value
}
