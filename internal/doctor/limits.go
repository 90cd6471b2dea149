package doctor

import (
	"context"
	"fmt"
)

// checkLimits compares the directory's limit of connections with LDAP_POOL_MAX_CONNS.
func (s *target) checkLimits(ctx context.Context) finding {
	most, where := s.Logins.Dialect.MaxConnections(ctx, reader{s})
	ours := max(s.Pool.MaxConns, 1)
	switch {
	case where == "":
		return skip("the directory does not tell its limit on connections; ours is LDAP_POOL_MAX_CONNS=%d for each instance", ours)
	case int64(ours) > most:
		return warn(fmt.Sprintf("set LDAP_POOL_MAX_CONNS=%d or less for all instances together, or a higher limit in the directory", most/2),
			"the directory takes %d connections (%s), and LDAP_POOL_MAX_CONNS is %d", most, where, ours)
	}
	return pass("the directory takes %d connections (%s), one instance opens %d at the most", most, where, ours)
}
