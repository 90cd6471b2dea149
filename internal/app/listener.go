package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	"authsvc/config"
	"authsvc/internal/connlimit"
	"authsvc/internal/sysres"
)

// listener is an open port and what serves it.
type listener struct {
	*connlimit.Listener // nil if it is off
	server              *http.Server
	accepting           *sync.WaitGroup // the goroutine that accepts connections for server
}

// newListener returns a listener that bounds the connections of l.
func newListener(l net.Listener, c connlimit.Config) listener {
	return listener{Listener: connlimit.New(l, c), accepting: new(sync.WaitGroup)}
}

// close closes the sockets. Those that are closed already stay so.
func (s Sockets) close() {
	for _, l := range []net.Listener{s.Main, s.Forward, s.Admin} {
		if l != nil {
			_ = l.Close() // nothing was served on it
		}
	}
}

const (
	// adminConns bounds the connections of the admin listener: the status page's 128 streams,
	// scrapes, probes and profiles.
	adminConns = 256
	// leastConns is the number of connections that the main listener always accepts, however low
	// the limit on file descriptors is.
	leastConns = 16
)

// listen opens the listeners.
func (a *App) listen(ctx context.Context, sockets Sockets) error {
	main, err := listenAt(ctx, sockets.Main, "HTTP_ADDR", a.cfg.HTTP.Addr)
	if err != nil {
		return err
	}
	maxConns := a.cfg.HTTP.MaxConns
	if limit, ok := sysres.FileLimit(); ok {
		maxConns = min(maxConns, connsWithin(limit, a.cfg))
		if a.cfg.HTTP.ForwardAddr != "" {
			maxConns = min(maxConns, max(leastConns, connsWithin(limit, a.cfg)/2)) // each listener
		}
	}
	a.main = newListener(main, connlimit.Config{
		MaxConns: maxConns, Handshakes: a.cfg.HTTP.TLSCertFile != "",
		Dropped: func() { a.observers.journal.ConnectionDropped(a.main.Stat().Max) },
	})
	a.observers.metrics.WatchInbound(a.main.Stat)
	if a.cfg.HTTP.ForwardAddr != "" {
		forward, err := listenAt(ctx, sockets.Forward, "HTTP_FORWARD_ADDR", a.cfg.HTTP.ForwardAddr)
		if err != nil {
			return err
		}
		a.forward = newListener(forward, connlimit.Config{
			MaxConns: maxConns, Handshakes: a.cfg.HTTP.TLSCertFile != "",
			Dropped: func() { a.observers.journal.ConnectionDropped(a.forward.Stat().Max) },
		})
	}
	if a.cfg.Admin.Addr == "" {
		return nil
	}
	admin, err := listenAt(ctx, sockets.Admin, "ADMIN_ADDR", a.cfg.Admin.Addr)
	if err != nil {
		return err
	}
	a.admin = newListener(admin, connlimit.Config{MaxConns: adminConns})
	return nil
}

// listenAt returns the socket, or if it is nil, opens one at an address.
func listenAt(ctx context.Context, socket net.Listener, variable, addr string) (net.Listener, error) {
	if socket != nil {
		return socket, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return l, nil
}

// connsWithin returns how many connections of callers a limit on file descriptors allows, in
// addition to those to the directory and of the admin listener.
func connsWithin(limit uint64, cfg *config.Config) int {
	others := uint64(cfg.Pool.MaxConns + sysres.SpareFiles) //nolint:gosec // config has it positive, and bounded
	if cfg.Admin.Addr != "" {
		others += adminConns
	}
	const most = 1 << 20 // more than HTTP_MAX_CONNS can be
	return int(min(max(limit, others+leastConns)-others, most))
}

// LogLimits logs which limits of the process are lower than its settings can need.
func (a *App) LogLimits() {
	if allowed := a.main.Stat().Max; allowed < a.cfg.HTTP.MaxConns {
		a.log.Info("HTTP_MAX_CONNS lowered to fit the file descriptor limit: raise that limit (ulimit -n, LimitNOFILE)",
			"asked", a.cfg.HTTP.MaxConns, "max_conns", allowed)
	}
	needed := sysres.FilesNeeded(a.cfg.Pool.MaxConns, a.cfg.Pool.MaxWaiters)
	if limit, ok := sysres.FileLimit(); ok && limit < needed {
		a.log.Warn("file descriptor limit too low for the settings: raise it (ulimit -n, LimitNOFILE), or lower LDAP_POOL_MAX_WAITERS",
			"limit", limit, "needed", needed)
	}
}

// serve serves connections until the listener is closed. The caller has added it to accepting.
func (l listener) serve() error {
	defer l.accepting.Done()
	if l.server.TLSConfig != nil {
		return l.server.ServeTLS(l, "", "") // the certificate is in the configuration
	}
	return l.server.Serve(l)
}
