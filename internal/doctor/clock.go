package doctor

import (
	"context"
	"time"

	"authsvc/internal/dialect"
)

// checkClock compares the server's clock with this machine's, if the server shows its time.
func (s *target) checkClock(ctx context.Context) finding {
	const maxSkew = time.Minute
	at, where := dialect.ServerTime(ctx, reader{s})
	if where == "" {
		return skip("the server does not report its time. OpenLDAP reports it if it has a monitor (\"database monitor\") that the service identity may read")
	}
	diff := time.Until(at).Round(time.Second)
	if diff.Abs() > maxSkew {
		way := "ahead of"
		if diff < 0 {
			way = "behind"
		}
		return warn("synchronize both machines with a time server (NTP)", "the server's clock is %v %s this machine's (%s): the expiry of passwords and accounts is judged at the wrong time", diff.Abs(), way, where)
	}
	return pass("the server's clock and this machine's agree within %v (%s)", diff.Abs()+time.Second, where)
}
