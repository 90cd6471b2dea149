package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// systemdAnalyze runs systemd-analyze, and returns what it printed and whether it succeeded.
func systemdAnalyze(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	cmd := exec.Command(lookPath(t, "systemd-analyze"), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// units copies the units into a folder, where they name a program that is here.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	dir := t.TempDir()
	return recipe(t, dir, "systemd/authsvc.service", "/usr/bin/authsvc", "/bin/true"), recipe(t, dir, "systemd/authsvc.socket")
}

func TestSystemd_UnitsAreValid(t *testing.T) {
	t.Parallel()
	service, socket := units(t)
	said, err := systemdAnalyze(t, "verify", "--man=no", service, socket)
	require.NoError(t, err, said)
	for line := range strings.Lines(said) { // others are about units of this machine
		require.NotContains(t, line, "authsvc")
	}
	broken := filepath.Join(t.TempDir(), "authsvc.service")
	text, err := os.ReadFile(service)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(broken, append(text, "\n[Service]\nTypo=yes\n"...), 0o600)) //nolint:gosec // in the test's own folder
	said, _ = systemdAnalyze(t, "verify", "--man=no", broken)
	require.Contains(t, said, "Typo", "it finds what is wrong")
}

// TestSystemd_ServiceIsHardened bounds the exposure that systemd-analyze computes, from 0 to 10.
func TestSystemd_ServiceIsHardened(t *testing.T) {
	t.Parallel()
	service, _ := units(t)
	said, err := systemdAnalyze(t, "security", "--offline=true", service)
	require.NoError(t, err, said)
	figure := regexp.MustCompile(`Overall exposure level for authsvc\.service: ([0-9.]+)`).FindStringSubmatch(said)
	require.NotNil(t, figure, said)
	exposure, err := strconv.ParseFloat(figure[1], 64)
	require.NoError(t, err)
	require.LessOrEqual(t, exposure, 1.5)
	t.Logf("exposure %v", exposure)
}
