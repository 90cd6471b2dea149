package app

import (
	"net"
	"strconv"

	"authsvc/internal/status"
	"authsvc/internal/throttle"
)

// newPage makes the status page. limits may be nil.
func (a *App) newPage(limits *throttle.Memory) *status.Page {
	c := status.Config{
		Version: a.build.Version, Commit: a.build.Commit,
		Pool: a.pool.Stat, Counts: a.observers.metrics.Counts, Faults: a.observers.journal.Faults,
	}
	if limits != nil {
		c.Throttle = limits.Stat
	}
	for _, one := range a.cfg.Settings() {
		c.Settings = append(c.Settings, status.Setting{Variable: one.Name, Value: one.Value, Source: one.Source})
	}
	return status.New(c)
}

// pageURL returns the URL of the status page of a listener at addr, from this machine.
func pageURL(addr net.Addr) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return "http://" + host + "/"
}
