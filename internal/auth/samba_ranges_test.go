package auth_test

import (
	"context"
	"slices"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestRanges_OfARealSamba: Samba sends all values where it is not asked for a range, and it
// understands ranges.
func TestRanges_OfARealSamba(t *testing.T) {
	t.Parallel()
	const many = 1600
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	dn := s.AddUser("alice", "alice-secret", "otherTelephone", "1")
	s.Modify(dn, "otherTelephone", numbered("+41 ", many)...)
	s.Modify(dn, "mS-DS-ConsistencyGuid", "0123456789abcdef")
	p := newADPool(t, s)
	cfg := byAD()
	cfg.Attributes = []string{"otherTelephone", "mS-DS-ConsistencyGuid:base64", "objectGUID:base64", "2.5.4.3"}
	r := authenticate(t, cfg, p, "alice", "alice-secret")
	requireOutcome(t, auth.OK, r)
	require.ElementsMatch(t, numbered("+41 ", many), r.User.Attributes["otherTelephone"])
	require.Equal(t, []string{base64Of("0123456789abcdef")}, r.User.Attributes["mS-DS-ConsistencyGuid"])
	require.Equal(t, []string{base64Of(s.Get(dn, "objectGUID")[0])}, r.User.Attributes["objectGUID"])
	require.Equal(t, []string{"alice"}, r.User.Attributes["2.5.4.3"])

	r = authenticate(t, cfg, sendsParts{p, "otherTelephone"}, "alice", "alice-secret")
	requireOutcome(t, auth.OK, r)
	require.ElementsMatch(t, numbered("+41 ", many), r.User.Attributes["otherTelephone"], "in parts")
}

// sendsParts makes a Samba send the first 1,500 values of an attribute, as Active Directory does of
// itself.
type sendsParts struct {
	auth.Directory
	attribute string
}

func (d sendsParts) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	asked := *req
	asked.Attributes = slices.Clone(req.Attributes)
	if i := slices.Index(asked.Attributes, d.attribute); i >= 0 {
		asked.Attributes[i] += ";range=0-1499"
	}
	return d.Directory.SearchWithFilter(ctx, &asked, filter)
}
