package metrics

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"authsvc/internal/observertest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newTest returns a Metrics, and what it writes to the log from level up.
func newTest(level slog.Level) (*Metrics, *observertest.Buffer) {
	logger, logs := observertest.NewLogger(level)
	return New(Options{Logger: logger, Version: "1.2.3", Commit: "abc1234"}), logs
}

// get asks the handler for the metrics.
func get(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w
}

// scrape returns the value of every series as a Prometheus server sees it.
func scrape(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	w := get(m.Handler())
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
