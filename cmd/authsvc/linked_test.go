package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProgram_LinksNoTestLibrary: a library whose package imports one brings it into the program.
func TestProgram_LinksNoTestLibrary(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	packages := strings.Fields(string(out))
	require.Contains(t, packages, "authsvc/internal/ldapserver")
	for _, name := range packages {
		for _, unwanted := range []string{
			"testing", "authsvc/internal/ldaptest", "authsvc/internal/observertest", "authsvc/internal/otlptest", "authsvc/internal/memtest",
			"github.com/stretchr/testify", "github.com/jimlambrt/gldap", "github.com/hashicorp/go-hclog",
		} {
			assert.False(t, name == unwanted || strings.HasPrefix(name, unwanted+"/"), "%s is linked", name)
		}
	}
}
