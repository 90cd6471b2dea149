package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// idleSteps is the number of connections that measure a server's idle limit. Each is pinged once,
// after its own idle time.
const idleSteps = 10

// idle measures the idle limits of all servers in parallel.
func (d *doctor) idle(ctx context.Context, servers []string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			began := time.Now()
			f := d.measureIdle(ctx, server, func(format string, args ...any) {
				if d.Progress != nil {
					mu.Lock()
					defer mu.Unlock()
					d.Progress(server + ": " + fmt.Sprintf(format, args...))
				}
			})
			mu.Lock()
			defer mu.Unlock()
			d.report(server, "idle", time.Since(began), f)
		})
	}
	all.Wait()
}

// idleResult is how one idle connection ended.
type idleResult struct {
	after time.Duration
	end   idleEnd
}

// idleEnd is the result for an idle connection.
type idleEnd int

const (
	notTested idleEnd = iota // it was not pinged
	alive                    // it answered the ping
	cut                      // it ended before the ping
	ended                    // it ended at the ping
	dropped                  // it did not answer
)

// disconnectSpread is how long a server may take to disconnect all connections that are due.
const disconnectSpread = 2 * time.Second

// measureIdle opens connections to a server and pings each after a different idle time.
func (d *doctor) measureIdle(ctx context.Context, server string, progress func(string, ...any)) finding {
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
	ends := make(chan idleResult, idleSteps)
	for i, c := range conns {
		go func() { ends <- pingAfterIdle(ctx, c, d.Idle*time.Duration(i+1)/idleSteps) }()
	}
	var lived time.Duration
	var end *idleResult
	for range conns {
		s := <-ends
		switch {
		case s.end == notTested:
		case s.end == alive:
			lived = max(lived, s.after)
			progress("alive after %v idle", s.after.Round(100*time.Millisecond))
		case end == nil:
			end = &s
			progress("dead after %v idle", s.after.Round(100*time.Millisecond))
			if s.end != ended {
				cancel() // later pings are not needed
				break
			}
			// If the ping and the disconnect coincided, the others are disconnected without a ping.
			defer time.AfterFunc(disconnectSpread, cancel).Stop()
		case end.end == ended && s.end == cut:
			end = &s
			cancel()
		}
	}
	return d.judgeIdle(lived, end)
}

// pingAfterIdle pings a connection after an idle time.
func pingAfterIdle(ctx context.Context, c *conn, long time.Duration) idleResult {
	began := time.Now()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return idleResult{time.Since(began), notTested}
	case <-c.Done():
		return idleResult{time.Since(began), cut}
	case <-timer.C:
	}
	switch _, err := c.Search(context.WithoutCancel(ctx), ping()); {
	case err == nil:
		return idleResult{long, alive}
	case isTimeout(err):
		return idleResult{long, dropped}
	}
	return idleResult{long, ended}
}

// judgeIdle compares the measured idle limit with the settings.
func (d *doctor) judgeIdle(lived time.Duration, end *idleResult) finding {
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

// safe returns an idle time within a limit: four fifths of the longest time survived, rounded down.
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
