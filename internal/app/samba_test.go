package app

import (
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

// TestActiveDirectory_ServedWithThePresetAlone has nothing set but where the domain is,
// and a group: over ldaps.
func TestActiveDirectory_ServedWithThePresetAlone(t *testing.T) {
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	member := s.AddUser("member", "member-secret")
	s.AddUser("guest1", "guest-secret")
	inner := s.AddGroup("inner", member)
	s.AddGroup("outer", inner)
	r := start(t, s.TLSURL(), "LDAP_PRESET=ad", "LDAP_CA_FILE="+s.CA().File(),
		"LDAP_BASE_DN="+ldaptest.SambaBaseDN, "LDAP_BIND_DN=service@"+ldaptest.SambaDNSName, "LDAP_BIND_PASSWORD="+ldaptest.SambaServicePassword,
		"LDAP_REQUIRED_GROUPS=nonsense;OUTER", "LDAP_POOL_MIN_IDLE_CONNS=1")
	r.ready(t)
	for _, c := range []struct {
		username, password string
		http               int
		has                string
	}{
		{"member", "member-secret", 200, `"groups":["Domain Users","Users","inner","outer"]`},
		{`AD\\member`, "member-secret", 200, `"username":"member"`},
		{"MEMBER@ad.example.org", "member-secret", 200, `"username":"member"`},
		{"member", "wrong", 401, `"status":2,`},
		{`OTHER\\member`, "member-secret", 401, `"status":1,`},
		{"guest1", "guest-secret", 403, `"status":8,`},
		{"guest1", "wrong", 401, `"status":2,`},
		{"nobody", "wrong", 401, `"status":1,`},
	} {
		status, body := r.login(t, c.username, c.password)
		assert.Equal(t, c.http, status, "%s: %s", c.username, body)
		assert.Contains(t, body, c.has, c.username)
	}
}
