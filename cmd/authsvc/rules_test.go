package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRules_PassPromtool(t *testing.T) {
	t.Parallel()
	promtool := ofPrometheus(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = deployed + "prometheus"
		out, err := cmd.CombinedOutput()
		t.Logf("promtool %s\n%s", strings.Join(args, " "), out)
		require.NoError(t, err)
	}
}

// TestAlerts_HaveRunbookTestAndSeverity: who is woken finds what to do where the alert says
// that it is.
func TestAlerts_HaveRunbookTestAndSeverity(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/on-call.md")
	require.NoError(t, err)
	tests, err := os.ReadFile(deployed + "prometheus/rules_test.yml")
	require.NoError(t, err)
	var alerts []string
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			assert.Contains(t, string(docs), "\n### "+r.Alert+"\n", "has no runbook")
			assert.Equal(t, "docs/on-call.md#"+strings.ToLower(r.Alert), r.Annotations["runbook"])
			assert.Contains(t, string(tests), `alertname="`+r.Alert+`"`, "has no test of its firing")
			assert.Contains(t, []string{"page", "ticket", "info"}, r.Labels["severity"], r.Alert)
			assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^### (Authsvc\w+)$`).FindAllStringSubmatch(string(docs), -1) {
		assert.Contains(t, alerts, section[1], "there is no such alert")
	}
}
