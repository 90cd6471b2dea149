package ldappool

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// refuseService gives the service identity another password in the directory.
func (h *host) refuseService() {
	h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = "another" })
}

func TestServicePassword_RejectedOneIsTriedWithBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuseService()
		p := m.start(t)
		for range 3 * 60 * 4 {
			time.Sleep(15 * time.Second)
			_, err := p.Search(t.Context(), people())
			requireUnavailable(t, err, "ldap://one")
			require.ErrorContains(t, err, "the service identity was refused")
			_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			requireUnavailable(t, err, "ldap://one")
		}
		binds := h.bindsOf(ldaptest.ServiceDN)
		want := refusalPause
		for i := 1; i < len(binds); i++ {
			require.Equal(t, want, binds[i].at.Sub(binds[i-1].at), "try %d", i)
			want = min(2*want, refusalLatest)
		}
		require.InDelta(t, 5+11, len(binds), 1)
	})
}

func TestServicePassword_CorrectedOneIsFoundByTheNextTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		h.refuseService()
		p := m.start(t)
		time.Sleep(40 * time.Second)
		h.set(func(h *host) { h.passwords[ldaptest.ServiceDN] = ldaptest.ServicePassword })
		time.Sleep(55 * time.Second) // tries at 0, 30 and 90 s
		mustSearch(t, p)
		// The pace starts over.
		before := len(h.bindsOf(ldaptest.ServiceDN))
		h.refuseService()
		h.abortAll()
		time.Sleep(45 * time.Second)
		require.Len(t, h.bindsOf(ldaptest.ServiceDN)[before:], 2)
	})
}

func TestServicePassword_ChangeKeepsOpenConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		h := m.hosts["one"]
		p := m.start(t, sizes(8, 2))
		time.Sleep(5 * time.Second)
		h.refuseService()
		refusedBefore := len(h.bindsOf(ldaptest.ServiceDN))
		// More callers than connections: the pool dials, and is refused.
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for range 20 {
					if _, err := p.Search(context.Background(), people()); err != nil {
						t.Error(err)
					}
					if _, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		callers.Wait()
		for range 20 {
			time.Sleep(time.Second)
			mustSearch(t, p)
			mustBind(t, p)
		}
		require.Equal(t, ServerSuspect, h.state(p))
		require.Len(t, h.bindsOf(ldaptest.ServiceDN)[refusedBefore:], 1, "one refused bind in 30 s, or the account is locked")
		require.ErrorContains(t, p.Stat().Servers[0].LastErr, "the service identity was refused")
	})
}

func TestServicePassword_BusyAnswerIsProbedSoon(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultStrongAuthRequired} {
		t.Run(ldap.LDAPResultCodeMap[code], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
				h := m.hosts["one"]
				h.on(func(p *peer, r *request) bool {
					if r.dn != ldaptest.ServiceDN {
						return false
					}
					p.write(ldaptest.BindResponse(r.id, code, "not now"))
					return true
				})
				p := m.start(t)
				synctest.Wait()
				_, err := p.Search(t.Context(), people())
				requireUnavailable(t, err, "ldap://one")
				require.ErrorContains(t, err, "not now")
				time.Sleep(5 * time.Second)
				h.on(nil)
				time.Sleep(probeLatest)
				mustSearch(t, p)
			})
		})
	}
}
