package main

import (
	"context"
	"fmt"
	"net"

	"authsvc/internal/connlimit"
	"authsvc/internal/sysres"
)

// adminConns bounds the connections of the admin listener: the status page's 128 streams, scrapes,
// probes and profiles.
const adminConns = 256

// listen opens the listeners.
func (s *service) listen(ctx context.Context) error {
	main, err := listenAt(ctx, "HTTP_ADDR", s.cfg.HTTP.Addr)
	if err != nil {
		return err
	}
	s.main.Listener = connlimit.New(main, connlimit.Config{
		MaxConns: s.maxConns(), Handshakes: s.cfg.HTTP.TLSCertFile != "", Dropped: s.connectionDropped,
	})
	if s.cfg.Admin.Addr == "" {
		return nil
	}
	admin, err := listenAt(ctx, "ADMIN_ADDR", s.cfg.Admin.Addr)
	if err != nil {
		return err
	}
	s.admin.Listener = connlimit.New(admin, connlimit.Config{MaxConns: adminConns})
	return nil
}

func listenAt(ctx context.Context, variable, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return l, nil
}

// maxConns is HTTP_MAX_CONNS, or fewer where the process may not have so many file descriptors.
func (s *service) maxConns() int {
	if limit, ok := sysres.FileLimit(); ok {
		return min(s.cfg.HTTP.MaxConns, connsWithin(limit, s.cfg))
	}
	return s.cfg.HTTP.MaxConns
}

// connectionDropped logs that a connection was closed for another one.
func (s *service) connectionDropped() { s.seen.journal.ConnectionDropped(s.main.Stat().Max) }
