// Package poolevent names what the events of ldappool report, so that metrics, spans and log lines
// use the same names. It also bounds the servers of which an observer keeps something.
package poolevent

import (
	"context"
	"errors"

	"authsvc/ldappool"
)

// MaxServers is the number of servers of which an observer keeps something by name. A configuration
// names a handful. Only one that changes without end reaches the bound, and the servers beyond it
// share the name OtherServer.
const (
	MaxServers  = 64
	OtherServer = "other"
)

// Answer is the result of a request that was answered, whatever the answer's result code.
const Answer = "answer"

// Results are all names that Result returns.
func Results() []string { return []string{Answer, "timeout", "lost", "canceled", "other"} }

// Result names what a request ended in.
func Result(err error) string {
	if err == nil {
		return Answer
	}
	return Failure(err)
}

// Failure names what a request or dial without an answer ended in.
func Failure(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ldappool.ErrTimeout):
		return "timeout"
	case errors.Is(err, ldappool.ErrConnLost):
		return "lost"
	}
	return "other"
}

// Refusals are all names that Refusal returns.
func Refusals() []string { return []string{"unavailable", "overloaded", "canceled", "closed", "other"} }

// Refusal names why a caller got no connection. A canceled dial is ErrUnavailable whatever its
// cause, so that comes first. A caller that left was not refused for lack of connections, so that
// comes before the queue.
func Refusal(err error) string {
	switch {
	case errors.Is(err, ldappool.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, ldappool.ErrClosed):
		return "closed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ldappool.ErrOverloaded):
		return "overloaded"
	}
	return "other"
}
