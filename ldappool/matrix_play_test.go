package ldappool

import (
	"authsvc/ldappool/internal/discovery"
	"context"
	"crypto/tls"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// cold reports whether the moment is the beginning.
func (c cell) cold() bool { return c.at == atStart || c.at == atServiceBind }

// config is the cell's, for a directory that is found at either address.
func (c cell) config(plainURL, tlsURL string, trust *tls.Config) Config {
	cfg := asService(Config{Servers: []string{plainURL}, TLS: trust, MaxConns: 8, MinIdleConns: -1, HealthCheckInterval: time.Hour})
	switch c.over {
	case overTLS:
		cfg.Servers = []string{tlsURL}
	case overStartTLS:
		cfg.StartTLS = true
	}
	if c.at == atUnsentBind {
		cfg.BindRetry = RetryUnsent
	}
	return cfg
}

// start makes the cell's pool. The books are checked at every hook.
func (b *lab) start(t *testing.T) *Pool {
	t.Helper()
	cfg := b.config("ldap://one", "ldaps://one", b.certs.client)
	var p *Pool
	made := make(chan struct{})
	cfg.Trace = audited(cfg.Trace, func() {
		<-made
		if err := p.audit(); err != nil {
			t.Error(err)
		}
	})
	cfg.Dial = b.dial
	p, err := newPool(cfg, discovery.Lookups{})
	close(made)
	require.NoError(t, err)
	return p
}

// playCell is a cell in a bubble of its own.
func playCell(t *testing.T, c cell, certs matrixCerts) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { newLab(c, certs).play(t) })
}

// play is a cell from the first dial to the last close.
func (b *lab) play(t *testing.T) {
	t.Helper()
	defer b.end()
	early := b.cold()
	if early {
		b.arm()
	}
	p := b.start(t)
	defer p.Close(context.Background()) // again, where all goes well
	if !early {
		b.warm(t, p)
		if b.at == atSearchPing || b.at == atBindPing {
			time.Sleep(pingAfter + time.Millisecond)
		}
		synctest.Wait()
		b.arm()
	}
	synctest.Wait()
	if b.at == atIdle {
		time.Sleep(pingAfter + time.Millisecond)
	}
	want := b.outcome()
	began := time.Now()
	var code uint16
	var err, closing error
	if b.at == atBusyClose {
		code, err, closing = closeBusy(p, closeWithin, synctest.Wait, func() { synctest.Wait(); close(b.gate) })
	} else {
		code, err, closing = b.act(p)
	}
	took := time.Since(began)
	want.require(t, code, err, closing)
	require.LessOrEqual(t, took, want.most)
	time.Sleep(2 * closeTimeout) // what was given up by then is closed by then
	requireBooks(t, p, want)
	b.clear()
	if b.at != atClose && b.at != atBusyClose {
		time.Sleep(recovery)
		requireWell(t, p)
	}
	closePool(t, p)
	require.Empty(t, b.open(), "sockets left open")
}

// require checks what a caller got.
func (o outcome) require(t *testing.T, code uint16, err, closing error) {
	t.Helper()
	if o.kind == nil {
		require.NoError(t, err)
		require.Equal(t, o.code, code)
	} else {
		requireFault(t, err, o.kind)
	}
	require.ErrorIs(t, closing, o.closing)
}

// warm brings the pool to where the moment finds it.
func (c cell) warm(t *testing.T, p *Pool) {
	t.Helper()
	mustSearch(t, p)
	if c.at != atDial && c.at != atFreshBind {
		mustBind(t, p)
	}
}

// act does what the moment is about, but for a close with a search under way.
func (c cell) act(p *Pool) (code uint16, err, closing error) {
	ctx := context.Background()
	switch c.at {
	case atStart, atServiceBind, atSearchPing, atSearch:
		code, err = searchCode(ctx, p)
	case atIdle:
		if code, err = searchCode(ctx, p); err == nil && code == 0 {
			code, err = bindCode(ctx, p, ldaptest.Password(1))
		}
	case atClose:
		closing = p.Close(ctx)
	case atWrongBind:
		code, err = bindCode(ctx, p, "wrong")
	default:
		code, err = bindCode(ctx, p, ldaptest.Password(1))
	}
	return code, err, closing
}

// closeBusy closes the pool while a search is under way, which underWay waits for and inject adds
// the fault to.
func closeBusy(p *Pool, most time.Duration, underWay, inject func()) (code uint16, err, closed error) {
	var all sync.WaitGroup
	all.Go(func() { code, err = searchCode(context.Background(), p) })
	underWay()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	all.Go(inject)
	closed = p.Close(ctx)
	all.Wait()
	return code, err, closed
}

func searchCode(ctx context.Context, p *Pool) (uint16, error) {
	r, err := p.Search(ctx, people())
	if err != nil {
		return 0, err
	}
	return r.Code, nil
}

func bindCode(ctx context.Context, p *Pool, password string) (uint16, error) {
	r, err := p.Bind(ctx, ldaptest.UserDN(1), password)
	if err != nil {
		return 0, err
	}
	return r.Code, nil
}

// requireBooks checks what the pool says of retries and of the connections that it gave up.
func requireBooks(t *testing.T, p *Pool, want outcome) {
	t.Helper()
	s := p.Stat()
	require.Equal(t, want.retries, s.Retries, "retries")
	maps.DeleteFunc(s.Retired, func(_ RetireReason, n int64) bool { return n == 0 })
	if want.retired == nil {
		want.retired = map[RetireReason]int64{}
	}
	require.Equal(t, want.retired, s.Retired)
	require.Zero(t, s.Search.InUse+s.Bind.InUse+s.Search.Waiting+s.Bind.Waiting)
}

// requireWell checks that the next login gets the right answer.
func requireWell(t *testing.T, p *Pool) {
	t.Helper()
	mustSearch(t, p)
	mustBind(t, p)
	r, err := p.Bind(context.Background(), ldaptest.UserDN(1), "wrong")
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
}
