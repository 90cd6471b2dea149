package ldaptest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

const (
	// loopback is where everything here listens.
	loopback = "127.0.0.1"
	// guardHost is a second loopback address. A listener on a port there owns that port on loopback
	// as far as this package is concerned.
	guardHost = "127.0.0.2"
	// Ports come from below Linux's default ephemeral range (from 32768), so
	// neither a ":0" listener nor an outgoing connection takes one while its
	// owner is down for a restart.
	firstPort = 20000
	lastPort  = 32767
)

// port is a TCP port on loopback that stays ours while nothing listens on it.
// The guard is held by this process, so it works between processes that run
// tests in parallel and ends with the process.
type port struct {
	number int
	guard  net.Listener
}

// claimPort reserves the port want, or any free one if want is 0.
func claimPort(want int) (*port, error) {
	if want != 0 {
		return tryPort(want)
	}
	var last error
	for range 200 {
		p, err := tryPort(firstPort + rand.IntN(lastPort-firstPort+1)) //nolint:gosec // a port is no secret
		if err == nil {
			return p, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port between %d and %d: %w", firstPort, lastPort, last)
}

// tryPort reserves number and makes sure that no stranger listens there.
func tryPort(number int) (*port, error) {
	guard, err := net.Listen("tcp", net.JoinHostPort(guardHost, strconv.Itoa(number)))
	if err != nil {
		return nil, err
	}
	p := &port{number: number, guard: guard}
	probe, err := net.Listen("tcp", p.addr())
	if err != nil {
		return nil, errors.Join(err, guard.Close())
	}
	if err := probe.Close(); err != nil {
		return nil, errors.Join(err, guard.Close())
	}
	return p, nil
}

// addr is the host and port to listen on.
func (p *port) addr() string { return net.JoinHostPort(loopback, strconv.Itoa(p.number)) }

// release gives the port back. A second call does nothing.
func (p *port) release() {
	if p != nil {
		_ = p.guard.Close()
	}
}

// ClosedAddr returns a host and port on which nothing listens, and nothing else can until the test
// ends: it is the caller's end of an open connection.
func ClosedAddr(tb testing.TB) string {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	c, err := new(net.Dialer).DialContext(tb.Context(), "tcp", l.Addr().String())
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String()
}

// FreeAddr is a "127.0.0.1:port" for a server that cannot choose a port itself. Nobody else here
// takes the port until the test ends.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	p, err := claimPort(0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.release)
	return p.addr()
}
