package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"authsvc/api"
	"authsvc/internal/logsafe"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
)

// readiness knows whether the directory has what every login needs: the base DNs and a required
// group. The service is not ready before they were found once. If one disappears later, the service
// stays ready; /healthz and the log report it.
type readiness struct {
	missing func(context.Context) (missing, err error)
	pool    interface {
		WaitReady(ctx context.Context) error
		Stat() *ldappool.Stat
	}
	interval time.Duration // between two looks
	log      *slog.Logger

	mu      sync.Mutex
	found   bool   // guarded by mu: once, all; or the directory did not say for long
	problem string // guarded by mu: what was missing at the last look
}

const (
	// soon is how long a look that found something missing, or got no answer, waits for the next
	// one before the service is ready.
	soon = time.Second
	// lookTime is how long one look may take.
	lookTime = 5 * time.Second
	// undecided is how long the service waits for the directory to say whether it has what is
	// needed. One that lets connections in and answers no search is then a matter of each login, as
	// it is later.
	undecided = 10 * time.Second
)

// state returns whether everything was found once, and what is missing now. A nil readiness needs
// nothing.
func (r *readiness) state() (found bool, problem string) {
	if r == nil {
		return true, ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.found, r.problem
}

// run looks again and again until ctx ends, as soon as the directory has let the pool in.
func (r *readiness) run(ctx context.Context) {
	if r.pool.WaitReady(ctx) != nil {
		return
	}
	for began := time.Now(); ; {
		if r.pool.Stat().Usable { // otherwise there is nobody to ask
			r.look(ctx)
		}
		if time.Since(began) >= undecided {
			r.decide()
		}
		pause := r.interval
		if found, _ := r.state(); !found {
			pause = min(soon, pause)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// decide lets the service be ready unless something is known to be missing.
func (r *readiness) decide() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = r.found || r.problem == ""
}

// look looks once, and logs what has changed. A fault changes nothing: nothing is known then.
func (r *readiness) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	missing, err := r.missing(ctx)
	if err != nil {
		return
	}
	r.mu.Lock()
	before := r.problem
	r.problem = ""
	if missing != nil {
		r.problem = logsafe.Printable(missing.Error(), logsafe.MaxShown)
	}
	now := r.problem
	r.found = r.found || now == ""
	r.mu.Unlock()
	switch {
	case before == "" && now != "":
		r.log.Error("logins cannot succeed", "missing", now, "action", "run authsvc check")
	case before != "" && now == "":
		r.log.Info("logins can succeed again")
	}
}

// directoryHealth reports the state of the directory to the API.
type directoryHealth struct {
	pool  *ldappool.Pool
	ready *readiness // may be nil
	// shared is nil if the throttle is not shared.
	shared func() throttle.SharedStat
}

func (h directoryHealth) Health() api.HealthStatus {
	stat := h.pool.Stat()
	found, problem := h.ready.state()
	out := api.HealthStatus{Usable: stat.Usable && problem == "", Answered: stat.Ready && found, Missing: problem}
	for _, s := range stat.Servers {
		server := api.ServerStatus{Address: s.URL, State: s.State.String(), Since: s.Since}
		if s.LastErr != nil {
			server.LastError = logsafe.Printable(s.LastErr.Error(), logsafe.MaxShown)
		}
		out.Servers = append(out.Servers, server)
	}
	if h.shared != nil {
		s := h.shared()
		out.SharedThrottle = &api.SharedThrottleStatus{Address: s.Server, State: "down", Since: s.Since, LastError: s.Err}
		if s.Up {
			out.SharedThrottle.State = "up"
		}
	}
	return out
}
