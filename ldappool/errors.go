package ldappool

import (
	"errors"
	"fmt"
	"time"

	"authsvc/ldappool/ldapconn"
)

// The sentinels of all errors. Test with [errors.Is]; the error itself is an [*OpError].
var (
	// ErrUnavailable occurs when no server could be reached, when no server accepted the service
	// identity, or when the pool found that out a moment ago.
	ErrUnavailable = errors.New("ldappool: directory unavailable")
	// ErrOverloaded occurs when no connection became available: the queue is full, the estimated
	// wait exceeds MaxWait or the caller's deadline, or either of them passed while all connections
	// were in use.
	ErrOverloaded = errors.New("ldappool: no connection free")
	// ErrTimeout occurs when a request was sent and not answered within RequestTimeout or the
	// caller's deadline. Whether the directory acted on it is not known.
	ErrTimeout = errors.New("ldappool: directory timeout")
	// ErrConnLost occurs when a connection with a request under way was lost, or the server sent
	// something other than LDAP, and the request could not be sent again or failed in the same way.
	ErrConnLost = errors.New("ldappool: connection lost")
	// ErrClosed occurs on a pool that is closed or closing.
	ErrClosed = errors.New("ldappool: pool closed")
	// ErrServiceRefused occurs, within ErrUnavailable and in the errors of dials, when the
	// directory refused the service identity: its password or DN is wrong, its certificate is not
	// accepted, or the account may not bind.
	ErrServiceRefused = errors.New("ldappool: service identity refused")
	// ErrInvalidRequest occurs when a request cannot be sent as it is: an empty password, or a
	// filter that does not compile. Nothing was sent.
	ErrInvalidRequest = ldapconn.ErrInvalidRequest
)

// OpError is the error of every operation: its name, the server, and the cause.
type OpError struct {
	Op     string        // "search" or "bind"
	Server string        // the server's URL; empty where none was involved
	Wait   time.Duration // how long the operation waited for connections
	Kind   error         // one of the sentinels, or context.Canceled
	Err    error         // the cause; nil where the sentinel says it all
	Queue  time.Duration // how long the queue is likely to take, if that caused ErrOverloaded
}

// Error names the operation, the server and the cause.
func (e *OpError) Error() string {
	at := e.Op
	if e.Server != "" {
		at += " " + e.Server
	}
	if e.Err == nil {
		return fmt.Sprintf("%s: %v", at, e.Kind)
	}
	return fmt.Sprintf("%s: %v: %v", at, e.Kind, e.Err)
}

// Unwrap gives the sentinel and the cause to [errors.Is] and [errors.As].
func (e *OpError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}
