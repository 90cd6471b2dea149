package ldapconn_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestModule_AnotherUsesTheConnectionAlone: testdata/program is built as a program of a
// module of its own, which has this one by a replace. Nothing is downloaded: it requires what this
// module does.
func TestModule_AnotherUsesTheConnectionAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	checkout, err := filepath.Abs("../..")
	require.NoError(t, err)
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	mod, ours := bytes.CutPrefix(read("../../go.mod"), []byte("module authsvc\n"))
	require.True(t, ours)
	mod = append([]byte("module example.org/program\n"), mod...)
	mod = append(mod, "\nrequire authsvc v0.0.0\n\nreplace authsvc => "+strconv.Quote(checkout)+"\n"...)
	for name, data := range map[string][]byte{
		"go.mod": mod, "go.sum": read("../../go.sum"), "main.go": read("testdata/program/main.go"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	build := exec.Command("go", "build", "-o", "program", ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	directory := ldaptest.NewDirectory()
	directory.Reader = "" // anyone may search
	for i := range directory.Entries {
		directory.Entries[i].Attributes["objectClass"] = append(directory.Entries[i].Attributes["objectClass"], "person")
	}
	server := ldaptest.NewServer(t, directory.Handle)
	program := exec.Command(filepath.Join(dir, "program"), server.URL(), ldaptest.BaseDN, "user1", ldaptest.Password(1))
	program.Stderr = os.Stderr
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	t.Cleanup(func() { _ = program.Process.Kill(); _ = program.Wait() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Equal(t, "Success", lines.Text())
	server.CloseAll()
	require.True(t, lines.Scan())
	require.Equal(t, "ended: peer_closed", lines.Text())
	require.NoError(t, program.Wait())
}
