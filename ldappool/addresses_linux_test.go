package ldappool

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nameServer answers every question for an A record with addresses, and every other with none.
type nameServer struct {
	conn net.PacketConn

	mu        sync.Mutex // guards what follows
	addresses []netip.Addr
	asked     int // for A records
}

func newNameServer(t *testing.T, addresses ...string) *nameServer {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &nameServer{conn: conn}
	s.are(addresses...)
	var served sync.WaitGroup
	served.Go(s.serve)
	t.Cleanup(func() {
		_ = conn.Close()
		served.Wait()
	})
	return s
}

func (s *nameServer) are(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = nil
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = s.conn.WriteTo(s.answer(buf[:n]), from)
	}
}

// answer is a response (RFC 1035 section 4) with the question and without what else came.
func (s *nameServer) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	kind := q[end+2]
	end += 5
	out := append([]byte{q[0], q[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != 1 {
		return out
	}
	s.asked++
	out[7] = byte(len(s.addresses))
	for _, a := range s.addresses {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, a.AsSlice()...)
	}
	return out
}

// resolver asks s.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// dead has an address of the loopback take no more connections and refuse none: its queue is full.
func dead(t *testing.T, address string, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(address).As4()}))
	require.NoError(t, syscall.Listen(fd, 0))
	addr := netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port)).String()
	for range 16 {
		c, err := (&net.Dialer{Timeout: 200 * time.Millisecond}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	require.FailNow(t, "it takes connections without end")
}

func TestANameWithADeadFirstAddressIsDialledInTimeAndLookedUpEachTime(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.3:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	addr := l.Addr().(*net.TCPAddr)
	dead(t, "127.0.0.2", addr.Port)
	s := newNameServer(t, "127.0.0.2", "127.0.0.3")
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), uint16(addr.Port)).String()
	_, port, err := net.SplitHostPort(target)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	c, err := dialBy(ctx, s.resolver(), "tcp", "ldap.example.org.:"+port)
	require.NoError(t, err, "the dead one took all the time")
	require.Equal(t, target, c.RemoteAddr().String())
	require.NoError(t, c.Close())

	before := s.times()
	s.are("127.0.0.3")
	c, err = dialBy(t.Context(), s.resolver(), "tcp", "ldap.example.org.:"+port)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Greater(t, s.times(), before)
}

func (s *nameServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}
