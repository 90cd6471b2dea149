package config_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReference_IsInTheDocumentation(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, config.WriteReference(&b))
	golden(t, "../docs/configuration.md", b.String())
}

func TestReference_HasExactlyTheVariablesOfTheFields(t *testing.T) {
	t.Parallel()
	described := config.Variables()
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(described))), len(described), "one is described twice")
	assert.ElementsMatch(t, config.Tagged(), described)
}

func TestReference_EveryExampleLoads(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{Client: true})
	here := map[string]string{
		"LDAP_CA_FILE": ca.File(), "LDAP_CERT_FILE": cert.CertFile, "LDAP_KEY_FILE": cert.KeyFile,
		"HTTP_TLS_CERT_FILE": cert.CertFile, "HTTP_TLS_KEY_FILE": cert.KeyFile, "HTTP_TLS_CLIENT_CA_FILE": ca.File(),
		"AUTH_API_KEYS_FILE": file(t, "shop "+strings.Repeat("ab", 32)), "HTTP_TLS_CLIENT_DENY_FILE": file(t, strings.Repeat("ab", 32)),
		"AUTH_THROTTLE_REDIS_CA_FILE": ca.File(), "AUTH_THROTTLE_REDIS_CERT_FILE": cert.CertFile, "AUTH_THROTTLE_REDIS_KEY_FILE": cert.KeyFile,
	}
	search, bind := []string{}, []string{}
	for variable, example := range config.SampleValues() {
		assert.NotEmpty(t, example, variable)
		if path, ok := here[variable]; ok {
			assert.True(t, strings.HasPrefix(example, "/"), "%s: %q is no path", variable, example)
			example = path
		}
		v := variable + "=" + example
		switch variable {
		case "LDAP_USER_DN_TEMPLATE":
			bind = append(bind, v)
		case "LDAP_BASE_DN", "LDAP_USER_FILTER", "LDAP_USER_SCOPE", "LDAP_USER_NAME_ATTRIBUTE", "LDAP_ATTRIBUTES":
			search = append(search, v)
		default:
			search, bind = append(search, v), append(bind, v)
		}
	}
	mustLoad(t, search)
	mustLoad(t, bind)
}

func TestReference_EveryRowIsComplete(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, config.WriteReference(&b))
	rows := 0
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "| `") {
			rows++
			assert.Equal(t, 5, strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"), line)
			assert.NotContains(t, line, "` |  |", "no meaning")
		}
	}
	assert.Equal(t, len(config.Variables()), rows)
}

func TestReference_SaysWhichVariablesMayBeFiles(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	require.NoError(t, config.WriteReference(&b))
	assert.Contains(t, b.String(), "\n| `LDAP_BIND_PASSWORD`, `LDAP_BIND_PASSWORD_FILE` | none | ")
	assert.Contains(t, b.String(), "\n| `LDAP_URL` | none | ")
	assert.Contains(t, b.String(), "\n| `LDAP_POOL_MAX_IDLE_TIME` | `5m` | ")
}
