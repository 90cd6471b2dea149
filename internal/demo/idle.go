package demo

import (
	"time"

	"authsvc/internal/ldapserver"
)

// cutWhenIdle resets a connection that has no traffic for CutIdle, as a firewall or a directory's
// idle limit does.
func (d *Directory) cutWhenIdle(c *ldapserver.Conn) {
	idle, ok := waitForIdle(d.cfg.CutIdle, c.LastTraffic, c.Done())
	if !ok {
		return
	}
	total := d.cuts.Add(1)
	d.cfg.Logger.Info("demo directory: reset an idle connection",
		"client", c.RemoteAddr().String(), "idle", idle.Round(time.Millisecond), "cuts", total)
	c.Reset()
}

// waitForIdle returns when there was no traffic for limit, with how long that is; ok is false if
// done was closed before.
func waitForIdle(limit time.Duration, lastTraffic func() time.Time, done <-chan struct{}) (idle time.Duration, ok bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return 0, false
		case <-timer.C:
		}
		idle := time.Since(lastTraffic())
		if idle >= limit {
			return idle, true
		}
		timer.Reset(limit - idle)
	}
}
