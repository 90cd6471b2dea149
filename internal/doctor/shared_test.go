package doctor_test

import (
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"
	"authsvc/internal/sharedthrottle"

	"github.com/stretchr/testify/require"
)

// TestSharedThrottle_ExaminesItsServer: with what it does not permit, and its eviction policy.
func TestSharedThrottle_ExaminesItsServer(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	directory := ldaptest.NewServer(t, nil)
	const password = "Redis-xyzzy-77"
	look := func(addr string) doctor.Step {
		steps := examine(t, func(o *doctor.Options) {
			o.Shared = &sharedthrottle.Config{
				Server: sharedthrottle.Server{Addrs: []string{addr}, Username: "authsvc", Password: password}, Prefix: "authsvc",
				MaxWait: time.Second, MaxAttempt: time.Second, Patience: 10 * time.Second,
			}
		}, directory.URL())
		s := find(t, steps, "shared throttle")
		require.NotContains(t, s.Finding, password)
		return s
	}
	rights := func(more ...string) {
		redis.Run(append([]string{"ACL", "SETUSER", "authsvc", "reset", "on", ">" + password, "~authsvc:*", "+@all"}, more...)...)
	}
	rights()
	s := look(redis.Addr)
	require.Equal(t, doctor.OK, s.Mark, s.Finding)
	require.Contains(t, s.Finding, "maxmemory-policy noeviction")
	redis.Run("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "100mb")
	s = look(redis.Addr)
	require.Equal(t, doctor.Warn, s.Mark)
	require.Contains(t, s.Finding, "removes counts (maxmemory-policy allkeys-lru)")
	require.Equal(t, "0", redis.Run("DBSIZE"), "it leaves nothing behind")
	rights("-info")
	s = look(redis.Addr)
	require.Equal(t, doctor.OK, s.Mark)
	require.Contains(t, s.Details[0], "allow the user +info")
	for right, says := range map[string]string{
		"-evalsha": "evalsha", "-ping": "ping",
		"-time": "", "-zadd": "", // of the scripts: Redis 7.0 says only that they lack one
	} {
		rights(right)
		s = look(redis.Addr)
		require.Equal(t, doctor.Failed, s.Mark, right)
		require.Contains(t, s.Finding, "the user lacks a right", right)
		require.Contains(t, s.Finding, says)
	}
	rights()
	redis.Run("REPLICAOF", "127.0.0.1", "1")
	s = look(redis.Addr)
	require.Equal(t, doctor.Failed, s.Mark)
	require.Contains(t, s.Finding, "read-only replica")
	s = look(ldaptest.ClosedAddr(t))
	require.Equal(t, doctor.Failed, s.Mark)
	require.Contains(t, s.Finding, "connection refused")
}
