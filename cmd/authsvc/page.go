package main

import (
	"context"
	"net"
	"strconv"
	"sync"

	"authsvc/internal/status"
	"authsvc/internal/throttle"
)

// newPage makes the status page. limits may be nil.
func (s *service) newPage(limits *throttle.Memory) *status.Page {
	b := thisBuild()
	c := status.Config{Version: b.version, Commit: b.commit, Pool: s.pool.Stat, Counts: s.seen.metrics.Counts, Faults: s.seen.journal.Faults}
	if limits != nil {
		c.Throttle = limits.Stat
	}
	for _, one := range s.cfg.Settings() {
		c.Settings = append(c.Settings, status.Setting{Variable: one.Name, Value: one.Value, Source: one.Source})
	}
	return status.New(c)
}

// watch keeps the status page's figures until stop is called, which waits for the end of that.
func (s *service) watch() (stop func()) {
	if s.page == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background()) // and not the service's: it is looked at while that drains
	var watching sync.WaitGroup
	watching.Go(func() { s.page.Run(ctx) })
	return func() {
		cancel()
		watching.Wait()
	}
}

// pageURL is where the status page of a listener at addr is, from this machine.
func pageURL(addr net.Addr) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return "http://" + host + "/"
}
