package ldappool

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/internal/discovery"

	"github.com/stretchr/testify/require"
)

// sixSlapds is one name with six addresses: behind four of them is a slapd each, one accepts
// connections and says nothing, and one drops what is sent to it.
type sixSlapds struct {
	*Pool
	slapds map[string]*ldaptest.Slapd // by address
}

func startSix(t *testing.T, rotating bool) sixSlapds {
	t.Helper()
	six := sixSlapds{slapds: map[string]*ldaptest.Slapd{}}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	var addresses []netip.Addr
	for i := range 6 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		addresses = append(addresses, a)
		if i >= 2 { // the silent ones are the first
			six.slapds[a.String()] = ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
		}
	}
	var mu sync.Mutex
	lookUp := func(context.Context, string) ([]netip.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		if rotating {
			addresses = append(addresses[1:], addresses[0])
		}
		return slices.Clone(addresses), nil
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		target := silent.Addr().String()
		if s := six.slapds[host]; s != nil {
			target = s.Addr()
		} else if host == "192.0.2.2" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, network, target)
	}
	p, err := newPool(Config{
		Servers: []string{"ldap://ldap.example.org"}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, Dial: dial,
	}, discovery.Lookups{Host: lookUp})
	require.NoError(t, err)
	t.Cleanup(func() { closePool(t, p) })
	six.Pool = p
	return six
}

// busiest is the slapd that has most connections.
func (six sixSlapds) busiest() *ldaptest.Slapd {
	servers := six.Stat().Servers
	most := slices.MaxFunc(servers, func(a, b ServerStat) int { return a.Conns - b.Conns })
	for address, s := range six.slapds {
		if most.URL == fmt.Sprintf("ldap://ldap.example.org (%s)", address) {
			return s
		}
	}
	return nil
}

// TestSlapd_AddressesThatAreSilentOrDieLoseNoLogin does 200 logins a second: with two of six
// addresses silent from the start, while the slapd in use is killed, and while the next one is
// stopped. Only what is under way at a stopped server may be lost.
func TestSlapd_AddressesThatAreSilentOrDieLoseNoLogin(t *testing.T) {
	t.Parallel()
	for name, rotating := range map[string]bool{"fixed order": false, "rotating order": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			six := startSix(t, rotating)
			run := func(what string, most int) {
				t.Helper()
				lost, longest := logIns(six.Pool, 3)
				t.Logf("%s: %d of 600 logins lost, the slowest took %v", what, lost, longest.Round(time.Millisecond))
				require.LessOrEqual(t, lost, most, what)
			}
			run("two of six silent", 0)
			killed := six.busiest()
			require.NotNil(t, killed, "%+v", six.Stat().Servers)
			time.AfterFunc(time.Second, killed.Kill)
			run("the one in use killed", 1) // a bind on a connection that nobody had used is not sent again
			run("afterwards", 0)
			stopped := six.busiest()
			require.NotNil(t, stopped, "%+v", six.Stat().Servers)
			time.AfterFunc(time.Second, stopped.Pause)
			run("the next one stopped", six.Stat().MaxConns)
			run("afterwards", 0)
			stopped.Resume()
		})
	}
}
