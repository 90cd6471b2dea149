package ldappool

import (
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestDS389_InTheReferralStateItGivesWayToTheSecondServer: so it is during a total
// re-initialization. It answers searches and binds with referral (10), those of the service
// identity too.
func TestDS389_InTheReferralStateItGivesWayToTheSecondServer(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.StartDS389(t), ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	for i := range 2 {
		first.Add(ldaptest.UserDN(i), map[string][]string{
			"objectClass": {"inetOrgPerson"}, "uid": {ldaptest.Username(i)}, "cn": {ldaptest.Username(i)}, "sn": {"x"}, "userPassword": {ldaptest.Password(i)},
		})
	}
	const mappingTree = `cn="` + ldaptest.BaseDN + `",cn=mapping tree,cn=config`
	// Before the state: 389 DS takes one change of both in any order, and hangs now and then where
	// the state comes first.
	first.Modify(mappingTree, map[string][]string{"nsslapd-referral": {"ldap://127.0.0.1:1/" + ldaptest.BaseDN}})
	state := func(state string) {
		t.Helper()
		first.Modify(mappingTree, map[string][]string{"nsslapd-state": {state}})
	}
	both := func(c *Config) {
		c.Servers = []string{first.URL(), second.URL()}
		c.HealthCheckInterval = time.Second // the pace of the way back
	}
	served := func(p *Pool, by string) {
		t.Helper()
		until(t, p, "logins are served by "+by, func(*Stat) bool {
			return mustSearch(t, p).Server == by && mustBind(t, p).Server == by
		})
	}

	warm := slapdPool(t, second, both)
	served(warm, first.URL())
	state("referral")
	for range 200 {
		require.True(t, loginSucceeds(warm))
	}
	served(warm, second.URL())

	cold := slapdPool(t, second, both)
	for range 200 {
		require.True(t, loginSucceeds(cold))
	}

	state("backend")
	served(warm, first.URL())
	served(cold, first.URL())
}
