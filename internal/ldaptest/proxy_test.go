package ldaptest

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// echo is a TCP server that sends back what it gets, and a proxy before it.
func echo(t *testing.T) (*Proxy, *listener) {
	t.Helper()
	l, err := newListener(func(c net.Conn) { _, _ = io.Copy(c, c) })
	require.NoError(t, err)
	t.Cleanup(func() { l.shutdown(l.cutAll) })
	return NewProxy(t, l.port.addr()), l
}

// ping sends text and requires it back.
func ping(t *testing.T, c net.Conn, text string) {
	t.Helper()
	send(t, c, text)
	b := make([]byte, len(text))
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(t, err)
}

func TestProxy_PassesAllBytesAndTheEnd(t *testing.T) {
	t.Parallel()
	p, server := echo(t)
	c := dialRaw(t, p.Addr())
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.Write(data) })
	got := make([]byte, len(data))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	wg.Wait()
	require.True(t, bytes.Equal(data, got))

	require.NoError(t, c.Close())
	Eventually(t, "the server to see the end", func() bool { return openConns(server) == 0 && p.Open() == 0 })

	c = dialRaw(t, p.Addr())
	ping(t, c, "hello")
	server.cutAll()
	requireFIN(t, c)
}

func TestProxy_PassesLDAPAndTLS(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	plain := NewProxy(t, NewServer(t, nil).Addr())
	require.NoError(t, dial(t, plain.URL()).Bind(UserDN(0), Password(0)))
	secure := NewProxy(t, NewServer(t, nil, WithTLS(ca.ServerTLS(t))).Addr())
	c := dial(t, secure.TLSURL(), ldap.DialWithTLSConfig(ca.ClientTLS("localhost")))
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
}

func TestProxy_CountsItsConnections(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	a, b := dialRaw(t, p.Addr()), dialRaw(t, p.Addr())
	ping(t, a, "a")
	ping(t, b, "b")
	require.Equal(t, 2, p.Open())
	require.NoError(t, a.Close())
	Eventually(t, "one to be closed", func() bool { return p.Open() == 1 })
	ping(t, dialRaw(t, p.Addr()), "c")
	require.Equal(t, 3, p.Accepted())
	require.Equal(t, 2, p.MaxOpen())
}

func TestProxy_PassesAReset(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	p := NewProxy(t, srv.Addr())
	c := dialRaw(t, p.Addr())
	Eventually(t, "the connection", func() bool { return len(srv.Conns()) == 1 })
	srv.ResetAll()
	requireRST(t, c)
}

func TestProxy_CutsIdleConnectionsOnBothSides(t *testing.T) {
	t.Parallel()
	for name, rst := range map[string]bool{"FIN": false, "RST": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, server := echo(t)
			const limit = 60 * time.Millisecond
			c := dialRaw(t, p.Addr())
			ping(t, c, "before the limit is set")
			p.SetFaults(Faults{IdleCut: limit, IdleReset: rst})
			begin := time.Now()
			ping(t, c, "the clock starts anew")
			if rst {
				requireRST(t, c)
			} else {
				requireFIN(t, c)
			}
			require.GreaterOrEqual(t, time.Since(begin), limit)
			Eventually(t, "the server to see the end", func() bool { return openConns(server) == 0 && p.Open() == 0 })
		})
	}
}

func TestProxy_KeepsABusyConnection(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	const limit = 1500 * time.Millisecond // much more than a loaded machine's pauses
	p.SetFaults(Faults{IdleCut: limit})
	c := dialRaw(t, p.Addr())
	tick := time.NewTicker(limit / 30)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < limit+limit/3; <-tick.C {
		ping(t, c, "x")
	}
}

func TestProxy_ForgetsAnIdleConnectionSilently(t *testing.T) {
	t.Parallel()
	p, server := echo(t)
	c := dialRaw(t, p.Addr())
	ping(t, c, "fresh")
	p.SetFaults(Faults{IdleDrop: time.Nanosecond})
	send(t, c, "lost")
	requireSilence(t, c)
	p.SetFaults(Faults{})
	send(t, c, "lost for good")
	requireSilence(t, c)
	server.cutAll()
	requireSilence(t, c) // the server's FIN is lost as well
	require.Equal(t, 1, p.Open())
	ping(t, dialRaw(t, p.Addr()), "a new connection works")
	require.NoError(t, c.Close())
	Eventually(t, "the client's end", func() bool { return p.Open() == 1 && openConns(server) == 1 })
}

func TestProxy_RemembersAConnectionInUse(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	p.SetFaults(Faults{IdleDrop: patience})
	c := dialRaw(t, p.Addr())
	ping(t, c, "one")
	ping(t, c, "two")
}

func TestProxy_BlackHoleSwallowsOldAndNewConnections(t *testing.T) {
	t.Parallel()
	p, server := echo(t)
	old := dialRaw(t, p.Addr())
	ping(t, old, "through")
	p.SetFaults(Faults{BlackHole: true})
	fresh := dialRaw(t, p.Addr())
	for _, c := range []net.Conn{old, fresh} {
		send(t, c, "swallowed")
		requireSilence(t, c)
	}
	accepted, _, _ := server.counts()
	require.Equal(t, 1, accepted, "the server saw the second connection")
	p.SetFaults(Faults{})
	for _, c := range []net.Conn{old, fresh} {
		send(t, c, "too late")
		requireSilence(t, c)
	}
	ping(t, dialRaw(t, p.Addr()), "through again")
}

func TestProxy_BlackHoleKeepsItsConnections(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	p.SetFaults(Faults{BlackHole: true})
	c := dialRaw(t, p.Addr())
	Eventually(t, "the connection to be swallowed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for l := range p.links {
			return l.lost.Load()
		}
		return false
	})
	p.SetFaults(Faults{})
	send(t, c, "too late")
	requireSilence(t, c)
}

func TestProxy_RefusesAndListensAgainOnItsPort(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	open := dialRaw(t, p.Addr())
	ping(t, open, "x")
	p.StopListening()
	_, err := net.Dial("tcp", p.Addr())
	require.Error(t, err)
	ping(t, open, "y")
	p.Listen()
	ping(t, dialRaw(t, p.Addr()), "z")
}

func TestProxy_DroppedSYNHangsDials(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	open := dialRaw(t, p.Addr())
	ping(t, open, "x")
	for range 2 {
		p.HangDials()
		c, err := net.DialTimeout("tcp", p.Addr(), 100*time.Millisecond)
		if err == nil {
			c.Close()
		}
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout(), "%v", err)
		ping(t, open, "y")
		p.Listen()
		ping(t, dialRaw(t, p.Addr()), "z")
	}
	p.HangDials() // and is closed like that
}

func TestProxy_EndsAllConnectionsNow(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	pair := func() []net.Conn {
		conns := []net.Conn{dialRaw(t, p.Addr()), dialRaw(t, p.Addr())}
		for _, c := range conns {
			ping(t, c, "x")
		}
		return conns
	}
	conns := pair()
	p.ResetAll()
	for _, c := range conns {
		requireRST(t, c)
	}
	conns = pair()
	p.CloseAll()
	for _, c := range conns {
		requireFIN(t, c)
	}
}

func TestProxy_DelaysEachDirection(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	const delay = 30 * time.Millisecond
	p.SetFaults(Faults{Delay: delay})
	c := dialRaw(t, p.Addr())
	begin := time.Now()
	ping(t, c, "x")
	require.GreaterOrEqual(t, time.Since(begin), 2*delay)
}

func TestProxy_LimitsTheRateOfEachDirection(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	p.SetFaults(Faults{BytesPerSecond: 10_000})
	c := dialRaw(t, p.Addr())
	begin := time.Now()
	ping(t, c, string(make([]byte, 1000)))
	require.GreaterOrEqual(t, time.Since(begin), 100*time.Millisecond)
}

func TestProxy_CorruptsWhatTheServerSends(t *testing.T) {
	t.Parallel()
	p, _ := echo(t)
	p.SetFaults(Faults{Corrupt: true})
	c := dialRaw(t, p.Addr())
	send(t, c, "abc")
	b := make([]byte, 3)
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	for i := range b {
		require.NotEqual(t, "abc"[i], b[i])
	}
	p.SetFaults(Faults{})
	ping(t, c, "abc")
}

func TestProxy_EndsAfterHalfAnAnswer(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	p := NewProxy(t, srv.Addr())
	p.SetFaults(Faults{HalfAnswer: true})
	c := dialRaw(t, p.Addr())
	_, err := c.Write(envelope(1, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00))
	require.NoError(t, err)
	require.Equal(t, HalfMessage(1), requireFIN(t, c))
	Eventually(t, "the server to see the end", func() bool { return srv.Open() == 0 })
}

func TestProxy_DeadTargetResetsTheClient(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	srv.StopListening()
	c, err := net.Dial("tcp", NewProxy(t, srv.Addr()).Addr())
	if err != nil { // the reset was quicker than the dial
		require.ErrorIs(t, err, syscall.ECONNRESET)
		return
	}
	defer c.Close()
	requireRST(t, c)
}

func TestProxy_CloseInterruptsEveryFault(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Faults{
		"delaying":   {Delay: time.Hour},
		"throttling": {BytesPerSecond: 1},
		"swallowing": {BlackHole: true},
		"watching":   {IdleCut: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := echo(t)
			p.SetFaults(f)
			c := dialRaw(t, p.Addr())
			send(t, c, "0123456789")
			Eventually(t, "the connection", func() bool { return p.Open() == 1 })
			p.Close()
			require.Zero(t, p.Open())
			p.Close()
		})
	}
}

func TestProxy_ClosedOneServesNobody(t *testing.T) {
	t.Parallel()
	p, server := echo(t)
	p.Close()
	client := dialRaw(t, server.port.addr())
	ping(t, client, "accepted")
	p.serve(client)
	accepted, _, _ := server.counts()
	require.Equal(t, 1, accepted, "the proxy dialled its target")
}

func TestProxy_ClosesWhileClientsArrive(t *testing.T) {
	t.Parallel()
	_, server := echo(t)
	for range 20 {
		p := NewProxy(t, server.port.addr())
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for ctx.Err() == nil {
					c, err := net.Dial("tcp", p.Addr())
					if err != nil {
						return
					}
					defer c.Close()
				}
			})
		}
		Eventually(t, "a client", func() bool { return p.Accepted() > 0 })
		p.Close()
		cancel()
		clients.Wait()
		require.Zero(t, p.Open())
	}
}
