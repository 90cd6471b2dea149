package limits

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// observation is something that the watch of a server learns, some time after the beginning.
type observation func(w *Detector, begin time.Time)

// ended is a disconnect after so long idle.
func ended(at, idle time.Duration) observation {
	return func(w *Detector, begin time.Time) { w.Disconnected(begin.Add(at), idle, false) }
}

// wentSilent is a ping without an answer after so long idle.
func wentSilent(at, idle time.Duration) observation {
	return func(w *Detector, begin time.Time) { w.Disconnected(begin.Add(at), idle, true) }
}

// survived is an answer after so long idle.
func survived(at, idle time.Duration) observation {
	return func(w *Detector, begin time.Time) { w.Survived(begin.Add(at), idle) }
}

// reset is when the server was found down.
func reset(w *Detector, _ time.Time) { w.Reset() }

// stalled is the moment at which the server was found to have stood still.
func stalled(at time.Duration) observation {
	return func(w *Detector, begin time.Time) { w.Stalled(begin.Add(at)) }
}

// several is the same for each of some idle times.
func several(what func(at, idle time.Duration) observation, at time.Duration, idles ...time.Duration) observation {
	return func(w *Detector, begin time.Time) {
		for _, idle := range idles {
			what(at, idle)(w, begin)
		}
	}
}

func TestDetector_ConcludesNoMoreThanDisconnectsProve(t *testing.T) {
	t.Parallel()
	const s, ms, m = time.Second, time.Millisecond, time.Minute
	for _, c := range []struct {
		name         string
		observations []observation
		well         time.Duration // the server last answered then; 0: after everything
		quiet        time.Duration // of what is open
		idle         time.Duration // the limit
	}{
		{name: "nothing"},
		{name: "one cut", observations: []observation{ended(10*s, 10*s)}},
		{name: "two after the same time", observations: []observation{ended(10*s, 10*s), ended(21*s, 10*s)}, idle: 8 * s},
		{name: "two after about the same time", observations: []observation{ended(10*s, 10*s), ended(21*s, 11*s)}},
		{name: "three after about the same time", observations: []observation{ended(10*s, 11*s), ended(21*s, 10*s), ended(40*s, 12*s)}, idle: 8 * s},
		{name: "two in one moment", observations: []observation{ended(10*s, 10*s), ended(10*s+900*ms, 10*s)}},
		{name: "two of a limit under a second, a little apart", observations: []observation{ended(10*s, 400*ms), ended(10*s+500*ms, 410*ms)}, idle: 200 * ms},
		{name: "no limit is as short as a round trip", observations: []observation{ended(10*s, 15*ms), ended(21*s, 15*ms), ended(30*s, 15*ms)}},
		{name: "what was cut after another time before is history", observations: []observation{
			ended(m, 60*s), ended(2*m, 3*s), ended(3*m, 10*s), ended(4*m, 10*s)}, idle: 8 * s},
		{name: "cuts of another hour", observations: []observation{ended(10*s, 10*s), ended(21*s, 10*s)}, well: 2 * time.Hour},
		{name: "a server that has not answered since may be going", observations: []observation{ended(10*s, 10*s), ended(21*s, 10*s)}, well: 20 * s},

		{name: "restarts: all at once, whatever their idle times", observations: []observation{
			several(ended, 100*s, 1*s, 5*s, 14*s), several(ended, 300*s, 2*s, 7*s, 9*s), several(ended, 500*s, 3*s, 4*s, 13*s)}},
		{name: "a restart under load: all at once, though it takes longer than some have idled", observations: []observation{
			ended(100*s, 30*ms), ended(100*s+20*ms, 32*ms), ended(100*s+40*ms, 31*ms)}},
		{name: "a restart of busy connections and quiet ones", observations: []observation{
			ended(100*s, 9*s), ended(100*s+300*ms, 200*ms), ended(100*s+600*ms, 200*ms), ended(100*s+900*ms, 200*ms)}},
		{name: "a restart that was noticed", observations: []observation{
			several(ended, 100*s, 10*s, 10*s), reset, several(ended, 300*s, 10*s, 10*s), reset}},
		{name: "a server that comes back may have other limits", observations: []observation{ended(10*s, 10*s), reset, ended(21*s, 10*s)}},
		{name: "cuts of another time than a standstill's count", observations: []observation{
			ended(10*s, 10*s), wentSilent(40*s, 10*s), stalled(45 * s), ended(60*s, 10*s)}, idle: 8 * s},
		{name: "single kills", observations: []observation{ended(100*s, 3*s), ended(200*s, 12*s), ended(300*s, 7*s), ended(400*s, 1*s)}},
		{name: "kills after the same time, and one open that has idled for longer", observations: []observation{ended(100*s, 5*s), ended(200*s, 5*s)}, quiet: 14 * s},
		{name: "kills after the same time, and one answered that had idled for longer", observations: []observation{
			ended(100*s, 5*s), survived(150*s, 14*s), ended(200*s, 5*s)}},
		{name: "one answered between the cuts that had idled for longer", observations: []observation{
			ended(100*s, 5*s), survived(150*s, 14*s), ended(500*s, 5*s)}},
		{name: "one that had idled for longer, long ago", observations: []observation{
			survived(10*s, 14*s), ended(300*s, 5*s), ended(400*s, 5*s)}, idle: 4 * s},
		{name: "load shedding: half of them, and the others live on", observations: []observation{
			several(ended, 100*s, 10*s, 10*s), several(survived, 101*s, 11*s, 11*s, 11*s),
			several(ended, 200*s, 10*s, 10*s), several(survived, 201*s, 11*s, 11*s, 11*s)}},
		{name: "one that slapd was about to cut lives on by a ping", observations: []observation{
			several(ended, 100*s, 10*s, 10*s), survived(150*s, 10500*ms), several(ended, 200*s, 10*s, 10*s)}, idle: 8 * s},
		{name: "load shedding after random times", observations: []observation{
			several(ended, 100*s, 1*s, 30*s), several(ended, 200*s, 20*s, 40*s), several(ended, 300*s, 2*s, 50*s)}},

		{name: "slapd's 2 s, cut late", observations: []observation{ended(10*s, 2100*ms), ended(20*s, 3*s), ended(30*s, 2600*ms)}, idle: 1100 * ms},
		{name: "slapd's 5 s, cut late", observations: []observation{ended(10*s, 6200*ms), ended(20*s, 5*s), ended(30*s, 5900*ms)}, idle: 4 * s},
		{name: "slapd's 2 s, and one that it has not cut yet", observations: []observation{
			ended(10*s, 2*s), ended(20*s, 2100*ms)}, quiet: 3 * s, idle: 1 * s},

		{name: "silence twice is a server that stood still", observations: []observation{wentSilent(10*s, 10*s), wentSilent(30*s, 10*s)}},
		{name: "pings of a server that stood still, one after another", observations: []observation{
			wentSilent(10*s, 10*s), wentSilent(10500*ms, 10*s), wentSilent(11*s, 10*s), wentSilent(11500*ms, 10*s)}},
		{name: "silence three times", observations: []observation{wentSilent(10*s, 10*s), wentSilent(30*s, 11*s), wentSilent(50*s, 12*s)}, idle: 8 * s},
		{name: "silence after times that differ: they were dropped before they were asked", observations: []observation{
			wentSilent(10*s, 10*s), wentSilent(30*s, 29*s), wentSilent(50*s, 15*s)}, idle: 8 * s},
		{name: "silence three times, and one answered that had idled for as long", observations: []observation{
			wentSilent(10*s, 10*s), survived(20*s, 10*s), wentSilent(30*s, 29*s), wentSilent(50*s, 15*s)}},
		{name: "silence, and what was dropped is still open", observations: []observation{
			wentSilent(10*s, 10*s), wentSilent(30*s, 11*s), wentSilent(50*s, 12*s)}, quiet: 90 * s, idle: 8 * s},

		{name: "a limit on age is none on idling", observations: []observation{
			ended(60*s, 3*s), ended(121*s, 20*s), ended(182*s, 7*s), ended(243*s, 1*s)}},
		{name: "connections that end young, time and again", observations: []observation{
			ended(60*s, 30*ms), ended(63*s, 100*ms), ended(66*s, 60*ms), ended(69*s, 20*ms)}},
		{name: "idle times that are the same, whatever the ages", observations: []observation{
			ended(60*s, 10*s), ended(121*s, 10*s), ended(182*s, 10*s), ended(243*s, 10*s)}, idle: 8 * s},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var w Detector
			begin := time.Now()
			for _, tell := range c.observations {
				tell(&w, begin)
			}
			if c.well == 0 {
				c.well = 10 * m
			}
			require.Equal(t, c.idle, w.Limit(begin.Add(c.well), c.quiet))
		})
	}
}

func TestDetector_LearnsALimitHoweverLateSlapdDisconnects(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be the same again
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	for _, limit := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 30 * time.Second, 15 * time.Minute} {
		most := 0
		for run := range 1000 {
			var w Detector
			now := time.Now()
			var idle time.Duration
			for cuts := 0; idle == 0; cuts++ {
				require.Less(t, cuts, 12, "limit %v, run %d: not learnt", limit, run)
				after := limit + upTo(min(limit/4, time.Second)) + upTo(time.Second) // of its look, and of its count
				now = now.Add(after)
				w.Disconnected(now, after, false)
				idle = w.Limit(now.Add(time.Millisecond), 0)
				most = max(most, cuts+1)
			}
			require.Less(t, WithMargin(idle)*3/4, limit, "limit %v, run %d: refreshed too late", limit, run)
			require.Greater(t, idle, limit/3, "limit %v, run %d: refreshed too often", limit, run)
		}
		t.Logf("%v: learnt after %d cuts at most", limit, most)
	}
}

// population is some connections of one server, each used now and then.
type population struct {
	watch Detector
	now   time.Time
	quiet []time.Time
}

func newCrowd(n int) *population {
	c := &population{now: time.Now()}
	for range n {
		c.quiet = append(c.quiet, c.now)
	}
	return c
}

// use makes a connection answer. The pool pings it before that when it has been quiet for a while.
func (c *population) use(i int) {
	if idle := c.now.Sub(c.quiet[i]); idle > time.Second {
		c.watch.Survived(c.now, idle)
	}
	c.quiet[i] = c.now
}

// advance uses the connections for a while, some more often than others, and pings them when they
// are quiet for long.
func (c *population) advance(random *rand.Rand, d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(time.Duration(random.ExpFloat64() * float64(2*time.Second)))
		c.use(min(int(random.ExpFloat64()*2), len(c.quiet)-1))
		for i := range c.quiet {
			if c.now.Sub(c.quiet[i]) > 15*time.Second {
				c.use(i)
			}
		}
	}
}

// kill has a connection cut, and another in its place.
func (c *population) kill(i int) {
	c.watch.Disconnected(c.now, c.now.Sub(c.quiet[i]), false)
	c.quiet[i] = c.now
}

func (c *population) limit() time.Duration {
	var quiet time.Duration
	for i := range c.quiet {
		quiet = max(quiet, c.now.Sub(c.quiet[i]))
	}
	return c.watch.Limit(c.now.Add(1), quiet)
}

func TestDetector_TakesRandomKillsForNoLimit(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{6, 16} {
		for _, killed := range []int{1, conns / 4, conns / 2, conns} {
			t.Run(fmt.Sprintf("%d of %d", killed, conns), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(conns), uint64(killed))) //nolint:gosec // to be the same again
				for range 200 {
					c := newCrowd(conns)
					for range 12 {
						c.advance(random, time.Duration(20+random.IntN(200))*time.Second)
						for _, i := range random.Perm(conns)[:killed] {
							c.now = c.now.Add(time.Millisecond)
							c.kill(i)
						}
						require.Zero(t, c.limit())
					}
				}
			})
		}
	}
}
