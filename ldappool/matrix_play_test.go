package ldappool

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// start makes the cell's pool. The books are checked at every hook.
func (b *lab) start(t *testing.T) *Pool {
	t.Helper()
	cfg := asService(Config{Servers: []string{"ldap://one"}, TLS: b.certs.client, MaxConns: 4, MinIdleConns: -1, HealthCheckInterval: time.Hour})
	switch b.over {
	case overTLS:
		cfg.Servers = []string{"ldaps://one"}
	case overStartTLS:
		cfg.StartTLS = true
	}
	if b.at == atUnsentBind {
		cfg.BindRetry = RetryUnsent
	}
	var p *Pool
	made := make(chan struct{})
	cfg.Trace = audited(cfg.Trace, func() {
		<-made
		if err := p.audit(); err != nil {
			t.Error(err)
		}
	})
	p, err := newPool(cfg, b.dial)
	close(made)
	require.NoError(t, err)
	return p
}

// play is a cell from the first dial to the last close.
func (b *lab) play(t *testing.T) {
	defer b.end()
	early := b.at == atStart || b.at == atServiceBind
	if early {
		b.arm()
	}
	p := b.start(t)
	defer p.Close(context.Background()) // again, where all goes well
	if !early {
		b.warm(t, p)
		b.arm()
	}
	synctest.Wait()
	if b.at == atIdle {
		time.Sleep(pingAfter + time.Millisecond)
	}
	want := b.outcome()
	began := time.Now()
	code, err, closing := b.act(p)
	took := time.Since(began)
	if want.kind == nil {
		require.NoError(t, err)
		require.Equal(t, want.code, code)
	} else {
		requireFault(t, err, want.kind)
	}
	require.ErrorIs(t, closing, want.closing)
	require.LessOrEqual(t, took, want.most)
	time.Sleep(2 * closeTimeout) // what was given up by then is closed by then
	b.requireBooks(t, p, want)
	b.clear()
	if b.at != atClose && b.at != atBusyClose {
		b.requireWell(t, p)
	}
	closePool(t, p)
	require.Empty(t, b.open(), "sockets left open")
}

// warm brings the pool to where the moment finds it.
func (b *lab) warm(t *testing.T, p *Pool) {
	t.Helper()
	mustSearch(t, p)
	if b.at != atDial && b.at != atFreshBind {
		mustBind(t, p)
	}
	if b.at == atSearchPing || b.at == atBindPing {
		time.Sleep(pingAfter + time.Millisecond)
	}
	synctest.Wait()
}

// act does what the moment is about.
func (b *lab) act(p *Pool) (code uint16, err, closing error) {
	ctx := context.Background()
	switch b.at {
	case atStart, atServiceBind, atSearchPing, atSearch:
		code, err = searchCode(ctx, p)
	case atIdle:
		if code, err = searchCode(ctx, p); err == nil && code == 0 {
			code, err = bindCode(ctx, p, ldaptest.Password(1))
		}
	case atClose:
		closing = p.Close(ctx)
	case atBusyClose:
		done := make(chan struct{})
		go func() {
			defer close(done)
			code, err = searchCode(ctx, p)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(ctx, closeWithin)
		defer cancel()
		go func() {
			synctest.Wait()
			close(b.gate)
		}()
		closing = p.Close(ctx)
		<-done
	case atWrongBind:
		code, err = bindCode(ctx, p, "wrong")
	default:
		code, err = bindCode(ctx, p, ldaptest.Password(1))
	}
	return code, err, closing
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
func (b *lab) requireBooks(t *testing.T, p *Pool, want outcome) {
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

// requireWell checks that the pool recovers once the fault is over: the next login is told what is true.
func (b *lab) requireWell(t *testing.T, p *Pool) {
	t.Helper()
	time.Sleep(recovery)
	mustSearch(t, p)
	mustBind(t, p)
	r, err := p.Bind(context.Background(), ldaptest.UserDN(1), "wrong")
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
}
