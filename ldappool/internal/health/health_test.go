package health

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errFault = errors.New("fault")

// start is when everything begins.
var start = time.Unix(1e9, 0)

func at(d time.Duration) time.Time { return start.Add(d) }

func newServer() Server {
	return NewServer(start, func(d time.Duration) time.Duration { return d })
}

func usable() Server {
	s := newServer()
	s.ProbeSucceeded(start)
	return s
}

func TestServer_BeginsSuspectWithAProbeDue(t *testing.T) {
	t.Parallel()
	s := newServer()
	require.Equal(t, Suspect, s.State)
	require.Equal(t, ProbeDue, s.Probe)
	s.ProbeStarted()
	s.ProbeSucceeded(at(time.Second))
	require.Equal(t, Usable, s.State)
	require.Equal(t, at(time.Second), s.Since)
	require.True(t, s.NextTick().IsZero(), "a usable server is not probed")
}

func TestServer_AFaultIsSettledByOneProbeAtOnceButNotTwiceInAMoment(t *testing.T) {
	t.Parallel()
	s := usable()
	s.Fault(at(time.Second), "dial", errFault, false)
	require.Equal(t, Suspect, s.State)
	require.Equal(t, ProbeDue, s.Probe)
	s.Fault(at(time.Second), "dial", errFault, false)
	require.Equal(t, ProbeDue, s.Probe, "it is suspect already")
	s.ProbeSucceeded(at(time.Second))
	s.Fault(at(time.Second+ProbeMin/2), "dial", errFault, false)
	require.Equal(t, ProbeWaiting, s.Probe)
	require.Equal(t, at(time.Second+ProbeMin/2+ProbeMin), s.NextTick())
	s.Tick(s.NextTick())
	require.Equal(t, ProbeDue, s.Probe)
}

func TestServer_ProbesFollowATenthOfTheOutageWithinBounds(t *testing.T) {
	t.Parallel()
	for failing, want := range map[time.Duration]time.Duration{
		0: ProbeMin, 2 * time.Second: 200 * time.Millisecond, 5 * time.Second: 500 * time.Millisecond, time.Hour: ProbeMax,
	} {
		s := newServer()
		s.ProbeFailed(start, "probe", errFault, false, false)
		now := at(failing)
		s.ProbeFailed(now, "probe", errFault, false, false)
		require.Equal(t, Down, s.State)
		require.Equal(t, start, s.Since, "it has been down since then")
		require.Equal(t, now.Add(want), s.NextTick(), "failing for %v", failing)
	}
}

func TestServer_ThatStillServesItsConnectionsStaysSuspect(t *testing.T) {
	t.Parallel()
	s := usable()
	s.Fault(start, "dial", errFault, false)
	s.ProbeFailed(at(time.Second), "probe", errFault, true, false)
	require.Equal(t, Suspect, s.State)
	s.ProbeFailed(at(2*time.Second), "probe", errFault, false, false)
	require.Equal(t, Down, s.State)
}

func TestServer_RefusalsAreTriedEverMoreRarely(t *testing.T) {
	t.Parallel()
	s := usable()
	now := start
	s.Fault(now, "dial", errFault, true)
	require.True(t, s.Refused())
	for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		require.Equal(t, now.Add(want), s.NextTick())
		now = now.Add(want)
		s.ProbeFailed(now, "probe", errFault, true, true)
	}
	require.True(t, s.Refused())
	s.Fault(now, "dial", errFault, false)
	require.False(t, s.Refused(), "something else failed")
	s.ForgetRefusals()
	require.Zero(t, s.Refusals())
}

func TestServer_PostponedProbeProvesNothing(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.ProbeStarted()
	s.ProbePostponed(at(time.Second))
	require.Equal(t, Suspect, s.State)
	require.True(t, s.Postponed)
	require.Equal(t, at(time.Second+ProbeMin), s.NextTick())
	s.ProbeNow(at(time.Second))
	require.Equal(t, ProbeDue, s.Probe)
}

func TestBreaker_OpensWhenHalfOfAtLeastFiveFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		results string // x: failed
		opens   bool
	}{
		{"four failures", "xxxx", false},
		{"five failures", "xxxxx", true},
		{"half of ten", ".....xxxxx", true},
		{"less than half", "......xxxxx", false},
		{"the window forgets", "..........xxxxxxxxxx", true},
	} {
		var b Breaker
		opens := false
		for i, r := range c.results {
			failures, _ := b.Record(at(time.Duration(i)*time.Millisecond), r == 'x')
			opens = failures > 0
		}
		require.Equal(t, c.opens, opens, c.name)
	}
}

func TestBreaker_ForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	var b Breaker
	for range 4 {
		b.Record(start, true)
	}
	require.True(t, b.Failing(at(BreakerSpan-1)))
	require.False(t, b.Failing(at(BreakerSpan)))
	failures, _ := b.Record(at(BreakerSpan), true)
	require.Zero(t, failures)
}

func TestServer_ABreakerThatOpensAgainSoonTakesItDownForLonger(t *testing.T) {
	t.Parallel()
	s := usable()
	now := at(time.Hour)
	s.Trip(now, "search", errFault)
	require.Equal(t, Suspect, s.State)
	require.True(t, s.Breaker.Open)
	require.Equal(t, now.Add(ProbeMin), s.NextTick())
	pause := ProbeMin
	for range 12 {
		s.ProbeSucceeded(now)
		require.False(t, s.Breaker.Open)
		failures, _ := s.Breaker.Record(now, true)
		require.Equal(t, 1, failures, "soon after it was closed one failure is enough")
		s.Trip(now, "search", errFault)
		pause = min(2*pause, BreakerMaxPause)
		require.Equal(t, Down, s.State)
		require.Equal(t, now.Add(pause), s.NextTick())
	}
	s.ProbeSucceeded(now)
	now = now.Add(2 * time.Minute)
	s.Trip(now, "search", errFault)
	require.Equal(t, now.Add(ProbeMin), s.NextTick(), "it was well for long enough")
}
