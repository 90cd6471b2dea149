package sharedthrottle

import (
	"bufio"
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"authsvc/internal/throttle"
)

// Inspection is what a look at the server found.
type Inspection struct {
	Err    error         // why the server cannot be used; then the rest is empty
	Took   time.Duration // one question of an attempt
	Policy string        // maxmemory-policy; empty if the user may not see it
	Limit  bool          // whether maxmemory is set
}

// Evicts reports whether the server removes counts when its memory is full.
func (i Inspection) Evicts() bool {
	return i.Limit && (strings.HasPrefix(i.Policy, "allkeys-") || strings.HasPrefix(i.Policy, "volatile-"))
}

// Inspect does at the server what an attempt does: it connects, reads the server's clock, runs both
// scripts, and writes. It leaves nothing behind.
func Inspect(ctx context.Context, cfg Config) (found Inspection) {
	cfg.Patience = cmp.Or(cfg.Patience, DefaultPatience)
	naming, err := newNaming(cfg.Prefix, cfg.Server.Password)
	if err != nil {
		return Inspection{Err: err}
	}
	t := &Throttle{cfg: cfg, naming: naming, client: newClient(cfg.Server), breaker: newBreaker(slog.New(slog.DiscardHandler)), began: time.Now()}
	defer func() { _ = t.client.close() }()
	of := naming.counts(throttle.AnyAccount, []throttle.Budget{throttle.Unlimited(throttle.AnyAccount)})
	for range 2 { // the first one also teaches the server the scripts
		began := time.Now()
		if err := t.examineOnce(ctx, &of); err != nil {
			return Inspection{Err: err}
		}
		found.Took = time.Since(began)
	}
	memory, err := t.client.memory(ctx)
	if err != nil {
		return found
	}
	lines := bufio.NewScanner(strings.NewReader(memory))
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ":"); name {
		case "maxmemory":
			found.Limit = value != "0"
		case "maxmemory_policy":
			found.Policy = value
		}
	}
	return found
}
