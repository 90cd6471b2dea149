package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Run serves until ctx ends or a listener fails. When ctx ends it serves on for
// HTTP_SHUTDOWN_DELAY. Then it drains: it answers the requests under way and closes the pool, all
// within HTTP_SHUTDOWN_TIMEOUT.
func (a *App) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	if a.page != nil {
		draining, stop := context.WithCancel(context.WithoutCancel(ctx)) // the page shows the drain, too
		defer stop()
		working.Go(func() { a.page.Run(draining) })
	}
	serves, cancel := context.WithCancel(context.WithoutCancel(ctx)) // also for HTTP_SHUTDOWN_DELAY
	defer cancel()
	working.Go(func() { a.reloader.run(serves) })
	if a.ready != nil {
		working.Go(func() { a.ready.run(serves) })
	}
	a.awaitDirectory(ctx)
	ended := make(chan error, 3)
	serving := 0
	for _, l := range append(a.doors(), a.admin) {
		if l.server != nil {
			serving++
			l.accepting.Add(1)
			go func() { ended <- l.serve() }()
		}
	}
	a.manager.Ready()
	working.Go(func() { a.reportToManager(serves) })
	var err error
	select {
	case <-ctx.Done():
		a.manager.Stopping(a.cfg.StopTime())
		if err = a.serveOn(ended); err != nil {
			serving--
		}
		a.log.Info("draining", "timeout", a.cfg.HTTP.ShutdownTimeout.String())
	case err = <-ended:
		serving--
	}
	cancel()
	err = errors.Join(err, a.drain())
	for range serving {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		a.log.Error("stopped", "error", err)
		return err
	}
	a.log.Info("stopped")
	return nil
}

// directoryWait is how long a service with an inherited socket waits for the directory before it
// accepts.
const directoryWait = 2 * time.Second

// awaitDirectory waits until the directory has let the pool in, for directoryWait at most, if the
// service manager has passed the main listener's socket: callers that connected while no service
// ran wait there, and their logins all begin when the service accepts.
func (a *App) awaitDirectory(ctx context.Context) {
	if !a.inherited {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, directoryWait)
	defer cancel()
	_ = a.pool.WaitReady(ctx) // without a directory, logins get status 11
}

// serveOn serves for HTTP_SHUTDOWN_DELAY. /readyz answers 503 at once, so that balancers send no
// more requests. In the second half each answer closes its connection: by then a balancer has
// noticed, and whoever still sends requests does so on a connection that it had before. serveOn
// returns early with the error of a listener that fails.
func (a *App) serveOn(ended <-chan error) error {
	delay := a.cfg.HTTP.ShutdownDelay
	if delay == 0 {
		return nil
	}
	a.log.Info("shutting down", "delay", delay.String())
	a.api.Unready()
	if a.page != nil {
		a.page.ShowDrain()
	}
	half, end := time.NewTimer(delay/2), time.NewTimer(delay)
	defer half.Stop()
	defer end.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-half.C:
			a.api.Drain()
		case <-end.C:
			return nil
		}
	}
}

// drainGrace is how long callers keep their connections at the drain. The answer to each request
// tells them to close the connection. If the service closed it, it could do so while the caller is
// sending its next request.
const drainGrace = time.Second

// drain ends the service: the main listener first, then the pool that its requests used, and last
// the admin listener, which answers until then.
func (a *App) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.HTTP.ShutdownTimeout)
	defer cancel()
	a.api.Drain()
	if a.page != nil {
		a.page.Drain()
	}
	grace := min(drainGrace, a.cfg.HTTP.ShutdownTimeout/4)
	err := errors.Join(a.drainDoors(ctx, grace)...)
	if e := a.pool.Close(ctx); e != nil {
		err = errors.Join(err, fmt.Errorf("the pool did not drain in time: %w", e))
	}
	if a.shared != nil { // every login has ended
		_ = a.shared.Close(ctx) // what its server was not told, the throttle counts as dropped
	}
	a.flush(ctx)
	if a.admin.server != nil {
		waiting, stop := context.WithTimeout(ctx, drainGrace)
		defer stop()
		_ = shutdown(waiting, a.admin.Addr().String(), a.admin.server) // no login waits for a profile that is cut short
	}
	return err
}

// drainDoors drains the listeners that serve logins, at the same time.
func (a *App) drainDoors(ctx context.Context, grace time.Duration) []error {
	doors := a.doors()
	errs := make([]error, len(doors))
	var drains sync.WaitGroup
	for i, l := range doors {
		drains.Go(func() { errs[i] = l.drain(ctx, grace) })
	}
	drains.Wait()
	return errs
}

// drain closes the listener and waits until its requests are answered.
func (l listener) drain(ctx context.Context, grace time.Duration) error {
	_ = l.Close()      // even if it fails, no new connection is accepted
	l.accepting.Wait() // the server knows all connections that were accepted
	began := l.Mark()
	waiting, stop := context.WithTimeout(ctx, grace)
	defer stop()
	l.Wait(waiting)
	cutting, done := context.WithCancel(ctx)
	var cut sync.WaitGroup
	cut.Go(func() { l.cutQuiet(cutting, began, grace) })
	err := shutdown(ctx, l.Addr().String(), l.server)
	done()
	cut.Wait()
	return err
}

// cutQuiet closes connections without progress since the last look, until ctx ends. A caller whose
// requests or reading never end delays neither logins nor the exit.
func (l listener) cutQuiet(ctx context.Context, began uint64, pace time.Duration) {
	looks := time.NewTicker(pace)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		}
		now := l.Mark()
		l.CloseQuiet(began)
		began = now
	}
}

// flushTime bounds how long the end waits for a collector. One that answers needs far less. One
// that does not must not delay the end.
const flushTime = 3 * time.Second

// flush sends the last spans. If it cannot, the service has not failed.
func (a *App) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := a.observers.spans.Close(ctx); err != nil {
		a.log.Warn("traces not sent", "error", err)
	}
}

// shutdown answers the requests under way. It cuts those that are not answered in time.
func shutdown(ctx context.Context, addr string, server *http.Server) error {
	// The listener may have been closed before. Shutdown reports that only after it has waited for
	// all requests.
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
		_ = server.Close() // even if it fails, nothing is served any more
		return fmt.Errorf("the listener at %s did not drain in time: %w", addr, err)
	}
	return nil
}
