package ldapconn

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestNetDial_ASocketNoticesAPeerThatVanished(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(net.Conn) {})
	c, err := NetDial(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	for name, tt := range map[string]struct{ level, option, want int }{
		"TCP_USER_TIMEOUT, ms": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 25_000},
		"SO_KEEPALIVE":         {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE, s":      {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10},
		"TCP_KEEPINTVL, s":     {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
		"TCP_KEEPCNT":          {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		"TCP_NODELAY":          {unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		var got int
		var opt error
		require.NoError(t, raw.Control(func(fd uintptr) { got, opt = unix.GetsockoptInt(int(fd), tt.level, tt.option) }))
		require.NoError(t, opt, name)
		require.Equal(t, tt.want, got, name)
	}
}

func TestNetDial_AUnixSocketNeedsNoTCPOptions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	c, err := NetDial(t.Context(), "unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// TestNetDial_TheSendBufferHoldsARequest that is written without a goroutine to end it.
func TestNetDial_TheSendBufferHoldsARequest(t *testing.T) {
	t.Parallel()
	addr := listen(t, func(net.Conn) {})
	c, err := NetDial(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var size int
	require.NoError(t, raw.Control(func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF) }))
	require.NoError(t, err)
	require.Greater(t, size, 2*sendBuffer)
}
