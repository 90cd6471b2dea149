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
		return skip("the directory does not report its limit on connections; each instance opens up to LDAP_POOL_MAX_CONNS=%d", ours)
	case int64(ours) > most:
		return warn(fmt.Sprintf("set LDAP_POOL_MAX_CONNS so that all instances together open at most %d, or raise the limit in the directory", most/2),
			"the directory accepts %d connections (%s), and LDAP_POOL_MAX_CONNS is %d", most, where, ours)
	}
	return pass("the directory accepts %d connections (%s); one instance opens at most %d", most, where, ours)
}
