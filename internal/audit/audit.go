// Package audit writes one line for every login.
//
// Every login that ended is one line with the message "login", whatever its outcome. Its level is
// Info for the directory's verdicts and for refused requests (statuses 0 to 10 and 15), Warn for
// faults of the directory (11 to 13), and Error for faults of the service itself (14). Its fields
// are a stable schema: docs/audit.md. Of [auth.Credentials] it reads every field but the password.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
)

// maxFields is the largest number of fields of a line.
const maxFields = 26

// The limit of lines about rejected requests of unknown callers: refusalBurst at once, then one in
// each interval. So an unknown caller cannot fill a disk.
const (
	refusalBurst    = 100
	refusalInterval = time.Second
)

// Log writes the audit lines, one for each login. Requests of unknown callers that were rejected
// before they were logins get as many lines as the limit allows. The fields are a stable interface
// for programs; a test compares them with docs/audit.md. Log implements [auth.Observer].
type Log struct {
	log      *slog.Logger
	traceID  func(context.Context) string
	refusals *logsafe.Limiter // by outcome
}

var _ auth.Observer = (*Log)(nil)

// New returns a Log that writes to logger. traceID returns the trace that a login belongs to, or
// nothing; it may be nil.
func New(logger *slog.Logger, traceID func(context.Context) string) *Log {
	if traceID == nil {
		traceID = func(context.Context) string { return "" }
	}
	return &Log{log: logger, traceID: traceID, refusals: logsafe.NewLimiterOf(refusalBurst, refusalInterval)}
}

// refusesStranger reports whether a request of an unknown caller was rejected before it was a
// login.
func refusesStranger(c auth.Credentials, o auth.Outcome) bool {
	return c.Caller.Name == "" && (o == auth.CallerRefused || o == auth.BadRequest)
}

// LoginDone writes the line of one login.
func (a *Log) LoginDone(ctx context.Context, c auth.Credentials, r auth.Result) {
	level := levelOf(r.Outcome)
	if r.Notice != "" {
		level = max(level, slog.LevelWarn)
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	suppressed := 0
	if refusesStranger(c, r.Outcome) {
		var ok bool
		if suppressed, ok = a.refusals.Allow(logsafe.Key{What: r.Outcome.Code()}); !ok {
			return
		}
	}
	var fields [maxFields]slog.Attr
	attrs := append(fields[:0],
		slog.String("outcome", r.Outcome.Code()),
		slog.Int("status", r.Outcome.Status()))
	attrs = logsafe.AppendText(attrs, "username", c.Username, auth.MaxUsername)
	attrs = logsafe.AppendText(attrs, "dn", r.DN, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "request_id", c.RequestID, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "trace_id", a.traceID(ctx), logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "client", c.Client, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "caller", c.Caller.Name, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "caller_by", string(c.Caller.By), logsafe.MaxText)
	attrs = appendForward(attrs, c.Forward)
	attrs = logsafe.AppendText(attrs, "server", r.Server, logsafe.MaxText)
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
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	a.log.LogAttrs(ctx, level, "login", attrs...)
}

// appendForward adds what a reverse proxy asked for.
func appendForward(attrs []slog.Attr, f *auth.Forward) []slog.Attr {
	if f == nil {
		return attrs
	}
	attrs = logsafe.AppendText(attrs, "forwarded_host", f.Host, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "forwarded_path", f.Path, logsafe.MaxText)
	required := make([]string, len(f.Required))
	for i, alternatives := range f.Required {
		required[i] = strings.Join(alternatives, ";")
	}
	return logsafe.AppendText(attrs, "required_groups", strings.Join(required, " & "), logsafe.MaxText)
}

// appendCause adds the fields that explain any outcome but ok.
func appendCause(attrs []slog.Attr, r auth.Result) []slog.Attr {
	attrs = logsafe.AppendText(attrs, "detail", r.Detail, logsafe.MaxText)
	if code, ok := r.ResultCode(); ok {
		attrs = append(attrs, slog.Int("result_code", int(code)))
	}
	attrs = logsafe.AppendText(attrs, "policy_error", r.Bind.Policy, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "sub_code", r.Bind.SubCode, logsafe.MaxText)
	attrs = logsafe.AppendText(attrs, "notice", r.Notice, logsafe.MaxText)
	return logsafe.AppendText(attrs, "cause", logsafe.ErrorText(r.Cause), logsafe.MaxText)
}

// levelOf returns Warn for faults of the directory, Error for faults of the service, and Info
// otherwise.
func levelOf(o auth.Outcome) slog.Level {
	switch {
	case o.Status() == auth.InternalError.Status(): // or not a valid outcome
		return slog.LevelError
	case o.IsFault():
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// millis returns d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}
