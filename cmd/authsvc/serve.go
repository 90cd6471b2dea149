package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"authsvc/config"
	"authsvc/internal/app"
	"authsvc/internal/sysres"
	"authsvc/internal/systemd"
)

// serve runs the service until SIGTERM or SIGINT. At SIGHUP it reads its files again.
func (p *program) serve(ctx context.Context, args []string) error {
	f := p.flags("serve", "Runs the service. It reads all settings from the environment: see authsvc config --reference.")
	if err := p.parse(f, args); err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // as early as possible, because SIGHUP must never end the service
	defer signal.Stop(hangup)
	sockets, err := systemd.Sockets(mainSocket, forwardSocket, adminSocket)
	if err != nil {
		return &usageError{err}
	}
	cfg, err := config.Load(append(slices.Clip(p.environ), addresses(sockets)...))
	if err != nil {
		return &usageError{err}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	log := newLogger(cfg, p.stdout)
	manager, err := systemd.NewNotifier(log)
	if err != nil {
		return &usageError{err}
	}
	a, err := app.New(ctx, cfg, app.Options{
		Build: thisBuild(), Log: log, Reload: hangup, Manager: manager,
		Sockets: app.Sockets{Main: sockets[mainSocket], Forward: sockets[forwardSocket], Admin: sockets[adminSocket]},
	})
	if err != nil {
		return err
	}
	sysres.FollowMemoryLimit(p.environ, os.DirFS("/"), log)
	a.LogLimits()
	return runToEnd(ctx, a, cfg)
}

// The names of the sockets that systemd may pass.
const (
	mainSocket    = "main"
	forwardSocket = "forward"
	adminSocket   = "admin"
)

// addresses returns the addresses of sockets that were passed, as variables: they replace those of
// the environment.
func addresses(sockets map[string]net.Listener) (environ []string) {
	variables := map[string]string{mainSocket: "HTTP_ADDR", forwardSocket: "HTTP_FORWARD_ADDR", adminSocket: "ADMIN_ADDR"}
	for name, socket := range sockets {
		environ = append(environ, variables[name]+"="+socket.Addr().String())
	}
	return environ
}

// newLogger returns the log that LOG_LEVEL and LOG_FORMAT ask for.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// runToEnd runs a until ctx ends. If a does not end in time afterwards, it ends the process:
// writing to a log that nobody reads blocks, and so blocks the drain too.
func runToEnd(ctx context.Context, a *app.App, cfg *config.Config) error {
	ended := make(chan struct{})
	defer close(ended)
	context.AfterFunc(ctx, func() {
		select {
		case <-ended:
		case <-time.After(cfg.StopTime()):
			os.Exit(exitFailed)
		}
	})
	return a.Run(ctx)
}

// untilSignal returns a context that ends at the first SIGTERM or SIGINT. A second signal has its
// default effect: it ends the program immediately.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
