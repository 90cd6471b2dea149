package app

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPage_URLWorksOnThisMachine(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:9090": "http://127.0.0.1:9090/", "0.0.0.0:9090": "http://localhost:9090/", "[::]:9090": "http://localhost:9090/", "[::1]:9090": "http://[::1]:9090/",
	} {
		assert.Equal(t, want, pageURL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))))
	}
}
