package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text returns a file of this folder.
func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(content)
}

// TestPackages_SettingsLackOnlyWhatTheyAskFor: as it is, the file names the two settings that a
// start needs. With them and its other lines in use, it is a configuration.
func TestPackages_SettingsLackOnlyWhatTheyAskFor(t *testing.T) {
	t.Parallel()
	settings := text(t, "packages/authsvc.env")
	names := func(pattern string) (lines []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(settings, -1) {
			lines = append(lines, m[1])
		}
		return lines
	}
	active := names(`(?m)^([A-Z_]+=.*)$`)
	require.Equal(t, []string{"LDAP_URL=", "LDAP_BASE_DN="}, active)
	_, err := config.Load(active)
	require.ErrorContains(t, err, "LDAP_URL")
	require.ErrorContains(t, err, "LDAP_BASE_DN")

	examples, others := names(`(?m)^#   ([A-Z_]+=.*)$`), names(`(?m)^#([A-Z_]+=.*)$`)
	require.Len(t, examples, 2)
	require.Greater(t, len(others), 5)
	var environ []string
	for _, line := range append(examples, others...) {
		if name, _, _ := strings.Cut(line, "="); !strings.HasSuffix(name, "_FILE") { // whose files are not here
			environ = append(environ, line)
		} else {
			assert.Contains(t, text(t, "../docs/configuration.md"), "`"+name+"`")
		}
	}
	cfg, err := config.Load(append(environ, "LDAP_BIND_PASSWORD=secret"))
	require.NoError(t, err)
	assert.Empty(t, cfg.Unused())
}

func TestPackages_RPMCreatesTheUserOfTheDeb(t *testing.T) {
	t.Parallel()
	line := strings.TrimSpace(text(t, "packages/authsvc.sysusers"))
	require.NotEmpty(t, line)
	assert.Contains(t, text(t, "packages/rpm/pre"), "echo '"+line+"' | systemd-sysusers ")
}
