package ldaptest

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPort_ClaimIsExclusiveUntilReleased(t *testing.T) {
	t.Parallel()
	p, err := claimPort(0)
	require.NoError(t, err)
	_, err = claimPort(p.number)
	require.Error(t, err)
	p.release()
	again, err := claimPort(p.number)
	require.NoError(t, err)
	again.release()
	again.release()
}

func TestPort_InUseIsSkipped(t *testing.T) {
	t.Parallel()
	stranger, err := net.Listen("tcp", loopback+":0")
	require.NoError(t, err)
	defer stranger.Close()
	addr, ok := stranger.Addr().(*net.TCPAddr)
	require.True(t, ok)
	number := addr.Port
	_, err = claimPort(number)
	require.Error(t, err)
	guard, err := net.Listen("tcp", net.JoinHostPort(guardHost, strconv.Itoa(number)))
	require.NoError(t, err, "the guard of a port that was not claimed is still held")
	require.NoError(t, guard.Close())
}
