package main

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connCount counts a server's open connections.
type connCount struct {
	notice func(open int) // called when the number has changed, under the lock

	mu   sync.Mutex
	open int
	none chan struct{} // closed while there are none
}

func newConnCount(notice func(open int)) *connCount {
	c := &connCount{notice: notice, none: make(chan struct{})}
	close(c.none)
	return c
}

// changed is the server's ConnState hook.
func (c *connCount) changed(_ net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if c.open == 0 {
			c.none = make(chan struct{})
		}
		c.open++
		c.notice(c.open)
	case http.StateClosed, http.StateHijacked:
		c.open--
		c.notice(c.open)
		if c.open == 0 {
			close(c.none)
		}
	case http.StateActive, http.StateIdle:
	}
}

// wait returns when no connection is open, or when ctx ends.
func (c *connCount) wait(ctx context.Context) {
	c.mu.Lock()
	none := c.none
	c.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
