package telemetry

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

	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentsNameTheMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	var ours []string
	for _, test := range metricTests {
		ours = append(ours, test.name)
	}
	documented := func(file string) []string {
		text, err := os.ReadFile("../../docs/" + file)
		require.NoError(t, err)
		return regexp.MustCompile(`authsvc_[a-z_]+[a-z]`).FindAllString(string(text), -1)
	}
	operations := documented("operations.md")
	for _, name := range ours {
		assert.Contains(t, operations, name, "missing in operations.md")
	}
	for _, name := range slices.Concat(operations, documented("pool.md")) {
		assert.Contains(t, ours, name, "there is no such metric")
	}
}

// logTable is the rows of the table of lines in operations.md.
func logTable(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
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

// row finds a message's; empty where there is none.
func row(rows []string, message string) string {
	for _, r := range rows {
		if first, _, _ := strings.Cut(r[1:], "|"); strings.Contains(first, "`"+message+"`") {
			return r
		}
	}
	return ""
}

func TestTheDocumentHasEachLineOfTheDirectoryWithItsFields(t *testing.T) {
	t.Parallel()
	rows := logTable(t)
	synctest.Test(t, func(t *testing.T) {
		tel, logs := newTest(slog.LevelDebug)
		tellOfEverything(t, tel.Trace())
		seen := map[string]bool{}
		for _, line := range logs.lines(t) {
			message, _ := line["msg"].(string)
			level, _ := line["level"].(string)
			seen[message] = true
			r := row(rows, message)
			require.NotEmpty(t, r, "%q is not in operations.md", message)
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
		for _, r := range rows { // and none that there is not
			for _, m := range regexp.MustCompile("`(directory [^`]+)`").FindAllStringSubmatch(r, -1) {
				assert.True(t, seen[m[1]], "nothing writes %q", m[1])
			}
		}
		assert.Greater(t, len(seen), 13, "%v", slices.Sorted(maps.Keys(seen)))
	})
}

// tellOfEverything has every line about the directory written, in a bubble.
func tellOfEverything(t *testing.T, trace ldappool.Trace) {
	t.Helper()
	other := errors.New("service bind: refused")
	change(trace, suspect, usable)
	for _, state := range []ldappool.ServerState{suspect, down} {
		change(trace, usable, state)
		time.Sleep(stillInterval) // bubble
		failedProbe(trace, errRefused)
		failedProbe(trace, other)
		trace.Pinged(ldappool.PingEvent{Server: serverA, Err: errRefused})
		change(trace, state, usable)
	}
	for _, reason := range []ldappool.RetireReason{ldappool.RetiredMaxIdle, ldappool.RetiredNotice} {
		for range limitBurst + 1 {
			trace.Retired(ldappool.RetireEvent{Server: serverA, Reason: reason, Err: errRefused})
		}
		time.Sleep(limitInterval) // bubble
		trace.Retired(ldappool.RetireEvent{Server: serverA, Reason: reason, Err: errRefused})
	}
	trace.LimitLearned(ldappool.LimitEvent{Server: serverA, Idle: time.Second, Age: time.Second})
	trace.LimitLearned(ldappool.LimitEvent{Server: serverA, WasIdle: time.Second, WasAge: time.Second})
	trace.LookedUp(ldappool.LookupEvent{Server: serverB, Err: errRefused})
	time.Sleep(time.Second) // bubble
	trace.LookedUp(ldappool.LookupEvent{Server: serverB, Known: 1})
	trace.Reconfigured(ldappool.ReconfigureEvent{Took: time.Second})
}

// TestTheDocumentHasEachMessageOfTheSource looks for the messages that stand in the source as they are.
func TestTheDocumentHasEachMessageOfTheSource(t *testing.T) {
	t.Parallel()
	rows := logTable(t)
	written := regexp.MustCompile(`\b(?:log|logger)\.(?:Info|Warn|Error)\("([^":]+)`)
	found := 0
	for _, dir := range []string{"../../cmd/authsvc/", "../../api/", ""} {
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
				assert.True(t, documented, "%s: %q is not in operations.md", file, m[1])
			}
		}
	}
	assert.Greater(t, found, 10)
}
