package config_test

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// update rewrites docs/configuration.md and the golden files.
var update = flag.Bool("update", false, "rewrite what the tests compare with")

// golden compares text with a file.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text, "run go test ./config -update, and look at what changed")
}

// settings is what WriteSettings writes.
func settings(t *testing.T, environ []string) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, mustLoad(t, environ).WriteSettings(&b))
	return b.String()
}

// setting is one variable's line, its columns apart.
func setting(t *testing.T, variable string, environ []string) []string {
	t.Helper()
	for line := range strings.Lines(settings(t, environ)) {
		if f := strings.Fields(line); f[0] == variable {
			return f
		}
	}
	t.Fatalf("no line of %s", variable)
	return nil
}

func TestSettings_AreShownWithTheirSources(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/settings.txt", settings(t, minimal(
		"LDAP_URL=ldap://one,ldap://two", "LDAP_START_TLS=true", "LDAP_POOL_MAX_CONNS=2", "LDAP_USER_FILTER=(&(a=b)(uid={username}))",
		"ADMIN_ADDR=", "LOG_LEVEL=debug", "LDAP_POOL_MAX_WAIT=90s",
	)))
}

func TestSettings_ShowEveryVariable(t *testing.T) {
	t.Parallel()
	shown := settings(t, minimal())
	assert.Equal(t, len(config.Variables())+1, strings.Count(shown, "\n"))
	for _, variable := range config.Variables() {
		assert.Contains(t, shown, "\n"+variable+" ")
	}
}

func TestSettings_ListIsCompleteRedactedAndACopy(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal())
	all := c.Settings()
	require.Len(t, all, len(config.Variables()))
	for _, one := range all {
		assert.NotContains(t, one.Value, password)
		if one.Name == "LDAP_BIND_PASSWORD" {
			assert.Equal(t, config.Setting{Name: one.Name, Value: "[redacted]", Source: "environment"}, one)
		}
	}
	all[0].Value = "another"
	assert.NotEqual(t, "another", c.Settings()[0].Value, "each who asks has a list of their own")
}

func TestSettings_SourceIsDefaultEnvironmentOrFile(t *testing.T) {
	t.Parallel()
	path := file(t, password)
	for name, c := range map[string]struct {
		environ []string
		want    []string
	}{
		"a default":                  {minimal(), []string{"LOG_FORMAT", "json", "default"}},
		"none":                       {minimal(), []string{"LDAP_CA_FILE", "(none)", "default"}},
		"an empty variable":          {minimal("LOG_FORMAT="), []string{"LOG_FORMAT", "json", "default"}},
		"the default, set":           {minimal("LOG_FORMAT=json"), []string{"LOG_FORMAT", "json", "environment"}},
		"a secret":                   {minimal(), []string{"LDAP_BIND_PASSWORD", "[redacted]", "environment"}},
		"a secret from a file":       {minimal("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+path), []string{"LDAP_BIND_PASSWORD", "[redacted]", "file", path}},
		"no secret":                  {template(), []string{"LDAP_BIND_PASSWORD", "(none)", "default"}},
		"the admin listener off":     {minimal("ADMIN_ADDR="), []string{"ADMIN_ADDR", "(none)", "environment"}},
		"a default that was lowered": {minimal("LDAP_POOL_MAX_CONNS=2"), []string{"LDAP_POOL_MIN_IDLE_CONNS", "1", "default"}},
		"a value that turns around":  {template("LDAP_TLS_SERVER_NAME=a\u202eb"), []string{"LDAP_TLS_SERVER_NAME", `"a\u202eb"`, "environment"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, c.want, setting(t, c.want[0], c.environ))
		})
	}
}

// errFull is what a writer without room says.
var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }

func TestSettings_ReportAFailedWrite(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, mustLoad(t, minimal()).WriteSettings(fullWriter{}), errFull)
	assert.ErrorIs(t, config.WriteReference(fullWriter{}), errFull)
}
