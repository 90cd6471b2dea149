package telemetry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	serverA = "ldap://a.example.org:389"
	serverB = "ldaps://b.example.org:636"
)

// logBuffer takes a logger's lines. Tests read them from another goroutine than wrote them.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is everything written so far, and empties the buffer.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

// lines are the lines written so far, decoded, without their times; it empties the buffer.
func (b *logBuffer) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.String()) {
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), "line %q", line)
		delete(fields, "time")
		all = append(all, fields)
	}
	return all
}

// newTest returns a Telemetry and what it writes to the log, as JSON from level up.
func newTest(level slog.Level) (*Telemetry, *logBuffer) {
	logs := new(logBuffer)
	logger := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: level}))
	return New(Options{Logger: logger, Version: "1.2.3", Commit: "abc1234"}), logs
}

// get asks the handler for the metrics.
func get(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w
}

// scrape returns the value of every series as a Prometheus server sees it.
func scrape(t *testing.T, tel *Telemetry) map[string]string {
	t.Helper()
	w := get(tel.Handler())
	require.Equal(t, http.StatusOK, w.Code)
	series := make(map[string]string)
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if name, value, ok := cutLast(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			series[name] = value
		}
	}
	return series
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
