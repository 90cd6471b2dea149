package ldappool

import (
	"authsvc/ldappool/internal/discovery"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// names is a DNS with SRV records.
type names struct {
	mu      sync.Mutex // guards what follows
	records []*net.SRV
	err     error
	asked   []time.Time
	takes   time.Duration
}

func (n *names) lookup(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if service != "ldap" || proto != "tcp" || name != "example.org" {
		return "", nil, errors.New("nobody knows " + name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, time.Now())
	select {
	case <-time.After(n.takes):
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
	return "_ldap._tcp.example.org.", slices.Clone(n.records), n.err
}

// are sets the records, by target; an earlier one has the smaller priority.
func (n *names) are(err error, targets ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records, n.err = nil, err
	for i, target := range targets {
		n.records = append(n.records, &net.SRV{Target: target, Port: 389, Priority: uint16(i)})
	}
}

func (n *names) times() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

const exampleOrg = "ldap+srv://example.org"

// resolved plays with a pool of the servers that a DNS knows.
func resolved(t *testing.T, n *names, play func(t *testing.T, m *fakeNet, p *Pool), urls ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two", "three")
		m.lookup = n.lookup
		p := m.start(t, func(c *Config) { c.Servers = append([]string{exampleOrg}, urls...) })
		play(t, m, p)
	})
}

func urlsOf(p *Pool) (urls []string) {
	for _, s := range p.Stat().Servers {
		urls = append(urls, s.URL)
	}
	return urls
}

func TestSRV_ServersOfADomainAreKeptUpToDate(t *testing.T) {
	t.Parallel()
	n := &names{takes: 20 * time.Millisecond}
	n.are(nil, "Two.", "one.")
	resolved(t, n, func(t *testing.T, m *fakeNet, p *Pool) {
		t.Helper()
		mustSearch(t, p) // it waits for the first lookup
		require.Equal(t, []string{"ldap://two:389", "ldap://one:389"}, urlsOf(p))
		time.Sleep(time.Minute + time.Second)
		require.Len(t, n.times(), 3)
		since := p.Stat().Servers[0].Since

		n.are(nil, "one.", "two.")
		c := startLogins(t, p)
		defer c.stop()
		time.Sleep(2 * resolveEvery)
		st := p.Stat()
		require.Equal(t, []string{"ldap://one:389", "ldap://two:389"}, urlsOf(p))
		require.Equal(t, since, st.Servers[1].Since, "it is the same server")

		n.are(nil, "one.")
		time.Sleep(2 * resolveEvery)
		require.Equal(t, []string{"ldap://one:389"}, urlsOf(p))
		require.Empty(t, m.hosts["two"].open())
	})
}

func TestSRV_EmptyLookupChangesNothing(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.are(nil, "one.")
	resolved(t, n, func(t *testing.T, _ *fakeNet, p *Pool) {
		t.Helper()
		time.Sleep(time.Second)
		for _, err := range []error{errors.New("SERVFAIL"), nil} {
			n.are(err)
			time.Sleep(resolveEvery)
			st := p.Stat()
			require.Equal(t, []string{"ldap://one:389"}, urlsOf(p))
			require.ErrorContains(t, st.Servers[0].LastErr, "lookup of _ldap._tcp.example.org")
			require.Equal(t, ServerUsable, st.Servers[0].State)
			mustSearch(t, p)
		}
	})
}

// lookup is what Trace.LookedUp reports.
type lookup struct {
	Server string
	Known  int
	Err    error
}

func TestSRV_EachLookupIsTraced(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.are(nil, "one.")
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one")
		m.lookup = n.lookup
		var mu sync.Mutex
		var told []lookup
		p := m.start(t, func(c *Config) {
			c.Servers = []string{exampleOrg}
			c.Trace.LookedUp = func(domain string, known int, err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, lookup{domain, known, err})
			}
		})
		last := func() lookup {
			mu.Lock()
			defer mu.Unlock()
			require.NotEmpty(t, told)
			return told[len(told)-1]
		}
		mustSearch(t, p)
		synctest.Wait()
		require.Equal(t, lookup{Server: exampleOrg, Known: 1}, last())
		time.Sleep(time.Second) // so that what follows comes between two lookups
		n.are(errors.New("SERVFAIL"))
		time.Sleep(resolveEvery)
		require.Equal(t, 1, last().Known)
		require.ErrorContains(t, last().Err, "SERVFAIL")
		n.are(nil, "one.")
		time.Sleep(resolveEvery)
		require.Equal(t, lookup{Server: exampleOrg, Known: 1}, last())
		n.are(nil, ".")
		time.Sleep(resolveEvery)
		require.Zero(t, last().Known)
		require.ErrorIs(t, last().Err, discovery.ErrNoService)
	})
}

func TestSRV_UnknownDomainIsNamedAndLookedUpAgainSoon(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.are(errors.New("no such host"))
	resolved(t, n, func(t *testing.T, _ *fakeNet, p *Pool) {
		t.Helper()
		synctest.Wait()
		_, err := p.Search(t.Context(), people())
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorContains(t, err, exampleOrg)
		require.ErrorContains(t, err, "no such host")
		require.False(t, p.Stat().Usable)
		require.Equal(t, exampleOrg, p.Stat().Servers[0].URL)
		require.Equal(t, ServerDown, p.Stat().Servers[0].State)
		time.Sleep(5 * time.Second)
		require.Greater(t, len(n.times()), 6)
		n.are(nil, "one.")
		time.Sleep(probeLatest)
		mustSearch(t, p)
		require.Equal(t, []string{"ldap://one:389"}, urlsOf(p))
	})
}

func TestSRV_DomainWithoutTheServiceHasNoServer(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.are(nil, "one.")
	resolved(t, n, func(t *testing.T, m *fakeNet, p *Pool) {
		t.Helper()
		time.Sleep(time.Second)
		require.Equal(t, []string{"ldap://one:389", "ldap://three"}, urlsOf(p))
		mustSearch(t, p)
		n.are(nil, ".")
		time.Sleep(2 * resolveEvery)
		require.Equal(t, "ldap://three", mustSearch(t, p).Server)
		require.Equal(t, []string{"ldap://three", exampleOrg}, urlsOf(p))
		require.ErrorIs(t, p.Stat().Servers[1].LastErr, discovery.ErrNoService)
		require.Empty(t, m.hosts["one"].open())
	}, "ldap://three")
}

func TestSRV_OrderOfEqualServersIsDrawnOnce(t *testing.T) {
	t.Parallel()
	n := &names{}
	n.are(nil, "one.", "two.", "three.")
	for _, r := range n.records {
		r.Priority, r.Weight = 0, 10
	}
	resolved(t, n, func(t *testing.T, _ *fakeNet, p *Pool) {
		t.Helper()
		time.Sleep(3 * time.Minute) // connections have moved to the first
		first := urlsOf(p)
		conns := func() (all []int) {
			synctest.Wait() // for the check of a standby at this moment
			for _, s := range p.Stat().Servers {
				all = append(all, s.Conns)
			}
			return all
		}
		require.Equal(t, []int{4, 0, 0}, conns())
		for range 5 {
			n.mu.Lock()
			n.records = append(n.records[1:], n.records[0]) // as the resolver draws
			n.mu.Unlock()
			time.Sleep(resolveEvery)
			require.Equal(t, first, urlsOf(p))
			require.Equal(t, []int{4, 0, 0}, conns(), "none has moved")
		}
	})
}

func TestSRV_DomainComesAndGoesWithTheConfiguration(t *testing.T) {
	t.Parallel()
	n := &names{takes: time.Second}
	n.are(nil, "two.")
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet("one", "two")
		m.lookup = n.lookup
		p := m.start(t, servers("one"))
		time.Sleep(time.Second)
		c := startLogins(t, p)
		defer c.stop()
		require.NoError(t, reconfigure(p, func(c *Config) { c.Servers = []string{exampleOrg} }))
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"ldap://two:389"}, urlsOf(p))
		require.Empty(t, m.hosts["one"].open())
		require.NoError(t, reconfigure(p, servers("one")))
		time.Sleep(5 * time.Second)
		asked := len(n.times())
		time.Sleep(2 * time.Minute)
		require.Len(t, n.times(), asked)
		require.Equal(t, []string{"ldap://one"}, urlsOf(p))
	})
}

func TestSRV_URLIsADomainAlone(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"ldap+srv://", "ldap+srv://example.org:389", "ldap+srv://example.org/dc=org", "ldap+srv://a b", "ldaps+srv://example.org"} {
		_, err := New(Config{Servers: []string{raw}})
		require.ErrorContains(t, err, "Config.Servers", raw)
	}
}
