package doctor_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"testing"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// asDoctor, set in the environment of this test binary to an errand, makes it examine a server and
// write the report. It is for what a process has once only: the system's authorities, GODEBUG and
// net.DefaultResolver.
const asDoctor = "DOCTOR_TEST_AS_DOCTOR"

// errand is what another process examines, with the other settings at their defaults.
type errand struct {
	Server   string
	CAFile   string
	DNS      string   // the DNS server to ask; empty: this machine's
	Warnings []string // of the configuration
}

// runErrand examines as this process.
func runErrand(text string) {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		panic(err)
	}
	if e.DNS != "" {
		net.DefaultResolver = ldaptest.ResolverAt(e.DNS)
	}
	var report doctor.Report
	o := settings(e.Server)
	withTLS(config.LDAP{CAFile: e.CAFile})(&o)
	o.Warnings, o.Tell = e.Warnings, report.Add
	if err := doctor.Examine(context.Background(), o); err != nil {
		panic(err)
	}
	if err := report.WriteJSON(os.Stdout); err != nil {
		panic(err)
	}
}

// apart examines as a process of its own, with nothing but environ in its environment.
func apart(e errand, environ ...string) look {
	return func(t *testing.T) []doctor.Step {
		t.Helper()
		text, err := json.Marshal(e)
		require.NoError(t, err)
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append([]string{asDoctor + "=" + string(text)}, environ...)
		cmd.Stderr = everything.Writer("stderr of "+t.Name(), os.Stderr)
		out, err := cmd.Output()
		require.NoError(t, err)
		everything.Wrote(t.Name(), out)
		everything.Secret(settings().Pool.BindPassword)
		var report doctor.Report
		require.NoError(t, json.Unmarshal(out, &report))
		return report.Steps
	}
}
