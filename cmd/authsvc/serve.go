package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"authsvc/config"
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
	groups := fileGroups(cfg)
	ctx, stop := untilSignal(ctx)
	var reloading sync.WaitGroup
	defer reloading.Wait()
	defer stop()
	s, err := newService(ctx, cfg, p.stdout)
	if err != nil {
		return err
	}
	s.heedLimits(p.environ)
	r := &reloader{groups: groups, log: s.log, adopt: s.adoptFront, pool: s.adoptPool, now: inForce{s.asked, s.front}}
	reloading.Go(func() { r.run(ctx, hangup) })
	return s.run(ctx)
}

// untilSignal returns a context that ends at the first SIGTERM or SIGINT. A second signal has its
// default effect: it ends the program immediately.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
