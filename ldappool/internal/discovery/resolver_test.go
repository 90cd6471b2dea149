package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/ldappool/ldapconn"

	"github.com/stretchr/testify/require"
)

// dns is a DNS that a test changes.
type dns struct {
	mu        sync.Mutex // guards what follows
	addresses map[string][]string
	records   []*net.SRV
	err       error
}

func (d *dns) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *dns) lookups() Lookups {
	return Lookups{
		SRV: func(context.Context, string, string, string) (string, []*net.SRV, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return "", d.records, d.err
		},
		Host: func(_ context.Context, host string) (addrs []netip.Addr, err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, a := range d.addresses[host] {
				addrs = append(addrs, netip.MustParseAddr(a))
			}
			return addrs, d.err
		},
	}
}

// resolve plays with a resolver of these URLs.
func resolve(t *testing.T, d *dns, play func(t *testing.T, r *Resolver, changes func() int), urls ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		changes := 0
		r := New(d.lookups(), func(State) { mu.Lock(); defer mu.Unlock(); changes++ }, func(Domain) {})
		r.Configure(urls, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { r.Run(ctx) })
		synctest.Wait()
		play(t, r, func() int { mu.Lock(); defer mu.Unlock(); return changes })
		cancel()
		all.Wait()
	})
}

func urlsOf(s State) (urls []string) {
	for _, server := range s.Servers {
		urls = append(urls, server.URL)
	}
	return urls
}

func TestResolver_AddressesOfANameAreEqualServersOfThatName(t *testing.T) {
	t.Parallel()
	d := &dns{addresses: map[string][]string{"ldap.example.org": {"192.0.2.2", "2001:db8::1", "192.0.2.1"}}}
	resolve(t, d, func(t *testing.T, r *Resolver, _ func() int) {
		t.Helper()
		s := r.State()
		require.False(t, s.Pending)
		require.Equal(t, []string{
			"ldaps://first.example.org", "ldaps://ldap.example.org:1636 (192.0.2.1)", "ldaps://ldap.example.org:1636 (192.0.2.2)",
			"ldaps://ldap.example.org:1636 (2001:db8::1)", "ldap://192.0.2.9",
		}, urlsOf(s))
		require.Equal(t, ldapconn.Endpoint{Network: "tcp", Address: "[2001:db8::1]:1636", Name: "ldap.example.org", Security: ldapconn.TLS}, s.Servers[3].Endpoint)
		for i, tier := range []int{0, 1, 1, 1, 2} {
			require.Equal(t, tier, s.Servers[i].Tier)
		}
	}, "ldaps://first.example.org", "ldaps://ldap.example.org:1636", "ldap://192.0.2.9")
}

func TestResolver_AnotherOrderOfAddressesChangesNothing(t *testing.T) {
	t.Parallel()
	d := &dns{addresses: map[string][]string{"one": {"192.0.2.1", "192.0.2.2"}}}
	resolve(t, d, func(t *testing.T, r *Resolver, changes func() int) {
		t.Helper()
		before, first := changes(), r.State()
		d.set(func() { d.addresses["one"] = []string{"192.0.2.2", "192.0.2.1"} })
		time.Sleep(2 * Interval)
		require.Equal(t, before, changes())
		require.Equal(t, first, r.State())
		d.set(func() { d.addresses["one"] = []string{"192.0.2.2", "192.0.2.3"} })
		time.Sleep(2 * Interval)
		require.Equal(t, before+1, changes())
		require.Equal(t, []string{"ldap://one (192.0.2.2)", "ldap://one (192.0.2.3)"}, urlsOf(r.State()))
	}, "ldap://one")
}

func TestResolver_ALookupThatFailsOrFindsNothingChangesNothing(t *testing.T) {
	t.Parallel()
	d := &dns{addresses: map[string][]string{"one": {"192.0.2.1", "192.0.2.2"}}}
	resolve(t, d, func(t *testing.T, r *Resolver, changes func() int) {
		t.Helper()
		before := changes()
		d.set(func() { d.err = errors.New("SERVFAIL") })
		time.Sleep(2 * Interval)
		d.set(func() { d.err, d.addresses = nil, nil })
		time.Sleep(2 * Interval)
		require.Equal(t, before, changes())
		require.Len(t, r.State().Servers, 2)
	}, "ldap://one")
}

func TestResolver_ANameThatCannotBeResolvedIsDialedByName(t *testing.T) {
	t.Parallel()
	d := &dns{err: errors.New("no such host")}
	resolve(t, d, func(t *testing.T, r *Resolver, _ func() int) {
		t.Helper()
		s := r.State()
		require.False(t, s.Pending)
		require.Equal(t, []string{"ldap://one", "ldap://localhost"}, urlsOf(s))
		require.Equal(t, "one:389", s.Servers[0].Endpoint.Address)
	}, "ldap://one", "ldap://localhost")
}

func TestResolver_TheServersOfADomainAreTiersAndTheirAddressesEquals(t *testing.T) {
	t.Parallel()
	d := &dns{
		records:   []*net.SRV{{Target: "a.", Port: 389}, {Target: "b.", Port: 1389, Priority: 1}},
		addresses: map[string][]string{"a": {"192.0.2.1"}, "b": {"192.0.2.2", "192.0.2.3"}},
	}
	resolve(t, d, func(t *testing.T, r *Resolver, _ func() int) {
		t.Helper()
		s := r.State()
		require.Equal(t, []string{"ldap://a:389", "ldap://b:1389 (192.0.2.2)", "ldap://b:1389 (192.0.2.3)"}, urlsOf(s))
		require.Equal(t, 0, s.Servers[0].Tier)
		require.Equal(t, 1, s.Servers[1].Tier)
		require.Equal(t, 1, s.Servers[2].Tier)
		require.Equal(t, 2, s.Domains[0].Known)
	}, "ldap+srv://example.org")
}
