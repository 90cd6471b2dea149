package app

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"authsvc/config"
	"authsvc/internal/connlimit"
	"authsvc/internal/sysres"
)

// listener is an open port and what serves it.
type listener struct {
	*connlimit.Listener // nil if it is off
	server              *http.Server
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
func (a *App) listen(ctx context.Context) error {
	main, err := listenAt(ctx, "HTTP_ADDR", a.cfg.HTTP.Addr)
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
	a.main.Listener = connlimit.New(main, connlimit.Config{
		MaxConns: maxConns, Handshakes: a.cfg.HTTP.TLSCertFile != "",
		Dropped: func() { a.observers.journal.ConnectionDropped(a.main.Stat().Max) },
	})
	a.observers.metrics.WatchInbound(a.main.Stat)
	if a.cfg.HTTP.ForwardAddr != "" {
		forward, err := listenAt(ctx, "HTTP_FORWARD_ADDR", a.cfg.HTTP.ForwardAddr)
		if err != nil {
			return err
		}
		a.forward.Listener = connlimit.New(forward, connlimit.Config{
			MaxConns: maxConns, Handshakes: a.cfg.HTTP.TLSCertFile != "",
			Dropped: func() { a.observers.journal.ConnectionDropped(a.forward.Stat().Max) },
		})
	}
	if a.cfg.Admin.Addr == "" {
		return nil
	}
	admin, err := listenAt(ctx, "ADMIN_ADDR", a.cfg.Admin.Addr)
	if err != nil {
		return err
	}
	a.admin.Listener = connlimit.New(admin, connlimit.Config{MaxConns: adminConns})
	return nil
}

func listenAt(ctx context.Context, variable, addr string) (net.Listener, error) {
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

// serve serves connections until the listener is closed.
func (l listener) serve() error {
	if l.server.TLSConfig != nil {
		return l.server.ServeTLS(l, "", "") // the certificate is in the configuration
	}
	return l.server.Serve(l)
}
