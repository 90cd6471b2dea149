package journal

import (
	"log/slog"
	"testing"

	"authsvc/internal/observertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newTest returns a Journal, and what it writes to the log from level up.
func newTest(level slog.Level) (*Journal, *observertest.Buffer) {
	logger, logs := observertest.NewLogger(level)
	return New(logger), logs
}
