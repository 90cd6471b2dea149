package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"authsvc/ldappool"
)

// idleSteps is how many connections a server's silence is measured with. Each is asked once, at its own time: what was asked
// is not quiet any more.
const idleSteps = 10

// idle measures at all servers at once when a quiet connection is cut.
func (d *doctor) idle(ctx context.Context, servers []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			began := time.Now()
			f := d.quiet(ctx, server, func(format string, args ...any) {
				if d.Progress != nil {
					mu.Lock()
					defer mu.Unlock()
					d.Progress(server + ": " + fmt.Sprintf(format, args...))
				}
			})
			mu.Lock()
			defer mu.Unlock()
			d.tell(server, "idle", time.Since(began), f)
		})
	}
	all.Wait()
}

// silence is how one quiet connection ended.
type silence struct {
	after time.Duration
	cut   bool // it was ended before it was asked
	lived bool // it answered when it was asked
}

// quiet opens connections to a server and asks each after another time of silence.
func (d *doctor) quiet(ctx context.Context, server string, progress func(string, ...any)) finding {
	var conns []*ldappool.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleSteps {
		a := d.dial(ctx, server, "", ldappool.BindLane)
		if a.conn == nil {
			return unseen("not measured: no connection: %v", a.steps[len(a.steps)-1].Err)
		}
		conns = append(conns, a.conn)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ends := make(chan silence, idleSteps)
	for i, c := range conns {
		go func() { ends <- keepQuiet(ctx, c, d.Idle*time.Duration(i+1)/idleSteps) }()
	}
	var lived time.Duration
	var end *silence
	for range conns {
		s := <-ends
		switch {
		case ctx.Err() != nil && !s.lived && !s.cut: // given up
		case s.lived:
			lived = max(lived, s.after)
			progress("alive after %v of silence", s.after.Round(time.Millisecond))
		case end == nil || s.after < end.after:
			end = &s
			progress("dead after %v of silence", s.after.Round(time.Millisecond))
			cancel() // those that were to be asked later are not needed
		}
	}
	return d.measured(lived, end)
}

// keepQuiet waits until a connection has been quiet so long, and asks it then.
func keepQuiet(ctx context.Context, c *ldappool.Conn, long time.Duration) silence {
	began := time.Now()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return silence{after: time.Since(began)}
	case <-c.Lost():
		return silence{after: time.Since(began), cut: true}
	case <-timer.C:
	}
	asked := time.Since(began)
	_, err := c.Search(context.WithoutCancel(ctx), ping())
	return silence{after: asked, lived: err == nil}
}

// measured says what the silence of connections means for our settings.
func (d *doctor) measured(lived time.Duration, end *silence) finding {
	const learns = "nothing has to be set: the pool learns it after a few cuts and keeps connections within it"
	ours, lived := d.Pool.MaxIdleTime, lived.Round(100*time.Millisecond)
	var f finding
	switch {
	case end == nil:
		f = well("quiet connections live for %v at the least; LDAP_POOL_MAX_IDLE_TIME is %v", lived, ours)
		if ours > lived {
			f.Details = []string{fmt.Sprintf("whether they live for %v only a longer -idle tells", ours)}
		}
		return f
	case end.cut:
		f = well("the server, or something between, closes connections that are quiet for %v", end.after.Round(100*time.Millisecond))
	default:
		f = well("something between drops connections silently that are quiet for a time between %v and %v, and does not say so", lived, end.after.Round(100*time.Millisecond))
		f.Details = append(f.Details, "a login that meets one is sent once more where that is safe; the ping before use finds it out, and costs half a second")
	}
	if ours > lived {
		f.Mark = Warn
		f.Remedy = learns + fmt.Sprintf("; LDAP_POOL_MAX_IDLE_TIME=%v saves it the trouble", safe(lived, end.after))
	}
	return f
}

// safe is a time that is surely within a limit.
func safe(lived, dead time.Duration) time.Duration {
	if lived == 0 {
		lived = dead / 2
	}
	return (lived * 4 / 5).Round(100 * time.Millisecond)
}
