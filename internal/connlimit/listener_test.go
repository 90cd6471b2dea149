package connlimit_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/connlimit"

	"github.com/stretchr/testify/require"
)

// network is a listener in memory, whose connections come from any address.
type network struct {
	pending chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newNetwork() *network {
	return &network{pending: make(chan net.Conn), closed: make(chan struct{})}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.pending:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

// remote is one end of a pipe, with an address.
type remote struct {
	net.Conn
	addr net.Addr
}

func (r remote) RemoteAddr() net.Addr { return r.addr }

// peers is a limited listener and those who connect to it.
type peers struct {
	t       *testing.T
	network *network
	*connlimit.Listener
	all []*peer
}

// peer is one connection, seen from both ends.
type peer struct {
	name   string
	far    net.Conn
	served *connlimit.Conn
}

func newPeers(t *testing.T, cfg connlimit.Config) *peers {
	t.Helper()
	n := newNetwork()
	return &peers{t: t, network: n, Listener: connlimit.New(n, cfg)}
}

// connect makes a connection from an address, and has it accepted.
func (p *peers) connect(addr string) *peer {
	p.t.Helper()
	near, far := net.Pipe()
	go func() { p.network.pending <- remote{near, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1}} }()
	served, err := p.Accept()
	require.NoError(p.t, err)
	one := &peer{fmt.Sprintf("%d from %s", len(p.all), addr), far, served.(*connlimit.Conn)}
	p.all = append(p.all, one)
	return one
}

// cut are the names of those whose connection the listener closed.
func (p *peers) cut() (names []string) {
	for _, one := range p.all {
		_ = one.far.SetReadDeadline(time.Now())
		if _, err := one.far.Read(make([]byte, 1)); err == io.EOF { //nolint:errorlint // what a pipe returns
			names = append(names, one.name)
		}
	}
	return names
}

func (p *peers) end() {
	for _, one := range p.all {
		_ = one.served.Close()
	}
	require.Zero(p.t, p.Stat().Open)
	require.NoError(p.t, p.Close())
}

const (
	app      = "192.0.2.1"
	attacker = "198.51.100.1"
)

func TestListener_ClosesTheQuietestOfTheAddressWithTheMost(t *testing.T) {
	t.Parallel()
	dropped := 0
	p := newPeers(t, connlimit.Config{MaxConns: 5, Dropped: func() { dropped++ }})
	defer p.end()
	p.connect(app)
	p.connect(app)
	first := p.connect(attacker)
	p.connect(attacker)
	p.connect(attacker)
	p.ConnState(first.served, http.StateActive) // a sign of life
	p.connect(app)
	require.Equal(t, []string{"3 from " + attacker}, p.cut())
	p.connect("203.0.113.1") // now the application has the most
	require.Equal(t, []string{"0 from " + app, "3 from " + attacker}, p.cut())
	require.Equal(t, connlimit.Stat{Open: 5, Max: 5, Dropped: 2}, p.Stat())
	require.Equal(t, 2, dropped)
}

func TestListener_ClosesTheQuietestOfAllIfNoAddressHasMore(t *testing.T) {
	t.Parallel()
	p := newPeers(t, connlimit.Config{MaxConns: 4})
	defer p.end()
	for i := range 4 {
		p.connect(fmt.Sprintf("192.0.2.%d", i))
	}
	p.ConnState(p.all[0].served, http.StateIdle)
	for range 3 {
		p.connect("203.0.113.1")
		p.all[len(p.all)-1].served.Close()
	}
	require.Equal(t, "1 from 192.0.2.1", p.cut()[0])
	require.Equal(t, uint64(1), p.Stat().Dropped, "each made room again")
}

func TestListener_ClosesKnownConnectionsLast(t *testing.T) {
	t.Parallel()
	p := newPeers(t, connlimit.Config{MaxConns: 6})
	defer p.end()
	for range 4 {
		p.connect(app).served.Hold()
	}
	for _, one := range p.all {
		one.served.Release()
	}
	for range 10 {
		p.connect(attacker)
	}
	for _, name := range p.cut() {
		require.NotContains(t, name, app, "it has the most, and is known")
	}
	require.Len(t, p.cut(), 8)
}

func TestListener_AnAddressWithManyGetsNoPlaceOfOneWithFewer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		p := newPeers(t, connlimit.Config{MaxConns: 5, Dropped: func() { dropped++ }})
		for range 3 {
			p.connect(attacker).served.Hold()
		}
		once := p.connect(app)
		once.served.Hold()
		once.served.Release()
		p.connect(app)
		accepted := make(chan error)
		go func() {
			_, err := p.Accept()
			accepted <- err
		}()
		near, far := net.Pipe()
		p.network.pending <- remote{near, &net.TCPAddr{IP: net.ParseIP(attacker)}}
		_, err := far.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "closed at once")
		synctest.Wait()
		require.Empty(t, p.cut())
		require.Equal(t, connlimit.Stat{Open: 5, Max: 5, Dropped: 1}, p.Stat())
		require.Equal(t, 1, dropped)
		time.Sleep(time.Second) // in a bubble: by then a first request has come, or none will

		near, _ = net.Pipe()
		p.network.pending <- remote{near, &net.TCPAddr{IP: net.ParseIP(attacker)}}
		require.NoError(t, <-accepted)
		require.Equal(t, []string{"4 from " + app}, p.cut(), "a stranger that sent nothing; not the known one")
		require.NoError(t, near.Close())
	})
}

func TestListener_NeverClosesAHeldConnectionAndWaitsForItsRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t, connlimit.Config{MaxConns: 3})
		for range 3 {
			p.connect(app).served.Hold()
		}
		accepted := make(chan *peer)
		go func() { accepted <- p.connect(attacker) }()
		synctest.Wait()
		select {
		case <-accepted:
			t.Fatal("there is no room")
		default:
		}
		p.all[1].served.Release()
		<-accepted
		require.Equal(t, []string{"1 from " + app}, p.cut())
		p.end()
	})
}

func TestListener_WaitingForRoomEndsWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t, connlimit.Config{MaxConns: 1})
		p.connect(app).served.Hold()
		near, far := net.Pipe()
		go func() { p.network.pending <- near }()
		ended := make(chan error)
		go func() {
			_, err := p.Accept()
			ended <- err
		}()
		synctest.Wait()
		require.NoError(t, p.Close())
		require.ErrorIs(t, <-ended, net.ErrClosed)
		_, err := far.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		p.end()
	})
}

func TestListener_CountsAnIPv6NetworkAsOneAddress(t *testing.T) {
	t.Parallel()
	p := newPeers(t, connlimit.Config{MaxConns: 4})
	defer p.end()
	p.connect("2001:db8:1:2::1")
	p.connect("192.0.2.1")
	p.connect("::ffff:192.0.2.1")
	p.connect("2001:db8:1:2:ffff::9")
	p.ConnState(p.all[0].served, http.StateIdle)
	p.connect("192.0.2.7")
	require.Equal(t, []string{"1 from 192.0.2.1"}, p.cut(), "two addresses have two each")
	p.connect("192.0.2.8")
	require.Equal(t, []string{"1 from 192.0.2.1", "3 from 2001:db8:1:2:ffff::9"}, p.cut())
}

func TestListener_WaitReturnsWhenNoConnectionIsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(t, connlimit.Config{MaxConns: 4})
		p.Wait(t.Context())
		one, other := p.connect(app), p.connect(app)
		waited := make(chan struct{})
		go func() {
			p.Wait(t.Context())
			close(waited)
		}()
		p.ConnState(one.served, http.StateClosed)
		p.ConnState(one.served, http.StateClosed) // which counts once
		synctest.Wait()
		select {
		case <-waited:
			t.Fatal("one is open")
		default:
		}
		require.NoError(t, other.served.Close())
		<-waited
		p.connect(app)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p.Wait(ctx)
		require.Error(t, ctx.Err())
		p.end()
	})
}

func TestConn_HoldOfNothingDoesNothing(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	none := connlimit.Of(near)
	require.Nil(t, none)
	none.Hold()
	none.Release()
}

func TestListener_CloseQuietClosesWhatIsNotHeldAndGaveNoSignOfLife(t *testing.T) {
	t.Parallel()
	p := newPeers(t, connlimit.Config{MaxConns: 10})
	defer p.end()
	p.connect(app)
	p.connect(app).served.Hold()
	p.connect(app).served.Hold()
	p.connect(app)
	mark := p.Mark()
	p.all[2].served.Release()
	p.ConnState(p.all[3].served, http.StateActive)
	p.CloseQuiet(mark)
	require.Equal(t, []string{"0 from " + app}, p.cut())
}

func TestConn_KeepsLittleOfWhatItsPeerDoesNotRead(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := connlimit.New(inner, connlimit.Config{MaxConns: 1})
	defer l.Close()
	far, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	defer far.Close()
	require.NoError(t, far.(*net.TCPConn).SetReadBuffer(4<<10))
	near, err := l.Accept()
	require.NoError(t, err)
	defer near.Close()
	require.NoError(t, near.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
	written, err := near.Write(make([]byte, 16<<20))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, written, 1<<20)
}

// late is a listener with a connection that it gives out only when it is closed: what happens if
// both come at once.
type late struct {
	net.Listener

	closed chan struct{}
	conn   net.Conn
}

func (l *late) Accept() (net.Conn, error) {
	<-l.closed
	return l.conn, nil
}

func (l *late) Close() error {
	close(l.closed)
	return nil
}

func TestListener_ServesWhatWasAcceptedBeforeItWasClosed(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer far.Close()
	l := connlimit.New(&late{closed: make(chan struct{}), conn: near}, connlimit.Config{MaxConns: 1})
	require.NoError(t, l.Close())
	c, err := l.Accept()
	require.NoError(t, err)
	require.Equal(t, 1, l.Stat().Open)
	require.NoError(t, c.Close())
}
