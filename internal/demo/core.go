package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/jimlambrt/gldap"
)

// coreStopLimit bounds the wait for gldap to stop. It takes microseconds unless
// a stranger holds a connection to the loopback port that is meant for the front:
// then what waits for gldap outlives stop, and ends with that connection.
const coreStopLimit = 2 * time.Second

// core is a gldap server on a free loopback port.
type core struct {
	server *gldap.Server
	addr   net.Addr
	// stopLimit is coreStopLimit but in tests.
	stopLimit time.Duration
	// ended is closed when gldap no longer accepts; err is set before.
	ended chan struct{}
	err   error
	// open counts the connections dialled that gldap has not done with yet.
	open atomic.Int64
	// left holds a token when open has fallen.
	left chan struct{}
}

// startCore runs gldap with the routes. closed is told each connection's number
// once its last request has been answered.
func startCore(log *slog.Logger, routes *gldap.Mux, closed func(conn int)) (*core, error) {
	c := &core{stopLimit: coreStopLimit, ended: make(chan struct{}), left: make(chan struct{}, 1)}
	quiet := newCoreLogger(log)
	var err error
	c.server, err = gldap.NewServer(gldap.WithLogger(quiet), gldap.WithOnClose(func(conn int) {
		closed(conn)
		c.release()
	}))
	if err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	if err := c.server.Router(routes); err != nil {
		return nil, fmt.Errorf("demo directory: %w", err)
	}
	go func() {
		defer close(c.ended)
		c.err = c.server.Run("127.0.0.1:0")
	}()
	select {
	case c.addr = <-quiet.listening:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("demo directory: %w", errors.Join(c.err, c.server.Stop()))
	}
}

// dial opens a connection to gldap.
func (c *core) dial() (*net.TCPConn, error) {
	c.open.Add(1)
	conn, err := new(net.Dialer).DialContext(context.Background(), c.addr.Network(), c.addr.String())
	if err != nil {
		c.release()
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// release counts a connection as done with.
func (c *core) release() {
	c.open.Add(-1)
	select {
	case c.left <- struct{}{}:
	default:
	}
}

// stop ends gldap. All connections dialled must be closed by now: gldap's Stop
// waits for them, and must not run while gldap still accepts one of them.
func (c *core) stop() error {
	limit := time.NewTimer(c.stopLimit)
	defer limit.Stop()
	for c.open.Load() > 0 {
		select {
		case <-c.left:
			continue
		case <-c.ended:
		case <-limit.C:
		}
		break
	}
	stopped := make(chan error, 1)
	go func() { stopped <- c.server.Stop() }()
	select {
	case err := <-stopped:
		<-c.ended
		return errors.Join(err, c.err)
	case <-limit.C:
		return fmt.Errorf("demo directory: still connected to %s after %s", c.addr, c.stopLimit)
	}
}
