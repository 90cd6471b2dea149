// Package app is the service as a value: New builds it from its configuration, Run serves until its
// context ends and then drains. It reads no environment, handles no signal and never ends the
// process: that is the command's.
package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"authsvc/api"
	"authsvc/config"
	"authsvc/internal/auth"
	"authsvc/internal/connlimit"
	"authsvc/internal/probe"
	"authsvc/internal/sharedthrottle"
	"authsvc/internal/status"
	"authsvc/internal/systemd"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
)

// App is the service: everything between the listeners and the directory.
type App struct {
	cfg       *config.Config
	build     Build
	log       *slog.Logger
	observers *observers
	pool      *ldappool.Pool
	api       *api.Server
	logins    *auth.Authenticator
	reloader  *reloader
	throttle  *throttle.Memory         // nil without limits
	shared    *sharedthrottle.Throttle // around throttle; nil if it is not shared
	probes    probe.Memory
	ready     *readiness   // nil if logins need nothing but a bind
	page      *status.Page // nil if the admin listener is off
	manager   *systemd.Notifier
	inherited bool // the main listener was open before, see Options.Sockets
	main      listener
	forward   listener                   // for reverse proxies alone; its Listener and its server are nil if it is off
	admin     listener                   // its Listener and its server are nil if the admin listener is off
	tls       atomic.Pointer[tls.Config] // of the main listener; nil without TLS
}

// Options are what an App needs in addition to its configuration.
type Options struct {
	Build Build
	Log   *slog.Logger
	// Reload makes the App read its files again immediately. It reads changed files without being
	// asked, too. May be nil.
	Reload <-chan os.Signal
	// Sockets are listening sockets that New uses instead of opening them: it serves the main
	// listener, the one for reverse proxies or the admin listener on the socket that is not nil,
	// whatever the address in the configuration is. New closes them if it fails.
	Sockets Sockets
	// Manager reports the service's state to the service manager. May be nil.
	Manager *systemd.Notifier
	// SharedPatience is how long the shared throttle waits for its server; 0 is the default.
	SharedPatience time.Duration
	// Dial opens the connections to the directory, as in [ldappool.Config]. May be nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Sockets are listening sockets by what they serve.
type Sockets struct{ Main, Forward, Admin net.Listener }

// Build is what the log, the metrics and the status page say of the program.
type Build struct{ Version, Commit, GoVersion string }

// SettingError is an error of New that a wrong setting causes, and not the system.
type SettingError struct{ Err error }

func (e *SettingError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *SettingError) Unwrap() error { return e.Err }

// New opens the listeners and begins to connect to the directory, which may be absent. Run must
// follow: it closes what New opened.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	a := &App{cfg: cfg, build: o.Build, log: o.Log, manager: o.Manager, inherited: o.Sockets.Main != nil}
	defer func() {
		if err != nil {
			a.abandon()
			o.Sockets.close()
		}
	}()
	groups := fileGroups(cfg) // before any of the files is read
	if a.observers, err = newObservers(cfg, a.build, a.log); err != nil {
		return nil, &SettingError{err}
	}
	if err = a.listen(ctx, o.Sockets); err != nil {
		return nil, err
	}
	a.announce() // before the pool logs anything
	directory, err := PoolConfig(cfg)
	if err != nil {
		return nil, err
	}
	directory.Trace, directory.Dial = a.observers.trace, o.Dial
	a.observers.reportDirectoryCertificates(directory.TLS)
	if a.pool, err = ldappool.New(directory); err != nil {
		return nil, err
	}
	a.observers.metrics.WatchPool(a.pool.Stat)
	a.observers.journal.WatchPool(a.pool.Stat)
	files, err := newListenerFiles(cfg)
	if err != nil {
		return nil, err
	}
	if a.logins, err = a.authenticator(o.SharedPatience); err != nil {
		return nil, err
	}
	a.newMainServer(files)
	if a.admin.Listener != nil {
		a.newAdminServer()
	}
	a.observers.reportOwnCertificates(directory.TLS, files.tls)
	a.reloader = &reloader{
		groups: groups, log: a.log, asked: o.Reload, manager: o.Manager,
		adopt: a.adoptFiles, pool: a.adoptPool, now: inForce{directory, files},
	}
	return a, nil
}

// authenticator makes what decides logins, its throttle, and what the service waits for to be
// ready.
func (a *App) authenticator(patience time.Duration) (*auth.Authenticator, error) {
	c, err := LoginConfig(a.cfg)
	if err != nil {
		return nil, err
	}
	if a.throttle, err = newThrottle(a.cfg); err != nil {
		return nil, err
	}
	if a.throttle != nil { // a nil pointer in an interface is not nil
		c.Throttle, c.ThrottleWait = a.throttle, a.cfg.Pool.MaxWait
		a.observers.metrics.WatchThrottle(a.throttle.Stat)
	}
	if a.shared, err = newSharedThrottle(a.cfg, a.throttle, patience, a.log); err != nil {
		return nil, err
	}
	if a.shared != nil {
		c.Throttle = a.shared
		a.observers.metrics.WatchSharedThrottle(a.shared.Stat)
	}
	authenticator, err := auth.New(c, a.pool, a.observers.logins)
	if err == nil && !a.cfg.LDAP.BindOnly() {
		a.ready = &readiness{missing: authenticator.Missing, pool: a.pool, interval: a.cfg.Pool.HealthCheckInterval, log: a.log}
	}
	return authenticator, err
}

// newMainServer makes the servers of the main listener and of the one for reverse proxies. With
// TLS, each handshake uses the configuration that is then in force.
func (a *App) newMainServer(files listenerFiles) {
	a.api = api.New(api.Config{
		Logger: a.log, Observer: a.observers.logins, TrustedProxies: a.cfg.HTTP.TrustedProxies,
		Always200: a.cfg.Auth.Always200, AuthTimeout: longestLogin(a.cfg), Callers: files.callers,
		Hosts: a.cfg.HTTP.Hosts, Forward: a.forwarding(),
	}, a.observers.spans.Authenticator(a.logins), a.health())
	a.main.server = a.api.HTTPServer()
	a.main.server.Handler = a.observers.spans.Handler(api.PathLogin, a.main.server.Handler)
	a.main.server.ConnState = a.main.ConnState
	if a.forward.Listener != nil {
		a.forward.server = a.api.ForwardHTTPServer()
		a.forward.server.ConnState = a.forward.ConnState
	}
	if files.tls == nil {
		return
	}
	a.tls.Store(files.tls)
	for _, l := range a.doors() {
		l.server.TLSConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return a.tls.Load(), nil },
		}
	}
}

// health is what the probes show.
func (a *App) health() directoryHealth {
	h := directoryHealth{pool: a.pool, ready: a.ready}
	if a.shared != nil {
		h.shared = a.shared.Stat
	}
	return h
}

// abandon closes what New had opened before it failed.
func (a *App) abandon() {
	for _, l := range []*connlimit.Listener{a.main.Listener, a.forward.Listener, a.admin.Listener} {
		if l != nil {
			_ = l.Close() // nothing was served on it
		}
	}
	if a.pool != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = a.pool.Close(ctx) // New returns the error that matters
	}
	if a.shared != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = a.shared.Close(ctx) // nothing was counted
	}
	if a.observers != nil {
		a.flush(context.Background())
	}
}

// Addr returns the address of the main listener.
func (a *App) Addr() net.Addr { return a.main.Addr() }

// ForwardAddr returns the address of the listener for reverse proxies, or nil if that is off.
func (a *App) ForwardAddr() net.Addr {
	if a.forward.Listener == nil {
		return nil
	}
	return a.forward.Addr()
}

// AdminAddr returns the address of the admin listener, or nil if that is off.
func (a *App) AdminAddr() net.Addr {
	if a.admin.Listener == nil {
		return nil
	}
	return a.admin.Addr()
}

// deservesALook is the message of each warning of the configuration.
const deservesALook = "configuration warning"

// announce logs what the service is, what it connects to, and how; and what in that an operator
// should know.
func (a *App) announce() {
	ldap := a.cfg.LDAP
	bind := ldap.BindDN
	switch {
	case bind == "" && ldap.External():
		bind = "external"
	case bind == "":
		bind = "anonymous"
	}
	attrs := []any{
		"version", a.build.Version, "commit", a.build.Commit, "go", a.build.GoVersion,
		"listen", a.main.Addr().String(), "directory", strings.Join(ldap.URLs, ","), "start_tls", ldap.StartTLS, "bind_dn", bind,
	}
	if ldap.UserDNTemplate != "" {
		attrs = append(attrs, "user_dn_template", ldap.UserDNTemplate)
	} else {
		attrs = append(attrs, "base_dn", strings.Join(ldap.BaseDNs, ";"), "user_filter", ldap.UserFilter)
	}
	if a.cfg.HTTP.TLSCertFile != "" {
		attrs = append(attrs, "https", true)
	}
	var callers []string
	if a.cfg.Auth.APIKeysFile != "" {
		callers = append(callers, "key")
	}
	if a.cfg.HTTP.TLSClientCAFile != "" {
		callers = append(callers, "certificate")
	}
	if callers != nil {
		attrs = append(attrs, "callers_need", strings.Join(callers, " or "))
	}
	if redis := redisServer(a.cfg); len(redis.Addrs) > 0 {
		attrs = append(attrs, "shared_throttle", redis.String())
	}
	if a.forward.Listener != nil {
		attrs = append(attrs, "forward", a.forward.Addr().String())
	}
	if a.admin.Listener != nil {
		attrs = append(attrs, "admin", a.admin.Addr().String(), "status_page", pageURL(a.admin.Addr()))
	}
	a.log.Info("starting", attrs...)
	for _, warning := range a.cfg.Warnings {
		a.log.Warn(deservesALook, "warning", warning)
	}
}
