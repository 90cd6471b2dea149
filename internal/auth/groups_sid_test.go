package auth_test

import (
	"slices"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestRequiredGroup_IsComparedByTheReportedName: where that is objectSid, by its text.
func TestRequiredGroup_IsComparedByTheReportedName(t *testing.T) {
	t.Parallel()
	const sid = "\x01\x02\x00\x00\x00\x00\x00\x05\x20\x00\x00\x00\x20\x02\x00\x00"
	token := answersGroup("tokenGroups", 0, map[string][]string{"tokenGroups": {sid}})
	s, _ := newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
		if req.Op == ldaptest.OpSearch && slices.Contains(req.Attributes, "objectSid") {
			c.ReplySearch(req, ldap.LDAPResultSuccess, ldaptest.Entry{DN: "CN=Administrators,CN=Builtin," + ldaptest.BaseDN,
				Attributes: map[string][]string{"objectSid": {sid}}})
			return true
		}
		return token(c, req)
	})
	p := newPool(t, s.URL())
	for required, want := range map[string]auth.Outcome{
		"S-1-5-32-544": auth.OK, "s-1-5-32-544": auth.OK, "S-1-5-32-545": auth.NotPermitted, "S-1-5-32-54": auth.NotPermitted, sid: auth.NotPermitted,
	} {
		cfg := inGroups(required)
		cfg.Dialect, cfg.Groups.Filter, cfg.Groups.NameAttribute = named("ad"), "", "objectSid"
		r := authenticate(t, cfg, p, "user0", "password0")
		requireOutcome(t, want, r)
		if want == auth.OK {
			require.Equal(t, []string{"S-1-5-32-544"}, r.User.Groups)
		}
	}
}
