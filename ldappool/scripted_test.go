package ldappool

import (
	"errors"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// closeTimeout is how long each part of closing a connection may take: its unbind, and the end of
// its goroutine.
const closeTimeout = 250 * time.Millisecond

// maxAnswer is how long an answer may be.
const maxAnswer = 4 << 20

// tooLong is the error of a longer one.
const tooLong = "longer than 4194304 bytes"

// policyRequest asks for the password policy control.
var policyRequest = Control{OID: ldap.ControlTypeBeheraPasswordPolicy}

// overlongString is a bind's success whose last string is said to be longer than the message.
func overlongString(id int64) []byte {
	b := ldaptest.BindResponse(id, 0, "")
	b[len(b)-1] = 100
	return b
}

// handlerExcept is a working directory whose answers to users' requests can be replaced: if
// override returns true, it has handled the request. override does not see the pool's own pings and
// service binds.
func handlerExcept(override func(c *ldaptest.Conn, req ldaptest.Request) bool) ldaptest.Handler {
	directory := ldaptest.NewDirectory()
	return func(c *ldaptest.Conn, req ldaptest.Request) {
		users := req.Op == ldaptest.OpBind && req.DN != ldaptest.ServiceDN || req.Op == ldaptest.OpSearch && req.DN != ""
		if !users || !override(c, req) {
			directory.Handle(c, req)
		}
	}
}

// answerOnly makes a server answer users' requests with the bytes that b makes for the message id.
func answerOnly(b func(id int64) []byte) ldaptest.Handler {
	return handlerExcept(func(c *ldaptest.Conn, req ldaptest.Request) bool { c.WriteRaw(b(req.MessageID)); return true })
}

// watched makes a pool on server that dials connections only for callers, and reports those it
// retires. Its timeouts are so long that no test fails on a loaded machine.
func watched(t testing.TB, server *ldaptest.Server, changes ...func(*Config)) (*Pool, <-chan RetireEvent) {
	t.Helper()
	retired := make(chan RetireEvent, 1000)
	cfg := asService(Config{Servers: []string{server.URL()}, MinIdleConns: -1, HealthCheckInterval: time.Hour})
	cfg.Trace.Retired = func(e RetireEvent) { retired <- e }
	cfg.DialTimeout, cfg.RequestTimeout, cfg.MaxWait = 20*time.Second, 20*time.Second, 20*time.Second
	for _, change := range changes {
		change(&cfg)
	}
	return pooled(t, cfg), retired
}

// nextRetired waits for a connection to be retired and checks why.
func nextRetired(t testing.TB, retired <-chan RetireEvent, reason RetireReason) RetireEvent {
	t.Helper()
	select {
	case e := <-retired:
		require.Equal(t, reason, e.Reason, e.Err)
		return e
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no connection was retired", "want one for the reason %s", reason)
		return RetireEvent{}
	}
}

// requireFault checks that err is a fault of that kind and of no other, that names the server, and
// says nothing that a caller could take for a verdict of the directory.
func requireFault(t testing.TB, err, kind error) {
	t.Helper()
	var op *OpError
	require.ErrorAs(t, err, &op)
	require.ErrorIs(t, err, kind)
	require.Equal(t, kind, op.Kind)
	var verdict *ldap.Error
	if errors.As(err, &verdict) {
		require.GreaterOrEqual(t, verdict.ResultCode, uint16(ldap.ErrorNetwork))
	}
}

// bindAs does a bind that must not last.
func bindAs(t testing.TB, p *Pool, dn, password string, controls ...Control) (*BindResult, error) {
	t.Helper()
	r, err := p.Bind(soon(t), dn, password, controls...)
	require.NotEqual(t, err == nil, r == nil, "a result or an error, never both and never neither")
	return r, err
}

// binds counts the binds of users that a server saw.
type binds struct {
	mu    sync.Mutex
	conns map[*ldaptest.Conn]int
}

// count is a wild that does nothing but count.
func (b *binds) count(c *ldaptest.Conn, req ldaptest.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		b.conns = map[*ldaptest.Conn]int{}
	}
	if req.Op == ldaptest.OpBind {
		b.conns[c]++
	}
	return false
}

func (b *binds) total() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.conns {
		n += m
	}
	return n
}
