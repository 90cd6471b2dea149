package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fileVariables are those that name a file.
var fileVariables = []string{
	"LDAP_BIND_PASSWORD_FILE", "LDAP_CA_FILE", "LDAP_CERT_FILE", "LDAP_KEY_FILE",
	"HTTP_TLS_CERT_FILE", "HTTP_TLS_KEY_FILE", "HTTP_TLS_CLIENT_CA_FILE", "HTTP_TLS_CLIENT_DENY_FILE", "AUTH_API_KEYS_FILE",
	"AUTH_THROTTLE_REDIS_URL_FILE", "AUTH_THROTTLE_REDIS_CA_FILE", "AUTH_THROTTLE_REDIS_CERT_FILE", "AUTH_THROTTLE_REDIS_KEY_FILE",
}

func TestFileVariables_ErrorHidesASecretGivenAsAPath(t *testing.T) {
	t.Parallel()
	pair := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{})
	wrong := func(variable, value string) string {
		_, err := config.Load(minimal("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+file(t, "x"), "LDAP_CERT_FILE="+pair.CertFile, "LDAP_KEY_FILE="+pair.KeyFile,
			"HTTP_TLS_CERT_FILE="+pair.CertFile, "HTTP_TLS_KEY_FILE="+pair.KeyFile, "AUTH_THROTTLE_REDIS_URL_FILE="+file(t, "rediss://127.0.0.1"),
			"AUTH_THROTTLE_REDIS_CERT_FILE="+pair.CertFile, "AUTH_THROTTLE_REDIS_KEY_FILE="+pair.KeyFile, variable+"="+value))
		require.Error(t, err, variable)
		return err.Error()
	}
	for _, variable := range fileVariables {
		for _, secret := range []string{password, "hunter2", "/hunter2", "hun/ter2", "/9j/4AAQ+Sk=", "/a b/c", "./secret", "correct horse", "../$ecret/x"} {
			text := wrong(variable, secret)
			assert.NotContains(t, text, secret, variable)
			assert.Contains(t, text, "the file named by it cannot be read: no such file or directory", variable)
		}
		assert.Contains(t, wrong(variable, "/run/secrets/is-missing"), "the file /run/secrets/is-missing cannot be read", "what looks like a path helps to find the mistake")
	}
}

func TestAddress_ErrorHidesTheUserPart(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"HTTP_ADDR=me:hunter2@host", "ADMIN_ADDR=http://me:hunter2@host", "LDAP_URL=me:hunter2@host", "LDAP_URL=ldap://me:hun%zzter2@h"} {
		name, _, _ := strings.Cut(s, "=")
		text := problem(t, name, minimal(s))
		assert.NotContains(t, text, "hunter2")
		assert.NotContains(t, text, "ter2")
	}
}

func TestFileVariables_WarnIfOthersMayChangeTheFile(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	pair := ca.Issue(t, ldaptest.CertConfig{Client: true})
	authority := filepath.Join(t.TempDir(), "ca.pem")
	content, err := os.ReadFile(ca.File())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(authority, content, 0o600)) //nolint:gosec // a file of the test's own
	paths := map[string]string{
		"LDAP_BIND_PASSWORD_FILE": file(t, password), "LDAP_CA_FILE": authority, "LDAP_CERT_FILE": pair.CertFile, "LDAP_KEY_FILE": pair.KeyFile,
		"HTTP_TLS_CERT_FILE": pair.CertFile, "HTTP_TLS_KEY_FILE": pair.KeyFile, "HTTP_TLS_CLIENT_CA_FILE": authority,
		"AUTH_API_KEYS_FILE": file(t, "shop "+hashed("one")+"\n"), "HTTP_TLS_CLIENT_DENY_FILE": file(t, hashed("one")),
		"AUTH_THROTTLE_REDIS_URL_FILE": file(t, "rediss://127.0.0.1"), "AUTH_THROTTLE_REDIS_CA_FILE": authority,
		"AUTH_THROTTLE_REDIS_CERT_FILE": pair.CertFile, "AUTH_THROTTLE_REDIS_KEY_FILE": pair.KeyFile,
	}
	environ := minimal("LDAP_BIND_PASSWORD=")
	for variable, path := range paths {
		require.NoError(t, os.Chmod(path, 0o600))
		environ = append(environ, variable+"="+path)
	}
	secret := map[string]bool{"LDAP_BIND_PASSWORD_FILE": true, "LDAP_KEY_FILE": true, "HTTP_TLS_KEY_FILE": true,
		"AUTH_THROTTLE_REDIS_URL_FILE": true, "AUTH_THROTTLE_REDIS_KEY_FILE": true}
	warned := func(variable string) bool {
		for _, w := range mustLoad(t, environ).Warnings {
			if strings.HasPrefix(w, variable+": "+paths[variable]) {
				return true
			}
		}
		return false
	}
	for _, variable := range fileVariables {
		for _, c := range []struct {
			mode os.FileMode
			want bool
		}{{0o600, false}, {0o400, false}, {0o640, false}, {0o644, secret[variable]}, {0o660, true}, {0o602, true}, {0o666, true}} {
			require.NoError(t, os.Chmod(paths[variable], c.mode))
			assert.Equal(t, c.want, warned(variable), "%s %o", variable, c.mode)
		}
		require.NoError(t, os.Chmod(paths[variable], 0o600))
	}
	folder := filepath.Dir(authority)
	require.NoError(t, os.Chmod(folder, 0o777)) //nolint:gosec // what is warned about
	assert.True(t, warned("LDAP_CA_FILE"), "anybody may put another in its place")
	require.NoError(t, os.Chmod(folder, 0o777|os.ModeSticky))
	assert.False(t, warned("LDAP_CA_FILE"))
	require.NoError(t, os.Chmod(folder, 0o700)) //nolint:gosec // a folder of the test's own
	links := t.TempDir()
	for link, target := range map[string]string{"second": authority, "first": "second"} {
		require.NoError(t, os.Symlink(target, filepath.Join(links, link)))
	}
	paths["LDAP_CA_FILE"] = filepath.Join(links, "first")
	environ = append(environ, "LDAP_CA_FILE="+paths["LDAP_CA_FILE"])
	assert.False(t, warned("LDAP_CA_FILE"))
	require.NoError(t, os.Chmod(links, 0o777)) //nolint:gosec // what is warned about
	assert.True(t, warned("LDAP_CA_FILE"), "anybody may put another link in its place")
}

// TestFileVariables_AreAllThatThereAre: the tests of this file go through them.
func TestFileVariables_AreAllThatThereAre(t *testing.T) {
	t.Parallel()
	var all []string
	for _, s := range mustLoad(t, minimal()).Settings() {
		switch {
		case strings.HasSuffix(s.Name, "_FILE"):
			all = append(all, s.Name)
		case s.Name == "LDAP_BIND_PASSWORD", s.Name == "AUTH_THROTTLE_REDIS_URL":
			all = append(all, s.Name+"_FILE")
		}
	}
	assert.ElementsMatch(t, all, fileVariables)
}
