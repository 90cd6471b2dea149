package main

import (
	"net/http"
	"testing"

	"authsvc/internal/haproxytest"
	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// replicas are services behind an HAProxy, which count failures together in a Redis server.
type replicas struct {
	slapd    *ldaptest.Slapd
	environ  []string
	addrs    []string
	services []*process
	balancer *haproxytest.Balancer
}

// startReplicas starts n replicas, and waits until they share a throttle at a server.
func startReplicas(t *testing.T, n int, timing haproxytest.Timing, redis string, environ ...string) *replicas {
	t.Helper()
	r := &replicas{slapd: ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}), environ: append(append(patient(),
		"AUTH_THROTTLE_REDIS_URL="+redis, "HTTP_TRUSTED_PROXIES=127.0.0.1", "LOG_LEVEL=info"), environ...)}
	for i := range n {
		r.addrs, r.services = append(r.addrs, ldaptest.FreeAddr(t)), append(r.services, nil)
		r.serve(t, i)
	}
	r.balancer = haproxytest.Start(t, timing, r.addrs...)
	r.await(t, "1")
	return r
}

// serve starts a replica.
func (r *replicas) serve(t *testing.T, i int) {
	t.Helper()
	r.services[i] = startProgram(t, r.slapd.URL(), append([]string{"HTTP_ADDR=" + r.addrs[i]}, r.environ...)...)
	r.services[i].ready(t)
}

// await waits until all replicas use the server ("1"), or count alone ("0").
func (r *replicas) await(t *testing.T, shared string) {
	t.Helper()
	for _, p := range r.services {
		ldaptest.Eventually(t, "authsvc_throttle_shared_up is "+shared, func() bool { return metric(t, p, "authsvc_throttle_shared_up") == shared })
	}
}

// unlimited makes the throttle count without refusing.
func unlimited() []string {
	return []string{"AUTH_THROTTLE_FAILURES=1000000", "AUTH_THROTTLE_ACCOUNT_FAILURES=1000000"}
}

// TestShutdownDelay_RollingRestartFailsNoRequest restarts three replicas one after the other. No
// request fails, and HAProxy finds no connection refused and repeats nothing. With -long there are
// 300 logins a second, and HAProxy and the replicas have the times of deploy/scaled.
func TestShutdownDelay_RollingRestartFailsNoRequest(t *testing.T) {
	timing, delay := haproxytest.Quick, "2s"
	if *long {
		timing, delay = haproxytest.Shipped, "4s"
	}
	r := startReplicas(t, 3, timing, "redis://"+redistest.Start(t).Addr, append(unlimited(), "HTTP_SHUTDOWN_DELAY="+delay)...)
	var c callers
	restart := func() {
		for i, p := range r.services {
			if !*long {
				c.more(t, 50)
			}
			require.Zero(t, p.end(t))
			r.balancer.Await(t, i, "DOWN")
			r.serve(t, i)
			r.balancer.Await(t, i, "UP")
		}
	}
	if *long {
		c.answers = streamDuring(client(t), r.balancer.URL, 300, func() { restart(); restart(); restart() })
	} else {
		c.during(16, r.balancer.URL, func() *http.Transport { return new(http.Transport) }, restart)
	}
	c.noneFailed(t, "a rolling restart")
	failures := r.balancer.Failures(t)
	t.Logf("HAProxy: %+v", failures)
	assert.Zero(t, failures)
}
