package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"authsvc/api"
	"authsvc/config"
	"authsvc/internal/admin"
	"authsvc/internal/auth"
	"authsvc/internal/connlimit"
	"authsvc/internal/logsafe"
	"authsvc/internal/status"
	"authsvc/ldappool"
)

// service is the rooms, wired: everything between the listeners and the directory.
type service struct {
	cfg   *config.Config
	log   *slog.Logger
	seen  *observers
	pool  *ldappool.Pool
	asked ldappool.Config // the pool's settings at the start
	front front           // the main listener's settings at the start
	api   *api.Server
	ready *readiness   // nil where logins need nothing but a bind
	page  *status.Page // nil where the admin listener is off
	main  listener
	admin listener                   // its server is nil where the admin listener is off
	tls   atomic.Pointer[tls.Config] // of the main listener; nil where it speaks none
}

// listener is an open port and what serves it.
type listener struct {
	*connlimit.Listener // nil where it is off
	server              *http.Server
}

// newService opens the listeners and begins to connect to the directory, which may be absent. logs
// takes the log.
func newService(ctx context.Context, cfg *config.Config, logs io.Writer) (_ *service, err error) {
	s := &service{cfg: cfg, log: newLogger(cfg, logs)}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	if s.seen, err = newObservers(cfg, s.log); err != nil {
		return nil, err
	}
	if err = s.listen(ctx); err != nil {
		return nil, err
	}
	s.announce() // before the pool has anything to say
	if s.asked, err = poolConfig(cfg, s.seen.trace); err != nil {
		return nil, err
	}
	s.seen.metrics.WatchInbound(s.main.Stat)
	s.watchDirectory(s.asked.TLS)
	if s.pool, err = ldappool.New(s.asked); err != nil {
		return nil, err
	}
	s.seen.watchPool(s.pool.Stat)
	if s.front, err = frontConfig(cfg); err != nil {
		return nil, err
	}
	limits, err := newThrottle(cfg)
	if err != nil {
		return nil, err
	}
	if limits != nil {
		s.seen.metrics.WatchThrottle(limits.Stat)
	}
	logins, err := authConfig(cfg, limits)
	if err != nil {
		return nil, err
	}
	authenticator, err := auth.New(logins, s.pool, s.seen.logins)
	if err != nil {
		return nil, err
	}
	if !cfg.LDAP.BindOnly() {
		s.ready = &readiness{missing: authenticator.Missing, pool: s.pool, interval: cfg.Pool.HealthCheckInterval, log: s.log}
	}
	s.api = api.New(api.Config{
		Logger: s.log, Observer: s.seen.logins, TrustedProxies: cfg.HTTP.TrustedProxies,
		Always200: cfg.Auth.Always200, AuthTimeout: longestLogin(cfg), Callers: s.front.callers,
		Hosts: cfg.HTTP.Hosts,
	}, s.seen.spans.Authenticator(authenticator), directoryHealth{s.pool, s.ready})
	s.main.server = s.api.HTTPServer()
	s.main.server.Handler = s.seen.spans.Handler(s.main.server.Handler)
	s.main.server.ConnState = s.main.ConnState
	s.secure(s.front.tls)
	s.watchOwn(s.asked.TLS, s.front.tls)
	if s.admin.Listener != nil {
		s.page = s.newPage(limits)
		operator := admin.New(s.api, admin.Config{Hosts: cfg.Admin.Hosts, Pprof: cfg.Admin.Pprof, Metrics: s.seen.metrics.Handler()})
		s.page.Mount(operator)
		s.admin.server = operator.HTTPServer()
		s.admin.server.ConnState = s.admin.ConnState
	}
	return s, nil
}

// abandon closes what newService had opened before it failed.
func (s *service) abandon() {
	for _, l := range []*connlimit.Listener{s.main.Listener, s.admin.Listener} {
		if l != nil {
			_ = l.Close() // nothing was served on it
		}
	}
	if s.pool != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.pool.Close(ctx) // the error that matters is the one that got us here
	}
	if s.seen != nil {
		s.flush(context.Background())
	}
}

// run serves until ctx ends or a listener fails, then drains: requests under way are answered, the
// pool is closed. All of that within HTTP_SHUTDOWN_TIMEOUT.
func (s *service) run(ctx context.Context) error {
	defer s.watch()()
	stopLooking := s.lookForPrerequisites()
	defer stopLooking()
	ended := make(chan error, 2)
	serving := 0
	for _, l := range []listener{s.main, s.admin} {
		if l.server != nil {
			serving++
			go func() { ended <- l.serve() }()
		}
	}
	var err error
	select {
	case <-ctx.Done():
		defer s.endAnyway()()
		s.log.Info("draining", "timeout", s.cfg.HTTP.ShutdownTimeout.String())
	case err = <-ended:
		serving--
	}
	stopLooking()
	err = errors.Join(err, s.drain())
	for range serving {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		s.log.Error("stopped", "error", err)
		return err
	}
	s.log.Info("stopped")
	return nil
}

// overtime is how much longer than HTTP_SHUTDOWN_TIMEOUT the process may take to end.
const overtime = 2 * time.Second

// endAnyway ends the process some time after the drain should have, unless what it returns is
// called before: where nobody reads the log, whoever writes to it stands still, the drain too.
func (s *service) endAnyway() (stop func() bool) {
	return time.AfterFunc(s.cfg.HTTP.ShutdownTimeout+overtime, func() { os.Exit(exitFailed) }).Stop
}

// partingTime is how long callers that keep connections open get to learn that they should not: to
// each request there comes an answer that says so. To close a connection under a caller that is
// just sending is what must not happen.
const partingTime = time.Second

// drain ends the service: the main listener first, then the pool that its requests used, then the
// admin listener, which so can be asked to the end.
func (s *service) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	s.api.Drain()
	if s.page != nil {
		s.page.Drain()
	}
	_ = s.main.Close() // whatever it says, nobody new comes in
	patience := min(partingTime, s.cfg.HTTP.ShutdownTimeout/4)
	began := s.main.Mark()
	parting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	s.main.Wait(parting)
	cutting, done := context.WithCancel(ctx)
	var cut sync.WaitGroup
	cut.Go(func() { s.cutQuiet(cutting, began, patience) })
	err := shutdown(ctx, "main", s.main.server)
	done()
	cut.Wait()
	if e := s.pool.Close(ctx); e != nil {
		err = errors.Join(err, fmt.Errorf("the pool did not drain in time: %w", e))
	}
	s.flush(ctx) // every login has ended
	if s.admin.server != nil {
		parting, stop := context.WithTimeout(ctx, partingTime)
		defer stop()
		_ = shutdown(parting, "admin", s.admin.server) // a profile that is cut short is nobody's login
	}
	return err
}

// cutQuiet closes connections that send and read nothing for the time of patience, until ctx ends.
// A stranger that never finishes a request or never reads delays no login and no exit.
func (s *service) cutQuiet(ctx context.Context, began uint64, patience time.Duration) {
	looks := time.NewTicker(patience)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		now := s.main.Mark()
		s.main.CloseQuiet(began)
		began = now
	}
}

// flushTime is how long the end waits for a collector, at most: one that answers needs far less,
// and one that does not should not hold up the stop.
const flushTime = 3 * time.Second

// flush sends the last spans. That it cannot is no failure of the service.
func (s *service) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := s.seen.spans.Close(ctx); err != nil {
		s.log.Warn("traces not sent", "error", err)
	}
}

// shutdown answers what is under way and cuts what is not answered in time.
func shutdown(ctx context.Context, name string, server *http.Server) error {
	// That the listener was closed before is no failure: Shutdown says so only when nothing is
	// under way any more.
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = server.Close() // whatever it says, nothing is served any more
		return fmt.Errorf("the %s listener did not drain in time: %w", name, err)
	}
	return nil
}

// maxText bounds a text of the directory's, in bytes.
const maxText = 300

// lookForPrerequisites runs s.ready until stop is called, which waits for its end.
func (s *service) lookForPrerequisites() (stop func()) {
	if s.ready == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	looking.Go(func() { s.ready.run(ctx) })
	return func() {
		cancel()
		looking.Wait()
	}
}

// directoryHealth tells the api how the directory does.
type directoryHealth struct {
	pool  *ldappool.Pool
	ready *readiness // may be nil
}

func (h directoryHealth) Health() api.HealthStatus {
	stat := h.pool.Stat()
	out := api.HealthStatus{Usable: stat.Usable, Answered: stat.Ready}
	if h.ready != nil {
		found, problem := h.ready.state()
		out.Answered = out.Answered && found
		out.Usable = out.Usable && problem == ""
		out.Missing = problem
	}
	for _, s := range stat.Servers {
		server := api.ServerStatus{Address: s.URL, State: s.State.String(), Since: s.Since}
		if s.LastErr != nil {
			server.LastError = logsafe.Printable(s.LastErr.Error(), maxText)
		}
		out.Servers = append(out.Servers, server)
	}
	return out
}
