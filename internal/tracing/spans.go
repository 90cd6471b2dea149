package tracing

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/internal/poolevent"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapurl"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The attributes that semantic conventions do not define.
const (
	outcomeKey = attribute.Key("authsvc.outcome") // the answer's code
	statusKey  = attribute.Key("authsvc.status")  // its number
	retryKey   = attribute.Key("authsvc.ldap.retry")
)

// Trace returns hooks for [ldappool.Config]; none if t is nil.
func (t *Tracing) Trace() ldappool.Trace {
	if t == nil {
		return ldappool.Trace{}
	}
	return ldappool.Trace{Acquired: t.acquired, Operated: t.operated, Dialed: t.dialed}
}

// Authenticator decides a login, as in package api.
type Authenticator interface {
	Authenticate(ctx context.Context, c auth.Credentials) auth.Result
}

// Authenticator makes a span of each login that next decides.
func (t *Tracing) Authenticator(next Authenticator) Authenticator {
	if t == nil {
		return next
	}
	return tracedAuthenticator{next, t.tracer}
}

type tracedAuthenticator struct {
	next   Authenticator
	tracer trace.Tracer
}

// loginSpanKey is the context key of a login's span.
type loginSpanKey struct{}

func (a tracedAuthenticator) Authenticate(ctx context.Context, c auth.Credentials) auth.Result {
	ctx, span := a.tracer.Start(ctx, "login")
	defer span.End() // after a panic; otherwise LoginDone has ended it
	return a.next.Authenticate(context.WithValue(ctx, loginSpanKey{}, span), c)
}

// LoginDone ends a login's span with its outcome. A login that was refused before it began has no
// span of its own, and the outcome goes to its request's span.
func (t *Tracing) LoginDone(ctx context.Context, c auth.Credentials, r auth.Result) {
	if t == nil {
		return
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(outcomeKey.String(r.Outcome.Code()), statusKey.Int(r.Outcome.Status()))
	if t.endUser && c.Username != "" {
		span.SetAttributes(semconv.EnduserID(logsafe.Clean(c.Username, auth.MaxUsername)))
	}
	if r.Outcome.IsFault() {
		setError(span, r.Outcome.Code())
	}
	if span == ctx.Value(loginSpanKey{}) {
		span.End()
	}
}

// acquired makes a span of the wait for a connection, with a child for each dial that ended
// meanwhile. A dial belongs to the pool, not to this login: the caller that has waited longest gets
// its connection.
func (t *Tracing) acquired(ctx context.Context, e ldappool.AcquireEvent) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	end := time.Now()
	began := end.Add(-e.Wait)
	ctx, span := t.tracer.Start(ctx, "acquire", trace.WithTimestamp(began),
		trace.WithAttributes(semconv.DBClientConnectionPoolName(string(e.Lane))))
	for _, d := range t.dials.since(e.Lane, began) {
		_, dial := t.tracer.Start(ctx, "dial", trace.WithTimestamp(d.ended.Add(-d.Took)), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(serverAttributes(d.Server)...))
		if d.Err != nil {
			setError(dial, poolevent.Failure(d.Err))
		}
		dial.End(trace.WithTimestamp(d.ended))
	}
	if e.Err != nil {
		setError(span, poolevent.Refusal(e.Err))
	}
	span.End(trace.WithTimestamp(end))
}

// operated makes a span of a search or a bind. A result code is an answer, so it does not make the
// span an error.
func (t *Tracing) operated(ctx context.Context, e ldappool.OperationEvent) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	end := time.Now()
	_, span := t.tracer.Start(ctx, e.Op, trace.WithTimestamp(end.Add(-e.Took)), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(append(serverAttributes(e.Server), semconv.DBOperationName(e.Op))...))
	if e.Retry {
		span.SetAttributes(retryKey.Bool(true))
	}
	if e.Err != nil {
		setError(span, poolevent.Failure(e.Err))
	} else {
		span.SetAttributes(semconv.DBResponseStatusCode(strconv.Itoa(int(e.Code))))
	}
	span.End(trace.WithTimestamp(end))
}

func setError(span trace.Span, name string) {
	span.SetAttributes(errorType(name))
	span.SetStatus(codes.Error, "")
}

// serverAttributes name a server, by the conventions for databases, which know no LDAP.
func serverAttributes(server string) []attribute.KeyValue {
	attrs := []attribute.KeyValue{semconv.DBSystemNameKey.String("ldap")}
	u, err := ldapurl.Parse(server)
	switch {
	case err != nil:
		return attrs
	case u.Scheme == ldapurl.LDAPI:
		return append(attrs, semconv.ServerAddress(strings.ToValidUTF8(u.Socket, "\uFFFD")), semconv.NetworkTransportUnix)
	}
	attrs = append(attrs, semconv.ServerAddress(u.Host))
	if port, err := strconv.Atoi(u.Port); err == nil {
		attrs = append(attrs, semconv.ServerPort(port))
	}
	return attrs
}

// keptDials is how many dials of a lane are remembered for those who wait for one.
const keptDials = 8

// recentDials are the last dials of each lane.
type recentDials struct {
	mu    sync.Mutex
	lanes map[ldappool.Lane]*dialRing // guarded by mu
}

type dialRing struct {
	dials [keptDials]endedDial
	next  int
}

// laneLocked returns the dials of a lane.
func (r *recentDials) laneLocked(l ldappool.Lane) *dialRing {
	lane := r.lanes[l]
	if lane == nil {
		if r.lanes == nil {
			r.lanes = map[ldappool.Lane]*dialRing{}
		}
		lane = new(dialRing)
		r.lanes[l] = lane
	}
	return lane
}

type endedDial struct {
	ldappool.DialEvent

	ended time.Time
}

// dialed remembers a dial.
func (t *Tracing) dialed(e ldappool.DialEvent) {
	t.dials.mu.Lock()
	defer t.dials.mu.Unlock()
	lane := t.dials.laneLocked(e.Lane)
	lane.dials[lane.next] = endedDial{e, time.Now()}
	lane.next = (lane.next + 1) % keptDials
}

// since are the dials of a lane that ended after a moment.
func (r *recentDials) since(l ldappool.Lane, moment time.Time) (dials []endedDial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.laneLocked(l).dials {
		if d.ended.After(moment) {
			dials = append(dials, d)
		}
	}
	return dials
}
