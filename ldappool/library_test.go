package ldappool_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// buildElsewhere builds testdata/library as a program of a module of its own, which has this one by
// a replace. Nothing is downloaded: it requires what this module does.
func buildElsewhere(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	checkout, err := filepath.Abs("..")
	require.NoError(t, err)
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	mod, ours := bytes.CutPrefix(read("../go.mod"), []byte("module authsvc\n"))
	require.True(t, ours)
	mod = append([]byte("module example.org/library\n"), mod...)
	mod = append(mod, "\nrequire authsvc v0.0.0\n\nreplace authsvc => "+strconv.Quote(checkout)+"\n"...)
	for name, data := range map[string][]byte{
		"go.mod": mod, "go.sum": read("../go.sum"), "main.go": read("testdata/library/main.go"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	build := exec.Command("go", "build", "-o", "library", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "library")
}

func TestModule_AnotherSurvivesARestartOfItsDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3})
	program := exec.Command(buildElsewhere(t), s.URL(), ldaptest.ServiceDN, ldaptest.ServicePassword, ldaptest.PeopleDN)
	program.Stderr = os.Stderr
	in, err := program.StdinPipe()
	require.NoError(t, err)
	out, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })

	verdicts := bufio.NewScanner(out)
	ask := func(username, password string) string {
		_, err := io.WriteString(in, username+" "+password+"\n")
		require.NoError(t, err)
		require.True(t, verdicts.Scan(), "the program ended: %v", verdicts.Err())
		return verdicts.Text()
	}
	right := func() {
		require.Equal(t, "Success", ask("user1", ldaptest.Password(1)))
		require.Equal(t, "Invalid Credentials", ask("user1", ldaptest.Password(2)))
		require.Equal(t, "unknown", ask("nobody", "any"))
	}
	right()
	s.Restart()
	ldaptest.Eventually(t, "a verdict after the restart", func() bool {
		verdict := ask("user1", ldaptest.Password(1))
		require.True(t, verdict == "Success" || strings.HasPrefix(verdict, "fault: "), verdict)
		return verdict == "Success"
	})
	right()
	s.Stop()
	require.Contains(t, ask("user1", ldaptest.Password(1)), "fault: ")
	s.Start()
	ldaptest.Eventually(t, "a verdict after the outage", func() bool { return ask("user1", ldaptest.Password(1)) == "Success" })
	right()

	require.NoError(t, in.Close())
	require.True(t, verdicts.Scan())
	require.Equal(t, "closed: <nil>", verdicts.Text())
	require.NoError(t, program.Wait())
}
