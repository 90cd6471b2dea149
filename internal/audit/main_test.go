package audit

import (
	"log/slog"
	"testing"

	"authsvc/internal/observertest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// newTest returns a Log, and what it writes from level up.
func newTest(level slog.Level) (*Log, *observertest.Buffer) {
	logger, logs := observertest.NewLogger(level)
	return New(logger, nil), logs
}
