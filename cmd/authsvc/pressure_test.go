package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

func TestOverload_FiveHundredLoginsAreAnsweredOrRejectedAsOverload(t *testing.T) {
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	far := ldaptest.NewProxy(t, slapd.Addr())
	far.SetFaults(ldaptest.Faults{Delay: 10 * time.Millisecond}) // each way
	for _, conns := range []int{2, 3, 4} {
		t.Run(fmt.Sprint("LDAP_POOL_MAX_CONNS=", conns), func(t *testing.T) {
			p := startProgram(t, far.URL(), fmt.Sprint("LDAP_POOL_MAX_CONNS=", conns))
			p.ready(t)
			c := client(t)
			answers := make([]answer, 500)
			var all sync.WaitGroup
			for n := range answers {
				all.Go(func() { answers[n] = ask(c, p.url, n) })
			}
			all.Wait()
			figures(t, fmt.Sprintf("500 at one time, %d connections", conns), answers)
			for _, a := range answers {
				if a.status != a.want {
					assert.Equal(t, 12, a.status, "neither the verdict nor overloaded")
					assert.NotEmpty(t, a.retryAfter)
				}
				// A search and a bind wait for MaxWait each at most; a loaded machine is given some
				// more.
				assert.Less(t, a.took, 8*time.Second)
			}
			assert.Zero(t, p.end(t))
		})
	}
}
