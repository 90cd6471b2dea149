package ldappool

import (
	"authsvc/ldappool/internal/core"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestField_FailedReplacementKeepsItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(2, 1))
		for range 20 {
			h.accept()
			for _, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1)); err != nil; {
				requireFault(t, err, ErrUnavailable)
				time.Sleep(100 * time.Millisecond)
				_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			}
			h.refuse(true)
			synctest.Wait()
			for range 5 {
				_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				requireFault(t, err, ErrUnavailable)
				time.Sleep(time.Second)
			}
		}
		h.accept()
		time.Sleep(5 * time.Second)
		g := hold(h, "bind")
		first, second := bindLater(t.Context(), p), bindLater(t.Context(), p)
		<-g.arrived
		<-g.arrived // both places are there
		g.open()
		require.NoError(t, <-first)
		require.NoError(t, <-second)
	})
}

func TestField_NothingIsLockedWhileAConnectionIsValidated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(8, -1))
		mustBind(t, p)
		mustSearch(t, p)
		time.Sleep(2 * time.Second) // so that the next use pings
		var once sync.Once
		pinged := make(chan struct{})
		h.on(func(_ *peer, r *request) (hung bool) {
			if r.kind == "ping" {
				once.Do(func() { hung = true; close(pinged) })
			}
			return hung
		})
		waits := bindLater(t.Context(), p)
		<-pinged
		began := time.Now()
		require.Equal(t, 1, p.Stat().Bind.InUse)
		mustSearch(t, p)
		mustBind(t, p)
		require.Zero(t, time.Since(began))
		require.NoError(t, <-waits)
		require.LessOrEqual(t, time.Since(began), pingTimeout+time.Millisecond)
	})
}

func TestField_FailoverReturnsToTheFirstServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("first", "second")
		first, second := m.hosts["first"], m.hosts["second"]
		second.refuse(false)
		p := m.start(t)
		require.Equal(t, first.url(), mustBind(t, p).Server)
		second.accept()
		time.Sleep(5 * time.Second) // and is found usable
		first.refuse(true)
		time.Sleep(5 * time.Second)
		require.Equal(t, second.url(), mustBind(t, p).Server)
		first.accept()
		began := time.Now()
		for mustBind(t, p).Server != first.url() || mustSearch(t, p).Server != first.url() {
			time.Sleep(10 * time.Second)
			require.LessOrEqual(t, time.Since(began), 31*time.Minute, "still not at the first")
		}
	})
}

func TestField_APausedServerDoesNotDefeatFailover(t *testing.T) {
	t.Parallel()
	// With connections kept warm their dials find the server out as well; without them a login's
	// timeout alone does.
	for _, minIdle := range []int{2, -1} {
		t.Run(fmt.Sprint("MinIdleConns ", minIdle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet("first", "second")
				first, second := m.hosts["first"], m.hosts["second"]
				second.refuse(false)
				p := m.start(t, sizes(32, minIdle))
				require.Equal(t, first.url(), mustBind(t, p).Server)
				second.accept()
				time.Sleep(5 * time.Second) // and is found usable
				require.Equal(t, first.url(), mustBind(t, p).Server)
				first.pause() // it takes connections and bytes, and answers nothing
				defer first.resume()
				_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				requireFault(t, err, ErrTimeout)
				began := time.Now()
				require.Equal(t, second.url(), mustBind(t, p).Server)
				require.LessOrEqual(t, time.Since(began), time.Second, "a second login waited for the paused server")
				for range 20 {
					began := time.Now()
					require.Equal(t, second.url(), mustBind(t, p).Server)
					require.Equal(t, second.url(), mustSearch(t, p).Server)
					require.LessOrEqual(t, time.Since(began), time.Second)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestField_APoolThatHasNoneFreeSaysNothingAboutAPassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		b := mustAcquire(t, p, core.Bind)
		for range 3 {
			r, err := p.Bind(t.Context(), ldaptest.UserDN(1), "wrong")
			require.Nil(t, r)
			requireFault(t, err, ErrOverloaded)
		}
		require.Len(t, m.hosts["one"].bindsOf(ldaptest.UserDN(1)), 1, "it asked all the same")
		b.release()
		mustBind(t, p)
	})
}

func TestField_NoConnectionThatCarriedAUserDoesASearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, 1))
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for j := range 10 {
					mustSearch(t, p) // a user would find nothing
					password := ldaptest.Password(1)
					if (i+j)%3 == 0 {
						password = "wrong"
					}
					_, err := p.Bind(t.Context(), ldaptest.UserDN(1), password)
					require.NoError(t, err)
				}
			})
		}
		all.Wait()
		users := map[int]bool{}
		for _, s := range h.bindsOf(ldaptest.UserDN(1)) {
			users[s.peer] = true
		}
		require.NotEmpty(t, users)
		for _, s := range h.requests("search") {
			require.False(t, users[s.peer], "a search on connection %d, which was a user's", s.peer)
		}
		for _, s := range h.bindsOf(ldaptest.ServiceDN) {
			require.False(t, users[s.peer], "a service bind on connection %d, which was a user's", s.peer)
		}
	})
}

func TestField_ThePoolStartsWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	server.StopListening()
	p, _ := watched(t, server)
	_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
	requireFault(t, err, ErrUnavailable)
	require.False(t, p.Stat().Ready)
	server.Listen()
	until(t, p, "the directory to be found", func(s *Stat) bool { return s.Usable })
	mustBind(t, p)
	mustSearch(t, p)
}

func TestField_NoOperationHoldsAConnectionWhileItWaitsForAnother(t *testing.T) {
	t.Parallel()
	t.Run("a retry with room for one connection", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			p := m.start(t, sizes(1, -1))
			mustSearch(t, p)
			var once sync.Once
			m.hosts["one"].on(func(p *peer, r *request) (cut bool) {
				if r.kind == "search" {
					once.Do(func() { p.cut(); cut = true })
				}
				return cut
			})
			began := time.Now()
			mustSearch(t, p)
			require.Zero(t, time.Since(began))
			require.EqualValues(t, 1, p.Stat().Retries)
		})
	})
	t.Run("many logins with room for two connections", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newFakeNet().start(t, sizes(2, 1))
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					mustSearch(t, p)
					mustBind(t, p)
					mustSearch(t, p)
				})
			}
			all.Wait()
		})
	})
}
