package sharedthrottle

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"
	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

// shares requires that two instances share a budget.
func shares(t *testing.T, s Server) {
	t.Helper()
	all := newInstances(t, 2, usual(), s, patient)
	for n := range 10 {
		require.NoError(t, all[n%2].try(user, throttle.Failed))
	}
	for _, i := range all {
		require.True(t, refusalOf(t, i.try(user, throttle.Failed)).Exhausted)
		require.NoError(t, i.try(other, throttle.Succeeded))
	}
	found, err := all[0].Reset(t.Context(), user)
	require.NoError(t, err)
	require.True(t, found)
}

func TestServer_AtAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(t.TempDir())
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	redistest.Start(t, "--unixsocket", socket)
	shares(t, Server{Addrs: []string{socket}, DB: 3})
}

func TestServer_WithTLSAndAClientCertificate(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	s := redistest.StartTLS(t, ca)
	cert := ca.Issue(t, ldaptest.CertConfig{Client: true})
	config := &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert.TLS}}
	shares(t, Server{Addrs: []string{s.Addr}, TLS: config})

	for name, c := range map[string]*tls.Config{
		"no client certificate": {RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12},
		"another authority":     {RootCAs: ldaptest.NewCA(t).Pool(), MinVersion: tls.VersionTLS12, Certificates: config.Certificates},
		"no TLS":                nil,
	} {
		i := newInstance(t, usual(), Server{Addrs: []string{s.Addr}, TLS: c}, patient)
		ldaptest.Eventually(t, name+" is a fault", func() bool { return i.Stat().Err != "" })
		require.NoError(t, i.try(user, throttle.Failed), name)
	}

	i := newInstances(t, 1, usual(), Server{Addrs: []string{s.Addr}, TLS: config}, patient)[0]
	s.Kill()
	i.waitDown(t)
	s.Up()
	i.waitUp(t)
}

// leastRights are those of docs/shared-throttle.md. For Cluster, the second are needed too.
var (
	leastRights = []string{
		"-@all", "+ping", "+eval", "+evalsha", "+time", "+zadd", "+zcard", "+zcount", "+zrange", "+zrem", "+zremrangebyscore", "+zscore",
		"+pexpire", "+del", "+info",
	}
	clusterRights = []string{"+cluster|slots", "+command"}
)

// askEverything asks the server all that an instance asks, whatever the answers are.
func (i *instance) askEverything(t *testing.T) {
	t.Helper()
	_ = i.client.ready(t.Context())
	_, _ = i.client.memory(t.Context())
	for _, v := range []throttle.Verdict{throttle.Unanswered, throttle.Failed, throttle.Succeeded} {
		var all []result
		for range 2 {
			r := &reservation{shared: i.Throttle, of: i.counts(user, client0), id: rand.Text()}
			_, _ = r.ask(t.Context())
			all = append(all, result{of: r.of, id: r.id, verdict: verdictOf(v)})
		}
		_ = i.client.settleAll(t.Context(), all)
	}
	_, _ = i.Reset(t.Context(), user)
}

func TestACL_LeastRightsAreEnoughAndAllNeeded(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rights := func(without string) {
		rule := []string{"ACL", "SETUSER", "authsvc", "reset", "on", ">secret", "~authsvc:*"}
		for _, r := range leastRights {
			if r != without {
				rule = append(rule, r)
			}
		}
		s.Run(rule...)
	}
	server := Server{Addrs: []string{s.Addr}, Username: "authsvc", Password: "secret"}
	rights("")
	shares(t, server)
	s.Run("FLUSHALL")
	require.NoError(t, Inspect(t.Context(), Config{Server: server, Prefix: "authsvc", MaxWait: time.Second, Patience: patient}).Err)

	all := newInstances(t, 1, usual(), server, patient)[0]
	require.NoError(t, all.try(user, throttle.Unanswered))
	require.NoError(t, all.try(user, throttle.Failed))
	ldaptest.Eventually(t, "it is recorded", func() bool { return strings.Contains(s.Run("KEYS", "*"), ":f") })
	denied := s.Run("ACL", "LOG")
	require.Empty(t, denied)

	for _, right := range leastRights[1:] {
		rights(right)
		s.Run("SCRIPT", "FLUSH")
		s.Run("ACL", "LOG", "RESET")
		all.askEverything(t)
		require.Contains(t, strings.ToLower(s.Run("ACL", "LOG")), strings.TrimPrefix(right, "+"))
	}

	s.Run("ACL", "SETUSER", "authsvc", "resetkeys", "~other:*")
	i := newInstance(t, usual(), server, patient)
	ldaptest.Eventually(t, "keys of another prefix are denied", func() bool { return strings.Contains(i.Stat().Err, "lacks a right") })
	s.Run("ACL", "SETUSER", "authsvc", "resetpass", ">other")
	i = newInstance(t, usual(), server, patient)
	ldaptest.Eventually(t, "another password is refused", func() bool { return strings.Contains(i.Stat().Err, "refuses the password") })
	require.NotContains(t, i.log.String(), "secret")
}

func TestSentinel_FollowsAFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinels(t)
	all := newInstances(t, 3, usual(), Server{Addrs: s.Addrs, Master: "main"}, DefaultPatience)
	for n := range 5 {
		require.NoError(t, all[n%3].try(user, throttle.Failed))
	}
	s.Master.Run("WAIT", "1", "1000")
	rights := succeed(t, all)
	s.Master.Kill()
	allowed, longest := guess(t, all, 1000)
	began := time.Now()
	ldaptest.Eventually(t, "the replica has taken over", func() bool {
		role, err := s.Replica.Try("ROLE") // Sentinel ends its connections
		return err == nil && strings.HasPrefix(role, "master")
	})
	report(t, "failover", all, rights, allowed, longest, began)
}

func TestCluster_OutlivesANode(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t)
	host, _, _ := net.SplitHostPort(c.Nodes[0].Addr)
	require.NotEmpty(t, host)
	server := Server{Addrs: c.Addrs()[:2], Cluster: true, Username: "authsvc", Password: "secret"}
	for _, n := range c.Nodes {
		n.Run(append(append([]string{"ACL", "SETUSER", "authsvc", "reset", "on", ">secret", "~authsvc:*"}, leastRights...), clusterRights...)...)
	}
	all := newInstances(t, 3, usual(), server, DefaultPatience)
	for n := range 5 {
		require.NoError(t, all[n%3].try(user, throttle.Failed))
	}
	rights := succeed(t, all)
	ldaptest.Eventually(t, "other accounts have been on all nodes", func() bool { return rights.made.Load() > 200 })
	c.Masters()[0].Kill()
	allowed, longest := guess(t, all, 1000)
	began := time.Now()
	ldaptest.Eventually(t, "a replica has taken over", func() bool {
		for _, n := range c.Masters() {
			if out, err := n.Try("CLUSTER", "INFO"); err != nil || !strings.Contains(out, "cluster_state:ok") {
				return false
			}
		}
		return len(c.Masters()) == 3
	})
	report(t, "node killed", all, rights, allowed, longest, began)
}

// report waits until all instances share again, and requires that no right attempt failed, and that
// no more wrong ones were allowed than each instance allows by itself.
func report(t *testing.T, what string, all []*instance, rights *right, allowed int, longest time.Duration, began time.Time) {
	t.Helper()
	for _, i := range all {
		i.waitUp(t)
	}
	took := time.Since(began)
	made, failed, slowest := rights.stop()
	t.Logf("%s: 5 and %d wrong attempts allowed, the longest wait was %v; shared again after %v; %d right ones, %d failed, the slowest took %v",
		what, allowed, longest, took, made, failed, slowest)
	require.Zero(t, failed)
	require.LessOrEqual(t, 5+allowed, 30)
}
