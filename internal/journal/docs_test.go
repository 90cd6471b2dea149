package journal

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/logsafe"
	"authsvc/internal/observertest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logTable is the rows of the table of lines in logs-and-metrics.md.
func logTable(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/logs-and-metrics.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(text), "\n## Logs\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ") {
			rows = append(rows, line)
		}
	}
	require.NotEmpty(t, rows)
	return rows
}

// row returns the row of a message, or "" if there is none.
func row(rows []string, message string) string {
	for _, r := range rows {
		if first, _, _ := strings.Cut(r[1:], "|"); strings.Contains(first, "`"+message+"`") {
			return r
		}
	}
	return ""
}

func TestDocs_ListEachDirectoryMessageWithItsFields(t *testing.T) {
	t.Parallel()
	rows := logTable(t)
	synctest.Test(t, func(t *testing.T) {
		j, logs := newTest(slog.LevelDebug)
		writeEveryLine(t, j.Trace())
		seen := map[string]bool{}
		for _, line := range logs.Lines(t) {
			message, _ := line["msg"].(string)
			level, _ := line["level"].(string)
			seen[message] = true
			r := row(rows, message)
			require.NotEmpty(t, r, "%q is not in logs-and-metrics.md", message)
			assert.Contains(t, r, strings.ToLower(level), message)
			if strings.Contains(r, "the same") {
				r += row(rows, "directory server still down")
			}
			delete(line, "msg")
			delete(line, "level")
			for field := range line {
				assert.Contains(t, r, "`"+field+"`", message)
			}
		}
		for _, r := range rows { // and the document names no other message
			for _, m := range regexp.MustCompile("`(directory [^`]+)`").FindAllStringSubmatch(r, -1) {
				assert.True(t, seen[m[1]], "nothing writes %q", m[1])
			}
		}
		assert.Greater(t, len(seen), 13, "%v", slices.Sorted(maps.Keys(seen)))
	})
}

// writeEveryLine makes the journal write every line about the directory, in a bubble.
func writeEveryLine(t *testing.T, trace ldappool.Trace) {
	t.Helper()
	other := errors.New("service bind: refused")
	change(trace, suspect, usable)
	for _, state := range []ldappool.ServerState{suspect, down} {
		change(trace, usable, state)
		time.Sleep(reminderInterval) // bubble
		failedProbe(trace, errRefused)
		failedProbe(trace, other)
		trace.Pinged(ldappool.PingEvent{Server: observertest.ServerA, Err: errRefused})
		change(trace, state, usable)
	}
	for _, reason := range []ldappool.RetireReason{"max_idle", "notice"} {
		for range logsafe.Burst + 1 {
			trace.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: reason, Err: errRefused})
		}
		time.Sleep(logsafe.Interval) // bubble
		trace.Retired(ldappool.RetireEvent{Server: observertest.ServerA, Reason: reason, Err: errRefused})
	}
	trace.LimitLearned(observertest.ServerA, time.Second, 0)
	trace.LimitLearned(observertest.ServerA, 0, time.Second)
	trace.LookedUp(observertest.ServerB, 0, errRefused)
	time.Sleep(time.Second) // bubble
	trace.LookedUp(observertest.ServerB, 1, nil)
	trace.QuirkLearned(observertest.ServerA, "hangs_up", errRefused)
	answered(trace, 49, 49, 49)
	trace.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Err: errRefused})
	trace.Reconfigured(time.Second)
}

// TestDocs_ListEachMessageOfTheSource looks for the messages that stand in the source as they
// are.
func TestDocs_ListEachMessageOfTheSource(t *testing.T) {
	t.Parallel()
	rows := logTable(t)
	written := regexp.MustCompile(`\b(?:log|logger)\.(?:Info|Warn|Error)\("([^":]+)`)
	found := 0
	for _, dir := range []string{"../../cmd/authsvc/", "../app/", "../sysres/", "../../api/", "../metrics/", "../tracing/", "../audit/", "../admin/", ""} {
		files, err := filepath.Glob(dir + "*.go")
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, m := range written.FindAllSubmatch(text, -1) {
				found++
				documented := row(rows, string(m[1])) != "" || row(rows, string(m[1])+": ...") != ""
				assert.True(t, documented, "%s: %q is not in logs-and-metrics.md", file, m[1])
			}
		}
	}
	assert.Greater(t, found, 10)
}
