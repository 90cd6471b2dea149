package doctor

import "authsvc/internal/sysres"

// checkDescriptors compares the limit of open files with the number that the configuration can
// need.
func (d *doctor) checkDescriptors() finding {
	limit, ok := sysres.FileLimit()
	if !ok {
		return skip("this system does not report a limit")
	}
	callers := max(d.Pool.MaxWaiters, 0) + d.Pool.MaxConns // each waiting or running login has a connection of its caller
	need := sysres.FilesNeeded(d.Pool.MaxConns, d.Pool.MaxWaiters)
	if limit < need {
		return warn("raise the service's limit (LimitNOFILE= in systemd, ulimits in Compose), or lower LDAP_POOL_MAX_WAITERS",
			"the limit is %d open files, and the settings can need %d: %d connections to the directory, %d callers' connections and some more", limit, need, d.Pool.MaxConns, callers)
	}
	return pass("the limit is %d open files; the settings can need %d", limit, need)
}
