package ldappool

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// outcomeOf is what became of an operation.
type outcomeOf struct {
	asked time.Time
	took  time.Duration
	op    string
	right bool
	err   error
}

// streamOf asks for a login each so often, a search and then a bind, whatever the answers, and
// gives the verdicts.
func streamOf(p *Pool, every, total time.Duration) []outcomeOf {
	var mu sync.Mutex
	var all []outcomeOf
	note := func(op string, asked time.Time, code uint16, err error) bool {
		mu.Lock()
		defer mu.Unlock()
		v := outcomeOf{asked, time.Since(asked), op, err == nil && code == ldap.LDAPResultSuccess, err}
		all = append(all, v)
		return v.right
	}
	var logins sync.WaitGroup
	for began := time.Now(); time.Since(began) < total; time.Sleep(every) {
		logins.Go(func() {
			asked := time.Now()
			var code uint16
			found, err := p.Search(context.Background(), people())
			if err == nil {
				code = found.Code
			}
			if !note("search", asked, code, err) {
				return
			}
			asked = time.Now()
			bound, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
			if err == nil {
				code = bound.Code
			}
			note("bind", asked, code, err)
		})
	}
	logins.Wait()
	return all
}

// Only binds that the server has when it falls silent are lost: they may not be sent twice. What is
// searched is searched elsewhere, and who comes later goes elsewhere.
func TestWatchdog_SilentServerUnderLoadCostsOnlyBindsUnderWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		silence func(h *host)
		end     func(h *host)
	}{
		{"paused", (*host).pause, (*host).resume},
		{"black hole", func(h *host) { h.pause(); h.set(func(h *host) { h.dropsDials = true }) },
			func(h *host) { h.set(func(h *host) { h.dropsDials = false }); h.abortAll(); h.resume() }},
	} {
		for _, size := range []int{4, 32} {
			t.Run(fmt.Sprintf("%s, MaxConns %d", c.name, size), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet("one", "two")
					one, two := m.hosts["one"], m.hosts["two"]
					p := startAtFirst(t, m, sizes(size, 2))
					one.on(slowly(nil))
					two.on(slowly(nil))
					answers := make(chan []outcomeOf, 1)
					go func() { answers <- streamOf(p, 5*time.Millisecond, 5*time.Second) }()
					time.Sleep(2 * time.Second)
					silent := time.Now()
					c.silence(one)
					becomes(t, p, one, ServerDown)
					require.LessOrEqual(t, time.Since(silent), silentAfter+3*watchInterval)
					s := p.Stat()
					require.ErrorContains(t, s.Servers[0].LastErr, "no answer")
					require.LessOrEqual(t, s.Servers[0].Conns, s.Bind.InUse+s.Search.InUse, "idle ones go at once")
					lost, slowest, quick := 0, time.Duration(0), time.Duration(0)
					for _, v := range <-answers {
						if v.right {
							slowest = max(slowest, v.took)
						} else {
							lost++
							require.Equal(t, "bind", v.op)
							require.ErrorIs(t, v.err, ErrTimeout)
							require.LessOrEqual(t, v.asked.Sub(silent).Abs(), 2*time.Millisecond, "it was not under way: %v", v.err)
							require.Equal(t, p.config().RequestTimeout, v.took)
						}
						if v.took > 50*time.Millisecond {
							quick = max(quick, v.asked.Sub(silent))
						}
					}
					t.Logf("%d lost, the slowest took %v, those asked after %v less than 50ms", lost, slowest, quick)
					require.LessOrEqual(t, lost, 2)
					require.LessOrEqual(t, slowest, silentAfter+pingTimeout+3*watchInterval)
					require.LessOrEqual(t, quick, silentAfter+3*watchInterval)

					time.Sleep(20 * time.Second)
					require.Equal(t, ServerDown, one.state(p))
					require.Zero(t, one.conns(p))
					c.end(one)
					becomes(t, p, one, ServerUsable)
					for _, v := range streamOf(p, 100*time.Millisecond, 5*time.Minute) {
						require.True(t, v.right, "%v", v.err)
						require.LessOrEqual(t, v.took, 100*time.Millisecond, "nothing is noticed of the way back")
					}
					require.Zero(t, two.conns(p))
				})
			})
		}
	}
}

func TestWatchdog_IgnoresASlowOperation(t *testing.T) {
	t.Parallel()
	for _, idle := range []int{-1, 2} {
		for _, size := range []int{2, 32} {
			t.Run(fmt.Sprintf("MaxConns %d, MinIdleConns %d", size, idle), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet("one", "two")
					one := m.hosts["one"]
					var seen changes
					p := startAtFirst(t, m, seen.trace, sizes(size, idle))
					one.on(func(_ *peer, r *request) bool {
						if isLogins(r) && r.kind == "bind" {
							time.Sleep(3 * time.Second)
						}
						return false
					})
					for range 5 {
						require.Equal(t, one.url(), mustBind(t, p).Server)
					}
					require.NotContains(t, seen.to(one), ServerDown)
				})
			})
		}
	}
}

// A search that takes long at a server that goes on answering others stays where it is.
func TestWatchdog_KeepsASearchWhileItsServerAnswersOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one := m.hosts["one"]
		p := startAtFirst(t, m)
		g := hold(one, "search")
		done := searchLater(t.Context(), p)
		g.await(t)
		for range 40 {
			mustBind(t, p)
			time.Sleep(100 * time.Millisecond)
		}
		require.Empty(t, done)
		g.open()
		require.NoError(t, <-done)
		require.Zero(t, p.Stat().Retries)
	})
}

func TestWatchdog_KeepsTheOnlyServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		one := m.hosts["one"]
		m.hosts["two"].refuse(false)
		var seen changes
		p := m.start(t, seen.trace)
		time.Sleep(5 * time.Second)
		mustSearch(t, p)
		mustBind(t, p)
		one.pause()
		done := []<-chan error{searchLater(t.Context(), p), bindLater(t.Context(), p)}
		time.Sleep(3 * time.Second)
		require.Equal(t, ServerUsable, one.state(p))
		one.resume()
		for _, d := range done {
			require.NoError(t, <-d)
		}
		require.NotContains(t, seen.to(one), ServerDown)
	})
}
