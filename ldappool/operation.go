package ldappool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/internal/redact"
	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// operation is a request of a caller to a directory. A is its answer.
type operation[A any] struct {
	name           string // "search" or "bind"
	lane           core.Lane
	send           func(ctx context.Context, deadline time.Time, c *conn) (A, *Result, error)
	mayResend      func(f *ldapconn.Fault) bool // after its connection was lost
	retryElsewhere bool                         // it may be sent to another server after an answer such as busy
}

// attempt is the result of sending an operation once.
type attempt[A any] struct {
	answer  A
	err     error // an *OpError
	wait    time.Duration
	noConn  bool // there was no connection to send it on
	retry   bool
	exclude *core.Server // if retry: the server that must not be used again
	lostAt  time.Time    // if retry: when the connection was lost, and perhaps others with it
}

// run does an operation, and sends it once more if the first attempt allows that. If there is no
// connection to another server for the second attempt, the first one's result is returned.
func run[A any](ctx context.Context, p *Pool, op *operation[A]) (A, time.Duration, error) {
	began := time.Now()
	first := try(ctx, p, op, &core.Request{Lane: op.lane, Began: began, Deadline: began.Add(p.config().MaxWait)}, false)
	if !first.retry {
		return first.answer, first.wait, first.err
	}
	until := time.Now().Add(p.config().MaxWait - first.wait)
	second := try(ctx, p, op, &core.Request{Lane: op.lane, Began: began, Deadline: until, Exclude: first.exclude, Since: first.lostAt}, true)
	wait := first.wait + second.wait
	if second.noConn && first.exclude != nil {
		return first.answer, wait, first.err
	}
	var e *OpError
	if errors.As(second.err, &e) {
		e.Wait = wait
	}
	return second.answer, wait, second.err
}

// try sends an operation once.
func try[A any](ctx context.Context, p *Pool, op *operation[A], want *core.Request, isRetry bool) (a attempt[A]) {
	c, wait, err := p.acquire(ctx, op.name, want)
	if a.wait = wait; err != nil {
		a.err, a.noConn = err, true
		return a
	}
	if isRetry {
		p.retries.Add(1)
	}
	sent := time.Now()
	answer, result, err := op.send(ctx, sent.Add(p.config().RequestTimeout), c)
	took := time.Since(sent)
	fault := asFault(err)
	outcome := judge(op.name, took, result, fault)
	if fault != nil {
		outcome.Close = core.Reason(closeReason(c, fault.End))
	}
	p.update(func(now time.Time) {
		p.endedLocked(now, c)
		s := c.core.Server
		switch alternative := p.core.HasAlternative(s); {
		case isRetry:
		case fault != nil && errors.Is(faultKind(ctx, c, fault), ErrConnLost) && op.mayResend(fault):
			a.retry, a.lostAt = true, now
		case err == nil && alternative && op.retryElsewhere && (mayServeElsewhere(op.name, result.Code) || isAmbiguous(result.Code) && s.Health.Breaker.Failing(now)):
			a.retry, a.exclude = true, s
			outcome.Close = core.ReasonServerDown // frees a slot for a connection to another server
		}
		p.core.Released(now, c.core, outcome)
		if !a.lostAt.IsZero() && p.core.HasAlternative(s) && s.Health.Breaker.Failing(now) {
			a.exclude = s
		}
	})
	if result != nil {
		result.Server, result.Took = c.url(), took
	}
	a.answer = answer
	if err != nil {
		a.err = newOpError(ctx, op.name, c, wait, err)
	}
	p.operated(ctx, op.name, c, took, result, err, isRetry)
	return a
}

// operated calls the hook for an operation.
func (p *Pool) operated(ctx context.Context, op string, c *conn, took time.Duration, r *Result, err error, isRetry bool) {
	hook := p.config().Trace.Operated
	if hook == nil {
		return
	}
	e := OperationEvent{Op: op, Server: c.url(), Took: took, Retry: isRetry}
	if err != nil {
		e.Err = newOpError(ctx, op, c, 0, err)
	} else {
		e.Code = r.Code
	}
	hook(ctx, e)
}

func asFault(err error) (f *ldapconn.Fault) {
	if err != nil { // saves the allocation of errors.As's target
		errors.As(err, &f)
	}
	return f
}

// judge returns what the result of an operation means for its connection and its server.
func judge(op string, took time.Duration, r *Result, f *ldapconn.Fault) core.Outcome {
	o := core.Outcome{Op: op, Took: took, Answered: r != nil}
	switch {
	case r != nil:
		o.Counts = true
		if mayServeElsewhere(op, r.Code) || isAmbiguous(r.Code) {
			diagnostic := ""
			if op != "bind" && redact.Known(r.Diagnostic) {
				// Other texts may repeat a user's password, and this one is logged and shown.
				diagnostic = r.shownDiagnostic()
			}
			o.Failed = &unservedError{op, r.Code, diagnostic}
		}
	case f != nil:
		o.TimedOut, o.Err = f.End.Reason == ldapconn.Timeout, f
		if o.Counts = f.Sent && f.End.Reason != ldapconn.Canceled && f.End.Reason != ldapconn.Closed; o.Counts {
			o.Failed = &stepError{op, f}
		}
	}
	return o
}

// mayServeElsewhere reports whether a result code is about the server and not about the request, so
// that another server may serve it. unwillingToPerform is about the server after a search; after a
// bind it may be about the user's account.
func mayServeElsewhere(op string, code uint16) bool {
	switch code {
	case ldap.LDAPResultReferral:
		return op != "ping"
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return true
	case ldap.LDAPResultUnwillingToPerform:
		return op == "search"
	}
	return false
}

// isAmbiguous reports whether a result code can be about the request or about the server. Only if
// such answers persist is the request sent to another server.
func isAmbiguous(code uint16) bool {
	return code == ldap.LDAPResultOperationsError || code == ldap.LDAPResultAdminLimitExceeded || code == ldap.LDAPResultOther
}

// unservedError is an answer by which a server declines a request for the time being.
type unservedError struct {
	op         string
	code       uint16
	diagnostic string
}

func (d *unservedError) Error() string {
	msg := fmt.Sprintf("%s: %s (%d)", d.op, ldap.LDAPResultCodeMap[d.code], d.code)
	if d.diagnostic != "" {
		msg += ": " + d.diagnostic
	}
	return msg
}

// bindRefusedError is the error of a service bind that the directory rejected. It is a fault of the
// configuration, not of the network.
type bindRefusedError struct {
	method     BindMethod
	code       uint16
	diagnostic string // without text that may repeat a password
}

func (r *bindRefusedError) Error() string {
	msg := "the service identity was refused: " + ldap.LDAPResultCodeMap[r.code]
	if r.method == BindExternal {
		msg += ", with SASL EXTERNAL"
	}
	if r.diagnostic != "" {
		msg += " (" + r.diagnostic + ")"
	}
	return msg
}

// Is makes a refusal match ErrServiceRefused, unless the server is busy.
func (r *bindRefusedError) Is(target error) bool {
	return target == ErrServiceRefused && !mayServeElsewhere("bind", r.code)
}

// isUnserved reports whether err is an answer by which a server declines requests for the time
// being.
func isUnserved(err error) bool {
	var d *unservedError
	var r *bindRefusedError
	return errors.As(err, &d) || errors.As(err, &r) && mayServeElsewhere("bind", r.code)
}

// isAnswer reports whether err is an answer of a server.
func isAnswer(err error) bool {
	var d *unservedError
	var r *bindRefusedError
	return errors.As(err, &d) || errors.As(err, &r)
}

// isRefused reports whether err is a service bind that is tried again rarely: a rejected password,
// which the directory may count (invalidCredentials, 49), or a rejected certificate, for which
// directories have several codes.
func isRefused(err error) bool {
	var r *bindRefusedError
	if !errors.As(err, &r) {
		return false
	}
	return r.code == ldap.LDAPResultInvalidCredentials ||
		r.method == BindExternal && !mayServeElsewhere("bind", r.code) && !isAmbiguous(r.code)
}

// maxDeadOnArrival is how many connections in a row may end between their dial and their use before
// a caller gives up. Each costs the server a connection and perhaps a bind.
const maxDeadOnArrival = 3

// acquire returns a connection that is ready for use, and how long that took.
func (p *Pool) acquire(ctx context.Context, op string, want *core.Request) (c *conn, wait time.Duration, err error) {
	began := time.Now()
	c, err = p.acquireLive(ctx, op, want)
	wait = time.Since(began)
	if err != nil {
		var e *OpError
		if errors.As(err, &e) {
			e.Wait = wait
		}
	}
	if hook := p.config().Trace.Acquired; hook != nil {
		lane := SearchLane
		if want.Lane == core.Bind {
			lane = BindLane
		}
		hook(ctx, AcquireEvent{Lane: lane, Wait: wait, Err: err})
	}
	return c, wait, err
}

func (p *Pool) acquireLive(ctx context.Context, op string, want *core.Request) (*conn, error) {
	for ended := 0; ; {
		r := *want
		p.request(ctx, &r)
		if r.Err != nil {
			return nil, rejected(op, r.Err)
		}
		c := shellOf(r.Conn)
		end := c.end()
		if end == nil {
			return c, nil
		}
		// It ended a moment ago, and nothing has been sent on it.
		p.update(func(now time.Time) {
			p.endedLocked(now, c)
			p.core.Released(now, c.core, core.Outcome{Close: core.Reason(closeReason(c, end))})
		})
		if !r.Fresh {
			continue
		}
		if ended++; ended == maxDeadOnArrival {
			return nil, &OpError{Op: op, Server: c.url(), Kind: ErrUnavailable, Err: end}
		}
	}
}

// request requests a connection from the core and waits for the answer.
func (p *Pool) request(ctx context.Context, r *core.Request) {
	if d, ok := ctx.Deadline(); ok {
		r.CallerDeadline = d
	}
	p.mu.Lock()
	now := time.Now()
	if err := ctx.Err(); err != nil {
		p.core.Refuse(r, errors.Is(err, context.Canceled), err)
	} else {
		p.core.Acquire(now, r)
	}
	var answered chan struct{}
	if r.Conn == nil && r.Err == nil {
		answered = make(chan struct{}, 1)
		r.Shell = answered
	}
	actions := p.actionsLocked()
	p.mu.Unlock()
	p.execute(actions)
	if answered == nil {
		return
	}
	select {
	case <-answered:
	case <-ctx.Done():
		p.update(func(now time.Time) {
			p.core.Cancel(now, r, errors.Is(ctx.Err(), context.Canceled), ctx.Err())
		})
	}
}

// rejected returns the error of a caller whose request the core rejected.
func rejected(op string, r *core.Rejection) *OpError {
	e := &OpError{Op: op, Server: r.Server, Err: r.Err, Queue: r.Queue}
	switch r.Kind {
	case core.KindUnavailable:
		e.Kind = ErrUnavailable
	case core.KindOverloaded:
		e.Kind = ErrOverloaded
	case core.KindClosed:
		e.Kind = ErrClosed
	case core.KindCanceled:
		e.Kind = context.Canceled
	}
	return e
}

// faultKind is the sentinel of a fault.
func faultKind(ctx context.Context, c *conn, f *ldapconn.Fault) error {
	switch f.End.Reason {
	case ldapconn.Timeout:
		return ErrTimeout
	case ldapconn.Canceled:
		if ctx.Err() != nil {
			return ctx.Err()
		}
	case ldapconn.Closed:
		if c.abortReason.Load() == nil || *c.abortReason.Load() != RetireReason(core.ReasonServerDown) {
			return ErrClosed
		}
	}
	return ErrConnLost
}

var errServerDown = errors.New("canceled because the server is down")

// newOpError returns the error of an operation that failed on a connection.
func newOpError(ctx context.Context, op string, c *conn, wait time.Duration, err error) *OpError {
	e := &OpError{Op: op, Server: c.url(), Wait: wait, Kind: ErrInvalidRequest, Err: err}
	f := asFault(err)
	if f == nil {
		return e
	}
	e.Kind, e.Err = faultKind(ctx, c, f), f.End
	switch {
	case errors.Is(e.Kind, ErrTimeout):
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
			e.Err = fmt.Errorf("%w: %w", f.End, context.DeadlineExceeded)
		}
	case errors.Is(e.Kind, ErrConnLost) && f.End.Reason == ldapconn.Closed:
		e.Err = errServerDown
	}
	return e
}
