package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"authsvc/internal/auth"
)

// limits compares the directory's limit on connections with ours.
func (s *patient) limits(ctx context.Context) finding {
	most, where := s.maxConnections(ctx)
	ours := max(s.Pool.MaxConns, 1)
	switch {
	case where == "":
		return unseen("the directory does not tell its limit on connections; ours is LDAP_POOL_MAX_CONNS=%d for each instance", ours)
	case int64(ours) > most:
		return unwise(fmt.Sprintf("set LDAP_POOL_MAX_CONNS=%d or less for all instances together, or a higher limit in the directory", most/2),
			"the directory takes %d connections (%s), and LDAP_POOL_MAX_CONNS is %d", most, where, ours)
	}
	return well("the directory takes %d connections (%s), one instance opens %d at the most", most, where, ours)
}

// maxConnections reads the limit where a directory shows it.
func (s *patient) maxConnections(ctx context.Context) (most int64, where string) {
	if s.Logins.Preset == auth.AD {
		return s.queryPolicy(ctx)
	}
	for _, place := range []struct{ dn, attribute string }{
		{"cn=Max File Descriptors,cn=Connections,cn=Monitor", "monitorCounter"}, // OpenLDAP
		{"cn=monitor", "dTableSize"}, // 389 DS: the size of its table of connections
	} {
		e := s.read(ctx, place.dn, place.attribute)
		if e == nil {
			continue
		}
		if n, ok := number(e, place.attribute); ok && n > 0 {
			return n, place.attribute + " of " + place.dn
		}
	}
	return 0, ""
}

// queryPolicy reads Active Directory's (MS-ADTS 3.1.1.3.4.6).
func (s *patient) queryPolicy(ctx context.Context) (most int64, where string) {
	e := s.read(ctx, "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services,"+s.first("configurationnamingcontext"), "lDAPAdminLimits")
	if e == nil {
		return 0, ""
	}
	for _, v := range e.GetEqualFoldAttributeValues("lDAPAdminLimits") {
		if value, ok := strings.CutPrefix(v, "MaxConnections="); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil {
				return n, "MaxConnections of its query policy"
			}
		}
	}
	return 0, ""
}
