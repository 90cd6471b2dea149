package app

import (
	"net"
	"strconv"

	"authsvc/internal/admin"
	"authsvc/internal/status"
)

// newAdminServer makes the status page and the server of the admin listener.
func (a *App) newAdminServer() {
	c := status.Config{
		Version: a.build.Version, Commit: a.build.Commit,
		Pool: a.pool.Stat, Counts: a.observers.metrics.Counts, Faults: a.observers.journal.Faults,
	}
	if a.throttle != nil {
		c.Throttle = a.throttle.Stat
	}
	if a.shared != nil {
		c.Shared = a.shared.Stat
	}
	if a.cfg.Auth.BasicCacheTTL > 0 {
		c.Remembered, c.RememberedLimit = a.logins.Remembered, a.cfg.Auth.BasicCacheSize
	}
	for _, one := range a.cfg.Settings() {
		c.Settings = append(c.Settings, status.Setting{Variable: one.Name, Value: one.Value, Source: one.Source})
	}
	a.page = status.New(c)
	serves := admin.Config{
		Hosts: a.cfg.Admin.Hosts, Pprof: a.cfg.Admin.Pprof, Metrics: a.observers.metrics.Handler(), Forget: a.forget, Probes: &a.probes,
	}
	if a.throttle != nil {
		serves.Reset = a.resetThrottle
	}
	l := admin.New(a.api, serves)
	a.page.Mount(l)
	a.admin.server = l.HTTPServer()
	a.admin.server.ConnState = a.admin.ConnState
}

// pageURL returns the URL of the status page of a listener at addr, from this machine.
func pageURL(addr net.Addr) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return "http://" + host + "/"
}
