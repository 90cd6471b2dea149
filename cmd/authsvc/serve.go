package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"authsvc/config"
	"authsvc/internal/app"
	"authsvc/internal/sysres"
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
	cfg, err := config.Load(p.environ)
	if err != nil {
		return &usageError{err}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	log := newLogger(cfg, p.stdout)
	a, err := app.New(ctx, cfg, app.Options{Build: thisBuild(), Log: log, Reload: hangup})
	if err != nil {
		return err
	}
	sysres.FollowMemoryLimit(p.environ, os.DirFS("/"), log)
	a.LogLimits()
	return runToEnd(ctx, a, cfg)
}

// newLogger returns the log that LOG_LEVEL and LOG_FORMAT ask for.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// exitGrace is how much longer than HTTP_SHUTDOWN_DELAY and HTTP_SHUTDOWN_TIMEOUT the process may
// take to end.
const exitGrace = 2 * time.Second

// runToEnd runs a until ctx ends. If a does not end in time afterwards, it ends the process:
// writing to a log that nobody reads blocks, and so blocks the drain too.
func runToEnd(ctx context.Context, a *app.App, cfg *config.Config) error {
	ended := make(chan struct{})
	defer close(ended)
	context.AfterFunc(ctx, func() {
		select {
		case <-ended:
		case <-time.After(cfg.HTTP.ShutdownDelay + cfg.HTTP.ShutdownTimeout + exitGrace):
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
