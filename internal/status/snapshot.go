package status

import (
	"cmp"
	"slices"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/internal/metrics"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The values of status.
const (
	statusOK       = "ok"       // every server is usable
	statusDegraded = "degraded" // logins are served, and some server is not usable
	statusDown     = "down"     // no server is usable: logins get status 11
	statusDraining = "draining" // about to end
)

// snapshot is the state of the service at a moment. Its JSON is described in api/openapi.yaml.
type snapshot struct {
	Status   string         `json:"status"`
	Time     time.Time      `json:"time"`
	Service  service        `json:"service"`
	Servers  []server       `json:"servers"`
	Pool     pool           `json:"pool"`
	Retired  []retired      `json:"retired"`
	Logins   logins         `json:"logins"`
	Faults   []fault        `json:"faults"`
	Throttle *throttleState `json:"throttle,omitempty"`
	Forward  forward        `json:"forward"`
}

// fullSnapshot is a snapshot with the configuration.
type fullSnapshot struct {
	snapshot
	Configuration []Setting `json:"configuration"`
}

type service struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
}

type server struct {
	Address     string    `json:"address"`
	State       string    `json:"state"`
	Since       time.Time `json:"since,omitzero"`
	StateFor    float64   `json:"state_seconds"`
	Answered    time.Time `json:"answered,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	BreakerOpen bool      `json:"breaker_open"`
	Connections int       `json:"connections"`
	IdleLimit   float64   `json:"idle_limit_seconds"` // 0: none is known
	AgeLimit    float64   `json:"age_limit_seconds"`
}

type pool struct {
	MaxConns   int    `json:"max_connections"`
	Lanes      []lane `json:"lanes"`
	Dials      int64  `json:"dials"`
	DialErrors int64  `json:"dial_errors"`
	Retries    int64  `json:"retries"`
	Refused    int64  `json:"refused"`
}

type lane struct {
	Lane     string `json:"lane"`
	InUse    int    `json:"in_use"`
	Idle     int    `json:"idle"`
	Dialing  int    `json:"dialing"`
	Waiting  int    `json:"waiting"`
	Outdated int    `json:"outdated"`
}

type retired struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// logins are those of the last minutes, in steps, the latest last.
type logins struct {
	Step     float64   `json:"step_seconds"`
	Outcomes []outcome `json:"outcomes"`
	Phases   []phase   `json:"phases"`
}

type outcome struct {
	Outcome   string    `json:"outcome"`
	Total     uint64    `json:"total"`
	Recent    uint64    `json:"recent"`
	PerSecond []float64 `json:"per_second"`
}

type phase struct {
	Phase  string    `json:"phase"`
	Recent uint64    `json:"recent"`
	P50    float64   `json:"p50_seconds"`
	P99    float64   `json:"p99_seconds"`
	P50s   []float64 `json:"p50_seconds_by_step"`
	P99s   []float64 `json:"p99_seconds_by_step"`
}

type fault struct {
	Server string    `json:"server,omitempty"`
	What   string    `json:"what"`
	Text   string    `json:"text"`
	Count  int64     `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Ago    float64   `json:"last_seconds_ago"`
}

type throttleState struct {
	Entries   int       `json:"entries"`
	Waiting   int       `json:"waiting"`
	Forgotten uint64    `json:"forgotten"`
	Refused   []refused `json:"refused"` // without limits that refused nothing
	Shared    *shared   `json:"shared,omitempty"`
}

// shared is the server in which several instances count together.
type shared struct {
	Server    string    `json:"server"`
	State     string    `json:"state"` // up or down
	Since     time.Time `json:"since"`
	StateFor  float64   `json:"state_seconds"`
	LastError string    `json:"last_error,omitempty"`
	Dropped   uint64    `json:"dropped"`
}

// refused are the attempts that a limit of the throttle refused.
type refused struct {
	Limit string `json:"limit"`
	Count uint64 `json:"count"`
}

// forward is what reverse proxies asked and got.
type forward struct {
	Requests []forwarded       `json:"requests"`
	Cache    *credentialsCache `json:"cache,omitempty"`
}

// forwarded are the requests that got one result.
type forwarded struct {
	Result    string    `json:"result"`
	Total     uint64    `json:"total"`
	Recent    uint64    `json:"recent"`
	PerSecond []float64 `json:"per_second"`
}

// credentialsCache is what the cache of credentials answered since the start, and what it holds.
type credentialsCache struct {
	Hits     uint64 `json:"hits"`
	Misses   uint64 `json:"misses"`
	Stale    uint64 `json:"stale"`
	Accepted int    `json:"accepted"`
	Rejected int    `json:"rejected"`
	Limit    int    `json:"limit"` // of each of the two
}

// encode makes JSON of v, in one line: an event of a stream ends at a newline. Invalid UTF-8
// becomes U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // every type above can be encoded
	}
	return b
}

// takeSnapshot makes a snapshot. p.mu is held.
func (p *Page) takeSnapshot(now time.Time) snapshot {
	stat := p.cfg.Pool()
	s := snapshot{
		Status:  p.status(stat),
		Time:    now.UTC().Truncate(time.Second),
		Service: service{p.cfg.Version, p.cfg.Commit, p.started.UTC().Truncate(time.Second), seconds(now.Sub(p.started))},
		Servers: make([]server, 0, len(stat.Servers)),
		Pool: pool{
			MaxConns: stat.MaxConns, Dials: stat.Dials, DialErrors: stat.DialErrors, Retries: stat.Retries, Refused: stat.Refused,
			Lanes: []lane{laneOf(ldappool.SearchLane, &stat.Search), laneOf(ldappool.BindLane, &stat.Bind)},
		},
		Retired: retiredBy(stat.Retired),
		Logins:  logins{Step: seconds(step), Outcomes: p.outcomes(), Phases: p.phases()},
	}
	for i := range stat.Servers {
		s.Servers = append(s.Servers, serverOf(&stat.Servers[i], now))
	}
	all := p.cfg.Faults()
	s.Faults = make([]fault, 0, len(all))
	for _, f := range all {
		s.Faults = append(s.Faults, fault{
			logsafe.Printable(f.Server, logsafe.MaxShown), f.What, f.Text, f.Count, f.First.UTC().Truncate(time.Second), f.Last.UTC().Truncate(time.Second), seconds(now.Sub(f.Last)),
		})
	}
	if p.cfg.Throttle != nil {
		t := p.cfg.Throttle()
		s.Throttle = &throttleState{t.Entries, t.Waiting, t.Forgotten, refusedBy(&t), p.shared(now)}
	}
	s.Forward.Requests = p.forwarded()
	if p.cfg.Remembered != nil {
		s.Forward.Cache = p.credentialsCache()
	}
	return s
}

// forwarded returns the results of requests of reverse proxies that occurred, and the first.
func (p *Page) forwarded() []forwarded {
	all := []forwarded{}
	for i, f := range p.history.latest().Forwards {
		total := f.Total()
		if total == 0 && i > 0 {
			continue
		}
		rates, recent := p.history.perSecond(func(c *metrics.Counts) uint64 { return c.Forwards[i].Total() })
		all = append(all, forwarded{f.Result, total, recent, rates})
	}
	return all
}

func (p *Page) credentialsCache() *credentialsCache {
	c := &credentialsCache{Limit: p.cfg.RememberedLimit}
	c.Accepted, c.Rejected = p.cfg.Remembered()
	for _, f := range p.history.latest().Forwards {
		c.Hits += f.BySource[auth.FromCache]
		c.Misses += f.BySource[auth.FromDirectory]
		c.Stale += f.BySource[auth.FromStale]
	}
	return c
}

// shared returns the state of the shared throttle, or nil.
func (p *Page) shared(now time.Time) *shared {
	if p.cfg.Shared == nil {
		return nil
	}
	s := p.cfg.Shared()
	state := "down"
	if s.Up {
		state = "up"
	}
	return &shared{
		logsafe.Printable(s.Server, logsafe.MaxShown), state, s.Since.UTC().Truncate(time.Second), seconds(now.Sub(s.Since)),
		logsafe.Printable(s.Err, logsafe.MaxShown), s.Dropped,
	}
}

// refusedBy returns the throttle's limits that refused attempts, with their counts.
func refusedBy(t *throttle.Stat) []refused {
	all := make([]refused, 0, len(t.Refused))
	for i, n := range t.Refused {
		if n > 0 {
			all = append(all, refused{throttle.Limit(i).String(), n})
		}
	}
	return all
}

// status returns the status of the service. p.mu is held.
func (p *Page) status(stat *ldappool.Stat) string {
	switch {
	case p.draining:
		return statusDraining
	case !stat.Usable:
		return statusDown
	}
	for i := range stat.Servers {
		if stat.Servers[i].State != ldappool.ServerUsable {
			return statusDegraded
		}
	}
	return statusOK
}

func laneOf(name ldappool.Lane, l *ldappool.LaneStat) lane {
	return lane{string(name), l.InUse, l.Idle, l.Dialing, l.Waiting, l.Outdated}
}

func serverOf(s *ldappool.ServerStat, now time.Time) server {
	out := server{
		Address: logsafe.Printable(s.URL, logsafe.MaxShown), State: s.State.String(), BreakerOpen: s.BreakerOpen, Connections: s.Conns,
		IdleLimit: seconds(s.IdleLimit), AgeLimit: seconds(s.AgeLimit),
	}
	if !s.Since.IsZero() {
		out.Since, out.StateFor = s.Since.UTC().Truncate(time.Second), seconds(now.Sub(s.Since))
	}
	if !s.Answered.IsZero() {
		out.Answered = s.Answered.UTC().Truncate(time.Second)
	}
	if s.LastErr != nil {
		out.LastError = logsafe.Printable(s.LastErr.Error(), logsafe.MaxShown)
	}
	return out
}

// outcomes returns the outcomes that occurred, and ok.
func (p *Page) outcomes() []outcome {
	now, all := p.history.latest(), []outcome{}
	for _, o := range auth.Outcomes() {
		status := o.Status()
		if now.Logins[status] == 0 && o != auth.OK {
			continue
		}
		rates, recent := p.history.perSecond(func(c *metrics.Counts) uint64 { return c.Logins[status] })
		all = append(all, outcome{o.Code(), now.Logins[status], recent, rates})
	}
	return all
}

func (p *Page) phases() []phase {
	all := make([]phase, 0, 4)
	for _, of := range []struct {
		name string
		read func(*metrics.Counts) metrics.Histogram
	}{
		{"login", func(c *metrics.Counts) metrics.Histogram { return c.Login }},
		{"wait", func(c *metrics.Counts) metrics.Histogram { return c.Wait }},
		{"search", func(c *metrics.Counts) metrics.Histogram { return c.Search }},
		{"bind", func(c *metrics.Counts) metrics.Histogram { return c.Bind }},
	} {
		recent := p.history.recent(of.read)
		all = append(all, phase{
			of.name, recent.Total(), quantile(0.5, recent), quantile(0.99, recent), p.history.quantiles(0.5, of.read), p.history.quantiles(0.99, of.read),
		})
	}
	return all
}

// seconds returns d in seconds, with one decimal.
func seconds(d time.Duration) float64 { return round(d.Seconds(), 10) }

// retiredBy returns the reasons of retired connections, the most frequent first.
func retiredBy(counts map[ldappool.RetireReason]int64) []retired {
	all := make([]retired, 0, len(counts))
	for reason, n := range counts {
		if n > 0 {
			all = append(all, retired{string(reason), n})
		}
	}
	slices.SortFunc(all, func(a, b retired) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason)) })
	return all
}
