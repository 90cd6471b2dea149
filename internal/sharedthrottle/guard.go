package sharedthrottle

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// errGarbage is the error of an answer that is none of Redis.
var errGarbage = errors.New("the server does not answer as Redis does")

// The bounds on what the server may answer to one request or one pipeline. The scripts' answers are
// tiny; the slots of a Cluster are the longest.
const (
	maxAnswer   = 1 << 20 // bytes
	maxElements = 1 << 16 // of arrays, nested ones included
	maxLine     = 4 << 10 // bytes of a line, such as an error
)

// guard is a connection on which only answers within the bounds are read. go-redis allocates what
// an answer announces, before it arrives: a server that speaks something else could end the process
// by one line. The types are those of RESP2 and, as go-redis speaks it with Sentinels, of RESP3
// (https://redis.io/docs/latest/develop/reference/protocol-spec).
type guard struct {
	net.Conn

	mu             sync.Mutex // guards what follows: a write begins the next answer
	left, elements int        // of what may still be read for one answer
	skip           int        // bytes of a bulk string
	line           []byte     // so far
}

// rawGuard is a guard of a socket, which go-redis checks for its end before it uses it again.
type rawGuard struct {
	*guard
	syscall.Conn
}

func newGuard(c net.Conn) net.Conn {
	g := &guard{Conn: c, left: maxAnswer, elements: maxElements}
	if raw, ok := c.(syscall.Conn); ok {
		return rawGuard{g, raw}
	}
	return g
}

// Write sends a request.
func (g *guard) Write(b []byte) (int, error) {
	g.mu.Lock()
	g.left, g.elements = maxAnswer, maxElements
	g.mu.Unlock()
	return g.Conn.Write(b)
}

// Read reads a part of an answer.
func (g *guard) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.mu.Lock()
	defer g.mu.Unlock()
	if wrong := g.examine(b[:n]); wrong != nil {
		_ = g.Close() // nothing more is read from it
		return 0, wrong
	}
	return n, err
}

// examine looks at the next bytes. g.mu is held.
func (g *guard) examine(b []byte) error {
	if g.left -= len(b); g.left < 0 {
		return fmt.Errorf("%w: its answer is too long", errGarbage)
	}
	for len(b) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(b))
			g.skip, b = g.skip-n, b[n:]
			continue
		}
		rest, ended := b, bytes.IndexByte(b, '\n')
		if ended >= 0 {
			rest = b[:ended+1]
		}
		if len(g.line)+len(rest) > maxLine {
			return fmt.Errorf("%w: its answer has no end", errGarbage)
		}
		g.line, b = append(g.line, rest...), b[len(rest):]
		if ended < 0 {
			return nil
		}
		if err := g.header(); err != nil {
			return err
		}
		g.line = g.line[:0]
	}
	return nil
}

// header looks at a whole line. g.mu is held.
func (g *guard) header() error {
	text, ok := bytes.CutSuffix(g.line, []byte("\r\n"))
	if !ok || len(text) == 0 {
		return errGarbage
	}
	elements := int64(0) // that follow, for each of what the line announces
	switch text[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '=', '!':
	case '*', '~', '>':
		elements = 1
	case '%', '|':
		elements = 2
	default:
		return errGarbage
	}
	n, err := strconv.ParseInt(string(text[1:]), 10, 64)
	switch {
	case err != nil:
		return errGarbage
	case n == -1: // null
		return nil
	case n < 0, n > maxAnswer, n*elements > int64(g.elements):
		return fmt.Errorf("%w: its answer is too long", errGarbage)
	case elements == 0:
		g.skip = int(n) + len("\r\n")
	}
	g.elements -= int(n * elements)
	return nil
}
