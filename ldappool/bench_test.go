package ldappool

import (
	"authsvc/ldappool/internal/core"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// benchCallers are the numbers of callers at one time that are measured.
var benchCallers = []int{1, 16, 64}

// share runs callers that do b.N operations between them. each makes the work of one.
func share(b *testing.B, callers int, each func() (do func() error)) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	work := []func() error{}
	for range callers {
		work = append(work, each())
	}
	b.ReportAllocs()
	b.ResetTimer()
	var all sync.WaitGroup
	for _, do := range work {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
}

// benchPool is a pool of as many connections for binds as there are callers, all of them open.
func benchPool(b *testing.B, server string, callers int) *Pool {
	b.Helper()
	p := pooled(b, Config{Servers: []string{server}, BindOnly: true, MaxConns: 2 * callers, MinIdleConns: callers, MaxWaiters: callers})
	until(b, p, "the connections", func(s *Stat) bool { return s.Bind.Idle >= callers })
	return p
}

// BenchmarkBorrowAndReturn is what the pool itself costs: taking a connection and giving it back,
// nothing sent.
func BenchmarkBorrowAndReturn(b *testing.B) {
	server := ldaptest.NewServer(b, nil)
	for _, callers := range benchCallers {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			p := benchPool(b, server.URL(), callers)
			share(b, callers, func() func() error {
				return func() error {
					now := time.Now()
					c, _, err := p.acquire(context.Background(), "bind", &core.Request{Lane: core.Bind, Began: now, Deadline: now.Add(time.Second)})
					if err == nil {
						p.update(func(now time.Time) { p.core.Released(now, c.core, core.Outcome{Answered: true}) })
					}
					return err
				}
			})
		})
	}
}

// BenchmarkPoolBind is a user's bind through the pool, against slapd.
func BenchmarkPoolBind(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: 2})
	for _, callers := range benchCallers {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			p := benchPool(b, slapd.URL(), callers)
			share(b, callers, func() func() error {
				return func() error {
					_, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
					return err
				}
			})
		})
	}
}

// BenchmarkBareBind is the same with a connection of go-ldap's for each caller and nothing around
// it: the floor.
func BenchmarkBareBind(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: 2})
	for _, callers := range benchCallers {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			share(b, callers, func() func() error {
				c, err := ldap.DialURL(slapd.URL())
				require.NoError(b, err)
				b.Cleanup(func() { _ = c.Close() })
				return func() error { return c.Bind(ldaptest.UserDN(1), ldaptest.Password(1)) }
			})
		})
	}
}
