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

// operation is something that callers ask of a directory. A is its answer.
type operation[A any] struct {
	name      string // "search" or "bind"
	lane      core.Lane
	send      func(ctx context.Context, deadline time.Time, c *conn) (A, *Result, error)
	mayResend func(f *ldapconn.Fault) bool // after its connection was lost
	elsewhere bool                         // it may be sent to another server after an answer of "not here"
}

// attempt is what came of sending an operation once.
type attempt[A any] struct {
	answer  A
	err     error // an *OpError
	wait    time.Duration
	noConn  bool // there was no connection to send it on
	retry   bool
	exclude *core.Server // if retry: the server that must not be asked again
	lost    time.Time    // if retry: when the connection was lost, and perhaps others with it
}

// run does an operation, and does it once more if the first attempt allows that. If there is no
// connection for the second to another server, what came of the first stands.
func run[A any](ctx context.Context, p *Pool, op *operation[A]) (A, time.Duration, error) {
	began := time.Now()
	first := try(ctx, p, op, &core.Request{Lane: op.lane, Began: began, Deadline: began.Add(p.config().MaxWait)}, false)
	if !first.retry {
		return first.answer, first.wait, first.err
	}
	until := time.Now().Add(p.config().MaxWait - first.wait)
	second := try(ctx, p, op, &core.Request{Lane: op.lane, Began: began, Deadline: until, Exclude: first.exclude, Since: first.lost}, true)
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
func try[A any](ctx context.Context, p *Pool, op *operation[A], wish *core.Request, again bool) (a attempt[A]) {
	c, wait, err := p.acquire(ctx, op.name, wish)
	if a.wait = wait; err != nil {
		a.err, a.noConn = err, true
		return a
	}
	if again {
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
		case again:
		case fault != nil && errors.Is(faultKind(ctx, c, fault), ErrConnLost) && op.mayResend(fault):
			a.retry, a.lost = true, now
		case err == nil && alternative && op.elsewhere && (isNotHere(op.name, result.Code) || isDoubtful(result.Code) && s.Health.Breaker.Failing(now)):
			a.retry, a.exclude = true, s
			outcome.Close = core.ReasonServerDown // so that there is room for a connection to another
		}
		p.core.Released(now, c.core, outcome)
		if !a.lost.IsZero() && p.core.HasAlternative(s) && s.Health.Breaker.Failing(now) {
			a.exclude = s
		}
	})
	if result != nil {
		result.Server, result.Took = c.url(), took
	}
	a.answer = answer
	if err != nil {
		a.err = describe(ctx, op.name, c, wait, err)
	}
	p.operated(ctx, op.name, c, took, result, err, again)
	return a
}

// operated calls the hook for an operation.
func (p *Pool) operated(ctx context.Context, op string, c *conn, took time.Duration, r *Result, err error, again bool) {
	hook := p.config().Trace.Operated
	if hook == nil {
		return
	}
	e := OperationEvent{Op: op, Server: c.url(), Took: took, Retry: again}
	if err != nil {
		e.Err = describe(ctx, op, c, 0, err)
	} else {
		e.Code = r.Code
	}
	hook(ctx, e)
}

func asFault(err error) (f *ldapconn.Fault) {
	if err != nil { // and not otherwise: what errors.As fills is allocated
		errors.As(err, &f)
	}
	return f
}

// judge says what an operation means for its connection and its server.
func judge(op string, took time.Duration, r *Result, f *ldapconn.Fault) core.Outcome {
	o := core.Outcome{Op: op, Took: took, Answered: r != nil}
	switch {
	case r != nil:
		o.Counts = true
		if isNotHere(op, r.Code) || isDoubtful(r.Code) {
			diagnostic := ""
			if op != "bind" && redact.Known(r.Diagnostic) {
				// Others may repeat a user's password, and this is logged and reported about the
				// server.
				diagnostic = r.shown()
			}
			o.Failed = &declined{op, r.Code, diagnostic}
		}
	case f != nil:
		o.TimedOut, o.Err = f.End.Reason == ldapconn.Timeout, f
		lost := f.End.Reason != ldapconn.Canceled && f.End.Reason != ldapconn.Closed && !o.TimedOut
		// A caller that is in more of a hurry than a check says nothing about the server.
		if o.Counts = f.Sent && (lost || o.TimedOut && took >= core.CheckTimeout); o.Counts {
			o.Failed = &stepError{op, f}
		}
	}
	return o
}

// isNotHere reports whether a result code says that the server did not do what it was asked for a
// reason of its own, so that another server may. unwillingToPerform is that for a search; for a
// bind it may be about the user's account.
func isNotHere(op string, code uint16) bool {
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

// isDoubtful reports whether a result code is about the request as often as about the server: only
// if such answers persist is another server asked.
func isDoubtful(code uint16) bool {
	return code == ldap.LDAPResultOperationsError || code == ldap.LDAPResultAdminLimitExceeded || code == ldap.LDAPResultOther
}

// declined is an answer by which a server says that it does not do what it was asked, now.
type declined struct {
	op         string
	code       uint16
	diagnostic string
}

func (d *declined) Error() string {
	msg := fmt.Sprintf("%s: %s (%d)", d.op, ldap.LDAPResultCodeMap[d.code], d.code)
	if d.diagnostic != "" {
		msg += ": " + d.diagnostic
	}
	return msg
}

// refused is a service bind that the directory rejected. It is a fault of the configuration, not of
// the network.
type refused struct {
	code uint16
	said string // the directory's words as they may be shown
}

func (r *refused) Error() string {
	msg := "the service identity was refused: " + ldap.LDAPResultCodeMap[r.code]
	if r.said != "" {
		msg += " (" + r.said + ")"
	}
	return msg
}

// Is makes a refusal match ErrServiceRefused, except that of a server which is too busy to look at
// anybody.
func (r *refused) Is(target error) bool {
	return target == ErrServiceRefused && !isNotHere("bind", r.code)
}

// isDeclined reports whether err is a server's own word that it does not serve now.
func isDeclined(err error) bool {
	var d *declined
	var r *refused
	return errors.As(err, &d) || errors.As(err, &r) && isNotHere("bind", r.code)
}

// isAnswer reports whether err is something that a server answered.
func isAnswer(err error) bool {
	var d *declined
	var r *refused
	return errors.As(err, &d) || errors.As(err, &r)
}

// countsAgainstAccount reports whether err is a refusal that the directory may count
// (invalidCredentials, 49).
func countsAgainstAccount(err error) bool {
	var r *refused
	return errors.As(err, &r) && r.code == ldap.LDAPResultInvalidCredentials
}

// maxDeadOnArrival is how many connections in a row may end between their dial and their use before
// a caller gives up: each costs the server a connection and perhaps a bind, and there are more
// callers.
const maxDeadOnArrival = 3

// acquire takes a connection that is ready for use, and returns how long that took.
func (p *Pool) acquire(ctx context.Context, op string, wish *core.Request) (c *conn, wait time.Duration, err error) {
	began := time.Now()
	c, err = p.acquireLive(ctx, op, wish)
	wait = time.Since(began)
	if err != nil {
		var e *OpError
		if errors.As(err, &e) {
			e.Wait = wait
		}
	}
	if hook := p.config().Trace.Acquired; hook != nil {
		lane := SearchLane
		if wish.Lane == core.Bind {
			lane = BindLane
		}
		hook(ctx, AcquireEvent{Lane: lane, Wait: wait, Err: err})
	}
	return c, wait, err
}

func (p *Pool) acquireLive(ctx context.Context, op string, wish *core.Request) (*conn, error) {
	for ended := 0; ; {
		r := *wish
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

// request asks the core for a connection and waits for its answer.
func (p *Pool) request(ctx context.Context, r *core.Request) {
	if d, ok := ctx.Deadline(); ok {
		r.Patience = d
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

// rejected is the error of a caller whose request the core rejected.
func rejected(op string, r *core.Rejection) *OpError {
	e := &OpError{Op: op, Server: r.Server, Err: r.Err, Queue: r.Queue}
	switch r.Kind {
	case core.KindUnavailable:
		e.Kind = ErrUnavailable
	case core.KindOverloaded:
		e.Kind = ErrOverloaded
	case core.KindClosed:
		e.Kind = ErrClosed
	case core.KindGone:
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
		if c.cut.Load() == nil || *c.cut.Load() != RetireReason(core.ReasonServerDown) {
			return ErrClosed
		}
	}
	return ErrConnLost
}

var errServerDown = errors.New("canceled because the server is down")

// describe makes the error that a caller gets for an operation that failed on a connection.
func describe(ctx context.Context, op string, c *conn, wait time.Duration, err error) *OpError {
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
