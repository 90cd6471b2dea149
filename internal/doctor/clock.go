package doctor

import (
	"context"
	"time"
)

// generalizedTime is the syntax of the directories' times (RFC 4517 section 3.3.13), with seconds and in UTC; it takes fractions too.
const generalizedTime = "20060102150405Z"

// clock compares the server's clock with this machine's, where it tells.
func (s *patient) clock(ctx context.Context) finding {
	const much = time.Minute
	at, where := s.time(ctx)
	if where == "" {
		return unseen("the server does not tell its time. OpenLDAP does where it has a monitor (\"database monitor\") that the service identity may read")
	}
	diff := time.Until(at).Round(time.Second)
	if diff.Abs() > much {
		way := "ahead of"
		if diff < 0 {
			way = "behind"
		}
		return unwise("have both machines follow a time server (NTP)", "the server's clock is %v %s ours (%s): when passwords and accounts expire is judged wrongly", diff.Abs(), way, where)
	}
	return well("the server's and ours agree within %v (%s)", diff.Abs()+time.Second, where)
}

// time is the server's, and where it tells it: Active Directory to everybody, OpenLDAP in its monitor, 389 DS in one of that name.
func (s *patient) time(ctx context.Context) (at time.Time, where string) {
	if at, err := time.Parse(generalizedTime, s.first("currenttime")); err == nil {
		return at, "currentTime of the root DSE"
	}
	for _, place := range []struct{ dn, attribute string }{
		{"cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"},
		{"cn=monitor", "currentTime"},
	} {
		e := s.read(ctx, place.dn, place.attribute)
		if e == nil {
			continue
		}
		if at, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue(place.attribute)); err == nil {
			return at, place.dn
		}
	}
	return time.Time{}, ""
}
