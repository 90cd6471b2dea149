package doctor

import (
	"context"
	"time"

	"authsvc/internal/sharedthrottle"
)

// checkShared looks at the server in which several instances count failures together. Logins work
// without it, but then each instance counts alone.
func (d *doctor) checkShared(ctx context.Context) finding {
	const timeLimit = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	server := d.Shared.Server
	found := sharedthrottle.Inspect(ctx, *d.Shared)
	const remedy = "set maxmemory-policy to noeviction, or give the counts a server of their own: docs/shared-throttle.md"
	switch {
	case found.Err != nil:
		return fail("see docs/shared-throttle.md; until it works, each instance counts alone and the limits are as many times as wide as there are instances",
			"%s cannot be used: %v", server, found.Err)
	case found.Policy == "":
		f := pass("%s runs both scripts and writes, in %v", server, found.Took.Round(10*time.Microsecond))
		f.Details = []string{"its eviction policy cannot be read: allow the user +info, or check that maxmemory-policy is noeviction"}
		return f
	case found.Evicts():
		return warn(remedy, "%s works, but when its memory is full it removes counts (maxmemory-policy %s), so that exhausted accounts are free", server, found.Policy)
	}
	return pass("%s runs both scripts and writes, in %v; maxmemory-policy %s", server, found.Took.Round(10*time.Microsecond), found.Policy)
}
