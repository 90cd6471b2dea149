package ldappool

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// sixAddresses plays with a pool of one name that has six addresses, which the DNS returns in a new
// order each time.
func sixAddresses(t *testing.T, before func(m *fakeNet), play func(t *testing.T, m *fakeNet, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var addresses []string
		for i := range 6 {
			addresses = append(addresses, fmt.Sprintf("192.0.2.%d", i+1))
		}
		m := newFakeNet(addresses...)
		for _, h := range m.hosts {
			h.on(func(*peer, *request) bool { time.Sleep(time.Millisecond); return false })
		}
		before(m)
		var mu sync.Mutex
		m.addresses = func(context.Context, string) (found []netip.Addr, err error) {
			mu.Lock()
			defer mu.Unlock()
			addresses = append(addresses[1:], addresses[0])
			for _, a := range addresses {
				found = append(found, netip.MustParseAddr(a))
			}
			return found, nil
		}
		p := m.start(t, func(c *Config) { c.Servers = []string{"ldap://ldap.example.org"} })
		play(t, m, p)
	})
}

// logIns does 200 logins a second for a while, and returns how many were lost and how long the
// slowest took.
func logIns(p *Pool, seconds int) (lost int, longest time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	pace := time.NewTicker(time.Second / 200)
	defer pace.Stop()
	for range 200 * seconds {
		<-pace.C
		all.Go(func() {
			began := time.Now()
			ok := loginSucceeds(p)
			mu.Lock()
			defer mu.Unlock()
			if longest = max(longest, time.Since(began)); !ok {
				lost++
			}
		})
	}
	all.Wait()
	return lost, longest
}

func TestAddresses_TwoOfSixThatAreSilentLoseNoLogin(t *testing.T) {
	t.Parallel()
	silent := func(m *fakeNet) {
		for _, name := range []string{"192.0.2.1", "192.0.2.4"} {
			m.hosts[name].set(func(h *host) { h.dropsDials = true })
		}
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		sixAddresses(t, silent, func(t *testing.T, _ *fakeNet, p *Pool) {
			t.Helper()
			lost, longest := logIns(p, 90)
			require.Zero(t, lost)
			require.LessOrEqual(t, longest, 100*time.Millisecond)
			usable := 0
			for _, s := range p.Stat().Servers {
				if s.State == ServerUsable {
					usable++
				}
			}
			require.Equal(t, 4, usable)
		})
	})
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		sixAddresses(t, func(*fakeNet) {}, func(t *testing.T, m *fakeNet, p *Pool) {
			t.Helper()
			lost, _ := logIns(p, 5)
			require.Zero(t, lost)
			silent(m)
			for _, name := range []string{"192.0.2.1", "192.0.2.4"} {
				m.hosts[name].abortAll()
			}
			lost, longest := logIns(p, 60)
			require.Zero(t, lost)
			require.LessOrEqual(t, longest, time.Second)
		})
	})
}

func TestAddresses_OtherOrderInTheDNSChangesNothing(t *testing.T) {
	t.Parallel()
	sixAddresses(t, func(*fakeNet) {}, func(t *testing.T, m *fakeNet, p *Pool) {
		t.Helper()
		mustSearch(t, p)
		mustBind(t, p)
		time.Sleep(10 * time.Second)
		conns := func() (open int, urls []string) {
			for _, h := range m.hosts {
				open += len(h.open())
			}
			return open, urlsOf(p)
		}
		open, urls := conns()
		require.True(t, slices.IsSorted(urls))
		require.Len(t, urls, 6)
		retired := p.Stat().Retired[RetiredReplaced]
		time.Sleep(2 * time.Minute)
		again, urlsAgain := conns()
		require.Equal(t, urls, urlsAgain)
		require.Equal(t, open, again)
		require.Equal(t, retired, p.Stat().Retired[RetiredReplaced])
		require.Equal(t, ldaptest.UserDN(1), mustSearch(t, p).Entries[0].DN)
	})
}
