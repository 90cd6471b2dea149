package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// idleSteps is how many connections a server's silence is measured with. Each is asked once, at its
// own time: what was asked is not quiet any more.
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
	end   ending
}

// ending is what became of a quiet connection.
type ending int

const (
	givenUp ending = iota // nobody asked it
	alive                 // it answered when it was asked
	cut                   // it was ended before it was asked
	ended                 // it was ended when it was asked
	dropped               // it did not answer
)

// sweep is how long a server may take to cut all connections that are due.
const sweep = 2 * time.Second

// quiet opens connections to a server and asks each after another time of silence.
func (d *doctor) quiet(ctx context.Context, server string, progress func(string, ...any)) finding {
	var conns []*conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range idleSteps {
		a := d.dial(ctx, server, "", false)
		if a.conn == nil {
			return skip("not measured: no connection could be opened, see above")
		}
		conns = append(conns, a.conn)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	progress("%d connections are kept idle and pinged one after the other, the last after %v", idleSteps, d.Idle)
	ends := make(chan silence, idleSteps)
	for i, c := range conns {
		go func() { ends <- keepQuiet(ctx, c, d.Idle*time.Duration(i+1)/idleSteps) }()
	}
	var lived time.Duration
	var end *silence
	for range conns {
		s := <-ends
		switch {
		case s.end == givenUp:
		case s.end == alive:
			lived = max(lived, s.after)
			progress("alive after %v idle", s.after.Round(100*time.Millisecond))
		case end == nil:
			end = &s
			progress("dead after %v idle", s.after.Round(100*time.Millisecond))
			if s.end != ended {
				cancel() // those that were to be asked later are not needed
				break
			}
			// If it was asked just when the server cut it, the others are cut without being asked.
			defer time.AfterFunc(sweep, cancel).Stop()
		case end.end == ended && s.end == cut:
			end = &s
			cancel()
		}
	}
	return d.measured(lived, end)
}

// keepQuiet waits until a connection has been quiet so long, and asks it then.
func keepQuiet(ctx context.Context, c *conn, long time.Duration) silence {
	began := time.Now()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return silence{time.Since(began), givenUp}
	case <-c.Done():
		return silence{time.Since(began), cut}
	case <-timer.C:
	}
	switch _, err := c.Search(context.WithoutCancel(ctx), ping()); {
	case err == nil:
		return silence{long, alive}
	case isTimeout(err):
		return silence{long, dropped}
	}
	return silence{long, ended}
}

// measured says what the silence of connections means for our settings.
func (d *doctor) measured(lived time.Duration, end *silence) finding {
	ours, lived := d.Pool.MaxIdleTime, lived.Round(100*time.Millisecond)
	var f finding
	switch {
	case end == nil && ours > lived:
		f = pass("idle connections live for at least %v", lived)
		f.Details = []string{fmt.Sprintf("to find out whether they live for LDAP_POOL_MAX_IDLE_TIME (%v), run with a longer -idle", ours)}
		return f
	case end == nil:
		return pass("idle connections live for at least %v; LDAP_POOL_MAX_IDLE_TIME (%v) is below that", lived, ours)
	case end.end == cut:
		f = pass("the server or a device in between closes connections that are idle for %v", end.after.Round(100*time.Millisecond))
		f.Details = []string{"the pool detects a closed connection immediately: no login uses one"}
	case end.end == ended:
		f = pass("the server or a device in between drops connections that are idle for %v to %v, and reports it only when they are used", lived, end.after.Round(100*time.Millisecond))
		f.Details = []string{"a ping before use detects a dropped connection and delays that login by a few milliseconds"}
	default:
		f = pass("a device in between silently drops connections that are idle for %v to %v", lived, end.after.Round(100*time.Millisecond))
		f.Details = []string{"a ping before use detects a dropped connection and delays that login by up to half a second"}
	}
	if ours <= lived {
		f.Finding += fmt.Sprintf("; LDAP_POOL_MAX_IDLE_TIME (%v) is below that", ours)
		return f
	}
	f.Mark = Warn
	f.Finding += fmt.Sprintf("; LDAP_POOL_MAX_IDLE_TIME is %v", ours)
	f.Remedy = fmt.Sprintf("set LDAP_POOL_MAX_IDLE_TIME=%v; or leave it: the pool detects the limit after a few dropped connections and stays below it", safe(lived, end.after))
	return f
}

// safe is a time that is surely within a limit: four fifths of what a connection survived, in round
// numbers.
func safe(lived, dead time.Duration) time.Duration {
	if lived == 0 {
		lived = dead / 2
	}
	within := lived * 4 / 5
	switch {
	case within > 5*time.Minute:
		return within.Truncate(time.Minute)
	case within > 10*time.Second:
		return within.Truncate(time.Second)
	}
	return max(within.Truncate(100*time.Millisecond), 100*time.Millisecond)
}
