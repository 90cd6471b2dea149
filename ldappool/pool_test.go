package ldappool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// loseFirst makes the directory handle the first of a user's binds, or of the searches, with how.
func loseFirst(h *host, kind string, how func(p *peer, r *request)) {
	var once sync.Once
	h.on(func(p *peer, r *request) (done bool) {
		if r.kind == kind && r.dn != ldaptest.ServiceDN {
			once.Do(func() { how(p, r); done = true })
		}
		return done
	})
}

// halfAnswer sends the beginning of a success and ends the connection.
func halfAnswer(p *peer, r *request) {
	answer := ldaptest.BindResponse(r.id, ldap.LDAPResultSuccess, "")
	if r.kind == "search" {
		answer = ldaptest.SearchDone(r.id, ldap.LDAPResultSuccess, "")
	}
	p.write(answer[:len(answer)/2])
	p.cut()
}

func TestRetry_OfALostBindFollowsBindRetry(t *testing.T) {
	t.Parallel()
	const unsent, unanswered, half = "no byte was sent", "sent and not answered", "half an answer"
	for _, c := range []struct {
		rule  BindRetry
		kept  bool
		loss  string
		binds int // that reach the directory
		lost  bool
	}{
		{RetryNoResponse, true, unsent, 1, false},
		{RetryNoResponse, true, unanswered, 2, false},
		{RetryNoResponse, true, half, 1, true},
		{RetryNoResponse, false, unsent, 1, false},
		{RetryNoResponse, false, unanswered, 2, false},
		{RetryNoResponse, false, half, 1, true},
		{RetryUnsent, true, unsent, 1, false},
		{RetryUnsent, true, unanswered, 1, true},
		{RetryUnsent, true, half, 1, true},
		{RetryUnsent, false, unsent, 1, false},
		{RetryUnsent, false, unanswered, 1, true},
		{RetryUnsent, false, half, 1, true},
	} {
		name := fmt.Sprintf("rule %d, on a fresh connection, %s", c.rule, c.loss)
		if c.kept {
			name = fmt.Sprintf("rule %d, on a kept connection, %s", c.rule, c.loss)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t, sizes(4, -1), func(cfg *Config) { cfg.BindRetry = c.rule })
				synctest.Wait()
				if c.kept {
					_, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
					require.NoError(t, err)
				}
				switch c.loss {
				case unanswered:
					loseFirst(h, "bind", func(p *peer, _ *request) { p.cut() })
				case half:
					loseFirst(h, "bind", halfAnswer)
				case unsent:
					breakWrite(h, c.kept)
				}
				r, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				require.Len(t, h.bindsOf(ldaptest.UserDN(1)), c.binds)
				if c.lost {
					require.ErrorIs(t, err, ErrConnLost)
					require.ErrorContains(t, err, "ldap://one")
					require.Zero(t, p.Stat().Retries)
					return
				}
				require.NoError(t, err)
				require.EqualValues(t, ldap.LDAPResultSuccess, r.Code)
				require.EqualValues(t, 1, p.Stat().Retries)
			})
		})
	}
}

// breakWrite makes the kernel refuse the next user's bind: on the connection opened last, or on one
// not yet dialled.
func breakWrite(h *host, kept bool) {
	if kept {
		open := h.open()
		open[len(open)-1].failNextWrite()
		return
	}
	loseFirst(h, "ping", func(p *peer, r *request) {
		p.failNextWrite()
		p.answer(r)
	})
}

func TestRetry_ExcludesBindsThatTimedOut(t *testing.T) {
	t.Parallel()
	for _, rule := range []BindRetry{RetryNoResponse, RetryUnsent} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			h := m.hosts["one"]
			p := m.start(t, func(c *Config) { c.BindRetry = rule })
			mustSearch(t, p)
			_, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
			require.NoError(t, err)
			loseFirst(h, "bind", func(*peer, *request) {})
			began := time.Now()
			_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.ErrorIs(t, err, ErrTimeout)
			require.Equal(t, 5*time.Second, time.Since(began))
			require.Len(t, h.bindsOf(ldaptest.UserDN(1)), 1)
			synctest.Wait()
			require.EqualValues(t, 1, p.Stat().Retired[RetiredTimeout])
		})
	}
}

func TestResult_AnyCodeIsOne(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{1, 8, 19, 32, 49, 50, 51, 52, 53, 80, 118} {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			h := m.hosts["one"]
			p := m.start(t)
			time.Sleep(2 * time.Second)
			h.on(func(p *peer, r *request) bool {
				switch r.kind {
				case "bind":
					p.write(ldaptest.BindResponse(r.id, code, "so it is"))
				case "search":
					p.write(ldaptest.SearchDone(r.id, code, "so it is"))
				default:
					return false
				}
				return true
			})
			b, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.NoError(t, err)
			require.Equal(t, code, b.Code)
			require.Equal(t, "so it is", b.Diagnostic)
			require.Equal(t, "ldap://one", b.Server)
			r, err := p.Search(t.Context(), people())
			require.NoError(t, err)
			require.Equal(t, code, r.Code)
			require.Len(t, h.bindsOf(ldaptest.UserDN(1)), 1)
			require.Len(t, h.requests("search"), 1)
			require.Zero(t, p.Stat().Retries)
		})
	}
}

func TestRetry_OfALostSearchHappensOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		how  func(p *peer, r *request)
	}{
		{"not answered", func(p *peer, _ *request) { p.cut() }},
		{"half answered", halfAnswer},
		{"answered with what is no LDAP", func(p *peer, _ *request) { p.write(ldaptest.Garbage()) }},
		{"answered with a notice of disconnection", func(p *peer, _ *request) { p.write(ldaptest.NoticeOfDisconnection(52, "")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t)
				loseFirst(h, "search", c.how)
				mustSearch(t, p)
				require.Len(t, h.requests("search"), 2)
				require.EqualValues(t, 1, p.Stat().Retries)

				h.on(func(p *peer, r *request) bool {
					if r.kind == "search" {
						c.how(p, r)
					}
					return r.kind == "search"
				})
				_, err := p.Search(t.Context(), people())
				require.ErrorIs(t, err, ErrConnLost)
				require.Len(t, h.requests("search"), 4)
			})
		})
	}
}

// A reset takes a connection that is in use and one whose dial has just ended: the retry must not
// go to the second for being new.
func TestRetry_AvoidsConnectionsDialedBeforeTheLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1))
		mustBind(t, p)
		var lost, dialed atomic.Bool
		first, second, third := make(chan struct{}), make(chan struct{}), make(chan struct{})
		h.on(func(p *peer, r *request) bool {
			switch {
			case r.kind == "bind" && lost.CompareAndSwap(false, true):
				p.await(first)
				p.cut()
				return true
			case r.kind == "ping" && dialed.CompareAndSwap(false, true):
				p.await(second)
				p.failNextWrite()
			case r.kind == "ping":
				p.await(third)
			}
			return false
		})
		early := bindLater(t.Context(), p)
		time.Sleep(time.Millisecond) // it is served first
		late := bindLater(t.Context(), p)
		synctest.Wait()
		close(first)
		synctest.Wait()
		close(second)
		synctest.Wait()
		close(third)
		require.NoError(t, <-early)
		require.NoError(t, <-late)
		require.EqualValues(t, 1, p.Stat().Retries)
	})
}

func TestRetry_ExcludesSearchesThatTimedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t)
		synctest.Wait()
		loseFirst(h, "search", func(*peer, *request) {})
		_, err := p.Search(t.Context(), people())
		require.ErrorIs(t, err, ErrTimeout)
		require.Len(t, h.requests("search"), 1)
	})
}

// All idle connections die at the same moment, unnoticed: the one retry must not go to another dead
// one.
func TestRetry_UsesAConnectionKnownToBeAlive(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"bind", "search"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				p := m.start(t, sizes(32, -1))
				use, later := func() { mustBind(t, p) }, bindLater
				if kind == "search" {
					use, later = func() { mustSearch(t, p) }, searchLater
				}
				fillBy(t, m, 8, kind, func() <-chan error { return later(t.Context(), p) })
				// All were used a moment ago, so that none is pinged but for the retry's sake.
				dead := h.open()
				h.on(func(p *peer, _ *request) bool {
					if slices.Contains(dead, p) {
						p.cut()
						return true
					}
					return false
				})
				use()
				require.EqualValues(t, 1, p.Stat().Retries)
			})
		})
	}
}

func TestBind_EmptyNameOrPasswordIsNeverSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		for _, c := range [][2]string{{"", ""}, {ldaptest.UserDN(1), ""}, {"", "secret"}} {
			_, err := p.Bind(t.Context(), c[0], c[1])
			require.ErrorIs(t, err, ErrInvalidRequest)
		}
		synctest.Wait()
		h := m.hosts["one"]
		require.Len(t, h.requests("bind"), len(h.bindsOf(ldaptest.ServiceDN)))
	})
}

func TestRequest_ThatCannotBeEncodedCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t)
		mustSearch(t, p)
		req := people()
		req.Filter = "(((" // does not compile
		_, err := p.Search(t.Context(), req)
		require.ErrorIs(t, err, ErrInvalidRequest)
		mustSearch(t, p)
		synctest.Wait()
		for reason, n := range p.Stat().Retired {
			require.Zero(t, n, reason)
		}
	})
}

// No search on a connection that carried a user, no user on one that searches, whatever goes wrong
// meanwhile.
func TestLane_NeverMixesIdentities(t *testing.T) {
	t.Parallel()
	m := newFakeNet()
	h := m.hosts["one"]
	p := m.start(t, sizes(6, 2), func(c *Config) { c.MaxWait = 20 * time.Second })
	mustBind(t, p)
	mustSearch(t, p)
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			for n := range 8 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+n)%5 == 0 {
					time.AfterFunc(time.Duration(n)*100*time.Microsecond, cancel)
				}
				use(ctx, t, p, i+n)
				cancel()
				if open := h.open(); i == 0 && len(open) > 0 {
					open[0].cut()
				}
			}
		})
	}
	callers.Wait()
	users, searches := map[int]bool{}, map[int]bool{}
	for _, s := range h.requests("bind", "search") {
		switch {
		case s.kind == "search":
			searches[s.peer] = true
		case s.dn != ldaptest.ServiceDN:
			users[s.peer] = true
		}
	}
	require.NotEmpty(t, users)
	require.NotEmpty(t, searches)
	for peer := range users {
		require.NotContains(t, searches, peer)
	}
	for _, s := range h.bindsOf(ldaptest.ServiceDN) {
		require.NotContains(t, users, s.peer)
	}
}

// use does the n-th of a mix of operations and checks what it says, where it says anything.
func use(ctx context.Context, t *testing.T, p *Pool, n int) {
	t.Helper()
	switch n % 3 {
	case 0:
		r, err := p.Search(ctx, people())
		if err == nil && (r.Code != ldap.LDAPResultSuccess || len(r.Entries) != 1) {
			t.Errorf("search: code %d, %d entries", r.Code, len(r.Entries))
		}
		tolerate(t, err)
	case 1:
		r, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1))
		if err == nil && r.Code != ldap.LDAPResultSuccess {
			t.Errorf("right password: code %d", r.Code)
		}
		tolerate(t, err)
	case 2:
		r, err := p.Bind(ctx, ldaptest.UserDN(1), "wrong")
		if err == nil && r.Code != ldap.LDAPResultInvalidCredentials {
			t.Errorf("wrong password: code %d", r.Code)
		}
		tolerate(t, err)
	}
}

// tolerate checks that an error is one of those that may be.
func tolerate(t testing.TB, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, context.Canceled) && !isKnown(err) {
		t.Errorf("an error of no kind: %v", err)
	}
}
