package telemetry

import (
	"context"
	"log/slog"
	"time"

	"authsvc/internal/auth"
)

// auditFields is how many fields a line can have.
const auditFields = 22

// audit writes one line for each login. Its fields are a promise to whoever reads them by a program: docs/audit.md is held
// against them by a test.
type audit struct {
	log     *slog.Logger
	tracing *Tracing
}

func (a audit) done(ctx context.Context, c auth.Credentials, r auth.Result) {
	level := auditLevel(r.Outcome)
	if r.Notice != "" {
		level = max(level, slog.LevelWarn)
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	var fields [auditFields]slog.Attr
	attrs := append(fields[:0],
		slog.String("outcome", r.Outcome.Code()),
		slog.Int("status", r.Outcome.Status()))
	attrs = appendText(attrs, "username", c.Username, maxUsername)
	attrs = appendText(attrs, "dn", r.DN, maxText)
	attrs = appendText(attrs, "request_id", c.RequestID, maxText)
	attrs = appendText(attrs, "trace_id", a.tracing.traceID(ctx), maxText)
	attrs = appendText(attrs, "client", c.Client, maxText)
	attrs = appendText(attrs, "caller", c.Caller.Name, maxText)
	attrs = appendText(attrs, "caller_by", string(c.Caller.By), maxText)
	attrs = appendText(attrs, "server", r.Server, maxText)
	attrs = append(attrs,
		slog.Float64("wait_ms", millis(r.Phases.Wait)),
		slog.Float64("search_ms", millis(r.Phases.Search)),
		slog.Float64("bind_ms", millis(r.Phases.Bind)),
		slog.Float64("total_ms", millis(r.Phases.Total)))
	if r.Phases.Throttle >= time.Millisecond {
		attrs = append(attrs, slog.Float64("throttle_ms", millis(r.Phases.Throttle)))
	}
	if r.Outcome != auth.OK {
		attrs = appendCause(attrs, r)
	}
	a.log.LogAttrs(ctx, level, "login", attrs...)
}

// appendCause adds what explains anything but ok.
func appendCause(attrs []slog.Attr, r auth.Result) []slog.Attr {
	attrs = appendText(attrs, "detail", r.Detail, maxText)
	if code, ok := r.ResultCode(); ok {
		attrs = append(attrs, slog.Int("result_code", int(code)))
	}
	attrs = appendText(attrs, "policy_error", r.Bind.Policy, maxText)
	attrs = appendText(attrs, "sub_code", r.Bind.SubCode, maxText)
	attrs = appendText(attrs, "notice", r.Notice, maxText)
	return appendText(attrs, "cause", errorText(r.Cause), maxText)
}

// appendText adds a text from outside, where there is one.
func appendText(attrs []slog.Attr, key, value string, limit int) []slog.Attr {
	if value == "" {
		return attrs
	}
	return append(attrs, slog.String(key, clean(value, limit)))
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// auditLevel is Info for what is no fault, Warn for the directory's faults, Error for our own.
func auditLevel(o auth.Outcome) slog.Level {
	switch {
	case o > auth.CallerRefused, o == auth.InternalError:
		return slog.LevelError
	case o.IsFault():
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// millis is d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}
