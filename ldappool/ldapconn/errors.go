package ldapconn

import (
	"errors"
	"time"
)

// ErrInvalidRequest occurs when a request cannot be sent as it is: a bind without DN or password
// (which RFC 4513 section 5.1.2 makes an anonymous one), a filter that does not compile, a size out
// of bounds, or an operation while another one is under way. Nothing was sent, and the connection
// can still be used.
var ErrInvalidRequest = errors.New("ldapconn: invalid request")

// Reason says why a connection ended.
type Reason string

// The reasons.
const (
	PeerClosed Reason = "peer_closed" // the server or a device in between closed or reset it
	Notice     Reason = "notice"      // the server sent a Notice of Disconnection (RFC 4511 section 4.4.1)
	Protocol   Reason = "protocol"    // the server sent what was not requested, or what is not LDAP
	Timeout    Reason = "timeout"     // a request was not answered before its deadline
	Canceled   Reason = "canceled"    // the context of a request was canceled
	Closed     Reason = "closed"      // Close or Abort was called
)

// EndError says how a connection ended.
type EndError struct {
	Reason Reason
	Time   time.Time
	Idle   bool  // no operation was under way
	Err    error // the cause; never in the server's words
}

// Error describes the cause.
func (e *EndError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *EndError) Unwrap() error { return e.Err }

// Fault is the error of an operation without a valid answer. The connection has ended.
type Fault struct {
	End      *EndError // why the connection ended, before or during the operation
	Sent     bool      // some of the request may have left this machine
	Answered bool      // some of an answer arrived
}

// Error describes why the connection ended.
func (f *Fault) Error() string { return f.End.Error() }

// Unwrap returns the [*EndError].
func (f *Fault) Unwrap() error { return f.End }

// DialError says which step of [Dial] failed.
type DialError struct {
	Step string // the name of a [Step]
	Err  error
}

// Error names the step and the cause.
func (e *DialError) Error() string { return e.Step + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }
