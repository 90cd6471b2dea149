package app

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/connlimit"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestSelfProbe_FindsAListenerThatAnsweredAndNoLongerDoes(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var hangs atomic.Bool
	l := newListener(inner, connlimit.Config{MaxConns: 5})
	l.server = &http.Server{ConnState: l.ConnState, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if hangs.Load() {
			<-r.Context().Done()
		}
	})}
	l.accepting.Add(1)
	ended := make(chan error, 1)
	go func() { ended <- l.serve() }()
	hangs.Store(true)
	self := newSelfProbe(l, false, 100*time.Millisecond)
	require.NoError(t, self.ask(t.Context()), "perhaps it cannot be reached from here at all")
	hangs.Store(false)
	ldaptest.Eventually(t, "it is reached once", func() bool { return self.ask(t.Context()) == nil && self.answered })
	hangs.Store(true)
	require.Error(t, self.ask(t.Context()))

	for range 5 {
		c, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		defer c.Close()
	}
	ldaptest.Eventually(t, "it is at its limit", func() bool { return l.Stat().Open == 5 })
	require.NoError(t, self.ask(t.Context()))
	require.NoError(t, l.server.Close())
	require.ErrorIs(t, <-ended, http.ErrServerClosed)
}
