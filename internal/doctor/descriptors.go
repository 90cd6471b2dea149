package doctor

import "authsvc/internal/sysres"

// checkDescriptors compares the limit of open files with the number that the configuration can
// need.
func (d *doctor) checkDescriptors() finding {
	limit, ok := sysres.FileLimit()
	if !ok {
		return skip("this system tells no limit")
	}
	callers := max(d.Pool.MaxWaiters, 0) + d.Pool.MaxConns // each waiting or running login has a connection of its caller
	need := sysres.FilesNeeded(d.Pool.MaxConns, d.Pool.MaxWaiters)
	if limit < need {
		return warn("raise the limit where the service runs (LimitNOFILE= in systemd, ulimits in Compose), or lower LDAP_POOL_MAX_WAITERS",
			"%d files may be open here, and %d can be needed: %d connections to the directory, %d callers' and some more", limit, need, d.Pool.MaxConns, callers)
	}
	return pass("%d files may be open here, %d can be needed", limit, need)
}
