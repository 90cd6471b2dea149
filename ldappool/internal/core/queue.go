package core

import (
	"time"
)

// Request is a caller's request for a connection. The caller sets the first fields; the core sets
// Conn or Err.
type Request struct {
	Lane           Lane
	Began          time.Time // when the operation began: the order of the queue
	Deadline       time.Time // when the wait ends
	CallerDeadline time.Time // the caller's own deadline, if it is earlier; zero: none
	Exclude        *Server   // the connection must be to another server
	Since          time.Time // the connection must have been dialed or checked after this; zero: whenever

	Conn  *Conn
	Fresh bool // it was dialed for this request
	Err   *Rejection

	Shell any // the shell's own

	wait       waitState
	prev, next *Request
	checking   *Conn     // the connection that is checked for this request
	hedgeAt    time.Time // when that check is slow
	expiresAt  time.Time // Deadline, or a little later so that a check can end
}

// waitState is what a request waits for.
type waitState uint8

const (
	notQueued      waitState = iota
	forConn                  // for a connection
	forCheck                 // for the check of a connection
	forCheckOrConn           // that check is slow: any other connection that needs no check is accepted
	waitStates
)

// accepts reports whether the request can be served by a connection.
func (r *Request) accepts(conn *Conn) bool {
	return r.Lane == conn.Lane && r.wait != forCheck && (r.Exclude == nil || r.Exclude != conn.Server && conn.Server.isUsable())
}

// queue holds the requests that wait, by the time at which their operations began.
type queue struct {
	first, last *Request
	waiting     [2][waitStates]int // requests by lane and what they wait for
}

// push inserts a request, which waits for a connection.
func (q *queue) push(r *Request) {
	after := q.last
	for after != nil && r.Began.Before(after.Began) {
		after = after.prev
	}
	r.prev = after
	if after == nil {
		r.next, q.first = q.first, r
	} else {
		r.next, after.next = after.next, r
	}
	if r.next == nil {
		q.last = r
	} else {
		r.next.prev = r
	}
	q.setWait(r, forConn)
}

// setWait is the only place where the state of a request changes, and with it every count.
func (q *queue) setWait(r *Request, to waitState) {
	q.waiting[r.Lane][r.wait]--
	r.wait = to
	q.waiting[r.Lane][to]++
}

// remove takes a request out.
func (q *queue) remove(r *Request) {
	if r.wait == notQueued {
		return
	}
	if r.prev == nil {
		q.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		q.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	q.setWait(r, notQueued)
	if conn := r.checking; conn != nil {
		r.checking, conn.request = nil, nil // the check continues
	}
}

// unserved counts the requests of a lane that a new connection would serve.
func (q *queue) unserved(l Lane) int { return q.waiting[l][forConn] + q.waiting[l][forCheckOrConn] }

// isEmpty reports whether no request waits for anything.
func (q *queue) isEmpty() bool { return q.first == nil }

// find returns the oldest request that matches.
func (q *queue) find(match func(*Request) bool) *Request {
	for r := q.first; r != nil; r = r.next {
		if match(r) {
			return r
		}
	}
	return nil
}

// each calls f for every request, the oldest first. f may remove it.
func (q *queue) each(f func(*Request)) {
	for r := q.first; r != nil; {
		next := r.next
		f(r)
		r = next
	}
}
