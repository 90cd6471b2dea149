package doctor

// spareDescriptors are for listeners, files, logs and whatever else.
const spareDescriptors = 64

// descriptors compares the limit on open files with what the configuration can need.
func (d *doctor) descriptors() finding {
	limit, ok := descriptorLimit()
	if !ok {
		return unseen("this system tells no limit")
	}
	callers := max(d.Pool.MaxWaiters, 0) + d.Pool.MaxConns       // each login that waits or is under way has a connection of its caller's
	need := uint64(callers + d.Pool.MaxConns + spareDescriptors) //nolint:gosec // both are small and positive
	if limit < need {
		return unwise("raise the limit where the service runs (LimitNOFILE= in systemd, ulimits in Compose), or lower LDAP_POOL_MAX_WAITERS",
			"%d files may be open here, and %d can be needed: %d connections to the directory, %d callers' and some more", limit, need, d.Pool.MaxConns, callers)
	}
	return well("%d files may be open here, %d can be needed", limit, need)
}
