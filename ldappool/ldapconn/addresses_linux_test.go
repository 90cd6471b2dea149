package ldapconn

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// dead makes an address of the loopback take no more connections and refuse none: its queue is
// full.
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

func TestNetDial_ANameWithADeadFirstAddressIsDialedInTimeAndLookedUpEachTime(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.3:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	addr := l.Addr().(*net.TCPAddr)
	dead(t, "127.0.0.2", addr.Port)
	s := ldaptest.NewNameServer(t, "127.0.0.2", "127.0.0.3")
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.3"), uint16(addr.Port)).String()
	_, port, err := net.SplitHostPort(target)
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	c, err := dialBy(ctx, s.Resolver(), "tcp", "ldap.example.org.:"+port)
	require.NoError(t, err, "the dead one took all the time")
	require.Equal(t, target, c.RemoteAddr().String())
	require.NoError(t, c.Close())

	before := s.Asked()
	s.Set("127.0.0.3")
	c, err = dialBy(t.Context(), s.Resolver(), "tcp", "ldap.example.org.:"+port)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Greater(t, s.Asked(), before)
}
