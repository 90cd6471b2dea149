package sharedthrottle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Server says where the counts are kept.
type Server struct {
	// Addrs are host:port, or the path of a Unix socket: of the server, of the Sentinels if Master
	// is set, or of nodes of a Cluster.
	Addrs   []string
	Master  string // the name of the group that Sentinel watches
	Cluster bool

	Username, Password                 string
	SentinelUsername, SentinelPassword string
	DB                                 int

	TLS *tls.Config // nil is no TLS
}

const (
	// connectTime is how long a connection may take to be made. An attempt does not wait for it
	// longer than for its answer.
	connectTime = time.Second
	// idleTime is how long a connection is kept without use. Servers that end idle ones take
	// longer.
	idleTime = 30 * time.Second
	// poolSize is the largest number of connections to a node.
	poolSize = 16
)

// client is the only user of go-redis, with the scripts.
type client struct {
	redis redis.UniversalClient
	scripts
}

// quiet turns off go-redis's own log, which is one for the process. What happens is known from the
// errors.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf implements go-redis's logger.
func (silence) Printf(context.Context, string, ...any) {}

// newClient makes a client, which connects when it is used.
func newClient(s Server) *client {
	quiet()
	return &client{scripts: newScripts(), redis: redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: slices.Clone(s.Addrs), MasterName: s.Master, IsClusterMode: s.Cluster, DB: s.DB,
		Username: s.Username, Password: s.Password,
		SentinelUsername: s.SentinelUsername, SentinelPassword: s.SentinelPassword,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dial(ctx, network, addr, s.TLS)
		},

		// The user needs no rights beyond the scripts': no HELLO, no CLIENT, no subscriptions.
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},

		// A question is asked once. What is not known of its answer, the breaker is for.
		MaxRetries: -1, ContextTimeoutEnabled: true,
		DialTimeout: connectTime, DialerRetries: 1, ReadTimeout: connectTime, WriteTimeout: connectTime, PoolTimeout: connectTime,
		PoolSize: poolSize, MinIdleConns: 1, ConnMaxIdleTime: idleTime,
	})}
}

// dial connects to a server. Its answers are bounded.
func dial(ctx context.Context, network, addr string, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return newGuard(c), nil
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close() // the handshake's error matters
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return newGuard(secure), nil
}

// ready makes sure that there is a connection, so that a question needs not wait for one.
func (c *client) ready(ctx context.Context) error { return describe(c.redis.Ping(ctx).Err()) }

// askToReserve runs reserve.lua.
func (c *client) askToReserve(ctx context.Context, of *counts, args []any) (answer, error) {
	reply, err := c.reserve.Run(ctx, c.redis, of.keys, args...).Result()
	if err != nil {
		return answer{}, describe(err)
	}
	return parseAnswer(reply, len(of.budgets))
}

// settleAll runs settle.lua for each result, in one round trip. Its error is one of them.
func (c *client) settleAll(ctx context.Context, all []result) error {
	run := func(all []result, eval func(redis.Pipeliner, result) *redis.Cmd) (unknown []result, err error) {
		pipe := c.redis.Pipeline()
		cmds := make([]*redis.Cmd, len(all))
		for i, r := range all {
			cmds[i] = eval(pipe, r)
		}
		_, _ = pipe.Exec(ctx) // each has its error
		for i, cmd := range cmds {
			switch e := cmd.Err(); {
			case e == nil:
			case redis.HasErrorPrefix(e, "NOSCRIPT"):
				unknown = append(unknown, all[i])
			default:
				err = e
			}
		}
		return unknown, err
	}
	unknown, err := run(all, func(p redis.Pipeliner, r result) *redis.Cmd {
		return c.settle.EvalSha(ctx, p, r.of.keys, r.of.settleArgs(r.id, r.verdict)...)
	})
	if len(unknown) > 0 {
		var again error
		_, again = run(unknown, func(p redis.Pipeliner, r result) *redis.Cmd {
			return c.settle.Eval(ctx, p, r.of.keys, r.of.settleArgs(r.id, r.verdict)...)
		})
		err = errors.Join(err, again)
	}
	return describe(err)
}

// remove deletes keys, which belong to one account, and reports whether there were any.
func (c *client) remove(ctx context.Context, keys ...string) (bool, error) {
	n, err := c.redis.Del(ctx, keys...).Result()
	return n > 0, describe(err)
}

// memory returns what the server says of its memory, with the eviction policy.
func (c *client) memory(ctx context.Context) (string, error) {
	return c.redis.Info(ctx, "memory").Result()
}

func (c *client) close() error { return c.redis.Close() }

// describe adds to an error what it means.
func describe(err error) error {
	switch {
	case err == nil:
		return nil
	case redis.IsOOMError(err):
		return fmt.Errorf("the server is full (maxmemory): %w", err)
	case redis.IsReadOnlyError(err):
		return fmt.Errorf("the server is a read-only replica: %w", err)
	case lacksRight(err):
		return fmt.Errorf("the user lacks a right, see docs/shared-throttle.md: %w", err)
	case redis.IsAuthError(err):
		return fmt.Errorf("the server refuses the password: %w", err)
	case isTimeout(err):
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// lacksRight reports whether the user may not do what was asked. Where a script may not, Redis 7.0
// gives no code, and does not say which command it is.
func lacksRight(err error) bool {
	return redis.IsPermissionError(err) || strings.Contains(err.Error(), "The user executing the script can't")
}

// isTimeout reports whether the server has not answered in time.
func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.As(err, &timeout) && timeout.Timeout()
}
