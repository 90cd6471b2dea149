package demo

import (
	"authsvc/internal/ldapserver"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// defaultAddr is a free port of the loopback interface.
const defaultAddr = "127.0.0.1:0"

// Config says where the directory listens and how it treats idle clients. The
// zero value is usable.
type Config struct {
	// Addr is host:port; port 0 takes a free one. Empty is "127.0.0.1:0".
	Addr string
	// CutIdle resets (RST) every connection that has had no traffic for that
	// long, as a firewall or a directory's idle limit does. Each cut is logged at
	// info level. 0 lets connections idle for ever; negative is an error.
	CutIdle time.Duration
	// Logger gets the cuts and faults; nil discards them. Passwords and filters
	// are never logged.
	Logger *slog.Logger
}

// withDefaults returns a copy that is filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.CutIdle < 0 {
		return c, fmt.Errorf("demo directory: CutIdle is %s; want 0 (never) or more", c.CutIdle)
	}
	if c.Addr == "" {
		c.Addr = defaultAddr
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Directory is a running LDAP server with the sample entries. Its methods may be called from any
// goroutine.
type Directory struct {
	cfg      Config
	listener net.Listener
	server   *ldapserver.Server
	users    []User
	cuts     atomic.Int64
	serving  sync.WaitGroup
	closing  func() error // once
}

// Start serves the sample directory and returns when it accepts connections. The error is a bad
// Config or an address that cannot be listened on.
func Start(cfg Config) (*Directory, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t, err := parseLDIF(directoryLDIF)
	if err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	d := &Directory{cfg: cfg, users: t.users()}
	d.closing = sync.OnceValue(d.stop)
	d.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	h := &handler{tree: t, log: cfg.Logger}
	d.server = ldapserver.New(ldapserver.Config{Handler: h.serve, OnAccept: d.accepted})
	d.serving.Go(func() {
		d.server.Serve(d.listener, func(err error) { cfg.Logger.Error("demo directory: accept", "err", err) })
	})
	return d, nil
}

// accepted watches a new connection if idle ones are to be cut.
func (d *Directory) accepted(c *ldapserver.Conn) {
	if d.cfg.CutIdle > 0 {
		c.Go(func() { d.cutWhenIdle(c) })
	}
}

// URL is where clients on this host connect: "ldap://127.0.0.1:3890".
func (d *Directory) URL() string {
	addr := d.listener.Addr().(*net.TCPAddr) //nolint:forcetypeassert // of a TCP listener
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "ldap://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// Users lists the sample users in the LDIF's order.
func (d *Directory) Users() []User { return slices.Clone(d.users) }

// Cuts is how many idle connections have been reset so far (Config.CutIdle).
func (d *Directory) Cuts() int64 { return d.cuts.Load() }

// Close closes every client's connection and stops the server; no goroutine is left. It takes
// milliseconds, and does nothing when called again.
func (d *Directory) Close() error { return d.closing() }

func (d *Directory) stop() error {
	err := d.listener.Close()
	d.server.Close()
	d.serving.Wait()
	return err
}
