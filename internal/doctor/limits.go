package doctor

import (
	"context"
	"fmt"
)

// checkLimits compares the directory's limit of connections with LDAP_POOL_MAX_CONNS, of one
// instance or of all replicas. After a failover an instance has all its connections to one server.
func (s *target) checkLimits(ctx context.Context) finding {
	most, where := s.Logins.Dialect.MaxConnections(ctx, reader{s})
	ours := int64(max(s.Pool.MaxConns, 1))
	if s.Replicas > 0 {
		return s.checkReplicas(ctx, ours, most, where)
	}
	switch {
	case where == "":
		return skip("the directory does not report its limit on connections; each instance opens up to LDAP_POOL_MAX_CONNS=%d", ours)
	case ours > most:
		return warn(fmt.Sprintf("set LDAP_POOL_MAX_CONNS so that all instances together open at most %d, or raise the limit in the directory", most/2),
			"the directory accepts %d connections (%s), and LDAP_POOL_MAX_CONNS is %d", most, where, ours)
	}
	return pass("the directory accepts %d connections (%s); one instance opens at most %d", most, where, ours)
}

// checkReplicas compares the limit with what all replicas open, and with the connections that are
// open now. Some of these may be of replicas that run already: the directory does not show that.
func (s *target) checkReplicas(ctx context.Context, ours, most int64, where string) finding {
	replicas := int64(s.Replicas)
	all := fmt.Sprintf("all replicas (%d) open up to %d connections at this server (LDAP_POOL_MAX_CONNS=%d each)", replicas, replicas*ours, ours)
	if where == "" {
		return skip("the directory does not report its limit on connections; %s", all)
	}
	open, known := s.Logins.Dialect.OpenConnections(ctx, reader{s})
	others := max(open-1, 0) // without the one that asks
	var details []string
	if known {
		details = []string{fmt.Sprintf("open now: %d, without this check's own; those of replicas that run already are included", others)}
	} else {
		details = []string{"the directory does not report how many connections are open now"}
	}
	var f finding
	switch room := most - others; {
	case replicas*ours > most:
		f = warn(replicasRemedy(replicas, max(room, 0), s.leastConns()), "the directory accepts %d connections (%s), and %s", most, where, all)
	case replicas*ours > room:
		f = warn("if these are not of replicas that run already: "+replicasRemedy(replicas, max(room, 0), s.leastConns()),
			"the directory accepts %d connections (%s) and has %d open now, and %s", most, where, others, all)
	default:
		f = pass("the directory accepts %d connections (%s); %s", most, where, all)
	}
	f.Details = details
	return f
}

// leastConns is the smallest LDAP_POOL_MAX_CONNS.
func (d *doctor) leastConns() int64 {
	if d.Pool.BindOnly {
		return 1
	}
	return 2
}

// replicasRemedy says how so many replicas fit into the room for connections.
func replicasRemedy(replicas, room, least int64) string {
	const raise = "raise the limit in the directory"
	switch each := room / replicas; {
	case each >= least:
		return fmt.Sprintf("set LDAP_POOL_MAX_CONNS to at most %d, run fewer replicas, or %s", each, raise)
	case room >= least:
		return fmt.Sprintf("run at most %d replicas with LDAP_POOL_MAX_CONNS=%d each, or %s", room/least, least, raise)
	}
	return raise
}
