package doctor_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDoctor_MeasuresIdleLimits at all servers at once: by the server itself, by
// something between that says nothing, and by nobody. A run ends where the limit is found, so that
// these take seconds. Its words are those in docs/doctor-samples.md.
func TestDoctor_MeasuresIdleLimits(t *testing.T) {
	t.Parallel()
	cuts := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, IdleTimeout: 5 * time.Second}) // looks each second: 5 to 7 s
	lasts := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	between := ldaptest.NewProxy(t, lasts.Addr())
	between.SetFaults(ldaptest.Faults{IdleDrop: 7 * time.Second})
	quietFor := func(idle time.Duration) change {
		return func(o *doctor.Options) { o.Pool.RequestTimeout, o.Idle = time.Second, idle }
	}

	t.Run("by the server, and by something between", func(t *testing.T) {
		t.Parallel()
		var progress []string
		steps := examine(t, all(quietFor(40*time.Second), func(o *doctor.Options) {
			o.Progress = func(line string) { progress = append(progress, line) }
		}), cuts.URL(), between.URL())
		require.True(t, reportOf(steps).OK)
		cut, dropped := idleOf(t, steps, cuts.URL()), idleOf(t, steps, between.URL())
		assert.Regexp(t, `closes connections that are idle for ([567](\.\d)?s); LDAP_POOL_MAX_IDLE_TIME is 5m0s`, cut.Finding)
		assert.Contains(t, dropped.Finding, "a device in between silently drops connections that are idle for 4s to 8s")
		for _, step := range []doctor.Step{cut, dropped} {
			assert.Equal(t, doctor.Warn, step.Mark)
			assert.Contains(t, step.Remedy, "set LDAP_POOL_MAX_IDLE_TIME=3.2s; or leave it: the pool detects")
		}
		samples.Compare(t, "idle", idleOutput(t, steps, progress, cuts.URL(), between.URL()))
	})
	t.Run("by one of two servers", func(t *testing.T) {
		t.Parallel()
		steps := examine(t, quietFor(8*time.Second), cuts.URL(), lasts.URL())
		require.True(t, reportOf(steps).OK)
		cut, lasting := idleOf(t, steps, cuts.URL()), idleOf(t, steps, lasts.URL())
		assert.Contains(t, cut.Finding, "closes connections that are idle for ")
		assert.Equal(t, doctor.OK, lasting.Mark)
		assert.Contains(t, lasting.Finding, "idle connections live for at least 8s")
		assert.Less(t, lasting.TookMS, float64(15*time.Second/time.Millisecond), "one server was measured after the other")
	})
	t.Run("by the server, later than we would keep it", func(t *testing.T) {
		t.Parallel()
		steps := examine(t, all(quietFor(40*time.Second), func(o *doctor.Options) { o.Pool.MaxIdleTime = time.Second }), cuts.URL())
		require.True(t, reportOf(steps).OK)
		step := idleOf(t, steps, cuts.URL())
		assert.Equal(t, doctor.OK, step.Mark)
		assert.Contains(t, step.Finding, "LDAP_POOL_MAX_IDLE_TIME (1s) is below that")
	})
}

// idleOf reads what was measured at a server.
func idleOf(t *testing.T, steps []doctor.Step, server string) doctor.Step {
	t.Helper()
	i := slices.IndexFunc(steps, func(s doctor.Step) bool {
		return s.Name == "idle" && s.Server == server && (s.Mark == doctor.OK || s.Mark == doctor.Warn)
	})
	require.GreaterOrEqual(t, i, 0, "no silence was measured at %s", server)
	return steps[i]
}

// idleOutput is the end of such a run as it is printed: the progress and what was measured, server
// by server, which come as they come.
func idleOutput(t *testing.T, steps []doctor.Step, progress []string, servers ...string) string {
	t.Helper()
	names := strings.NewReplacer(servers[0], "ldap://127.0.0.1:389", servers[1], "ldap://127.0.0.1:1390")
	cut := regexp.MustCompile(`(idle for |389: dead after )[567](\.\d+)?s`) // as slapd's clock has it
	stable := func(text string) string { return cut.ReplaceAllString(names.Replace(text), "${1}6.1s") }
	var b strings.Builder
	b.WriteString("```console\n$ authsvc check -idle 40s\n...\n")
	for _, server := range servers {
		for _, line := range progress {
			if strings.HasPrefix(line, server+": ") {
				b.WriteString(stable(line) + "\n")
			}
		}
	}
	text, report := doctor.Text{W: &b, Width: 100}, &doctor.Report{}
	for _, server := range servers {
		step := idleOf(t, steps, server)
		step.Server, step.Finding, step.TookMS = stable(server), stable(step.Finding), 8200
		report.Add(step)
		text.Write(step)
	}
	text.Summary(report)
	return b.String() + "```\n"
}
