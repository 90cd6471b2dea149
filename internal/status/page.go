package status

import (
	"bytes"
	"context"
	"sync"
	"time"

	"authsvc/internal/journal"
	"authsvc/internal/logsafe"
	"authsvc/internal/metrics"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
)

// interval is how often counters are read, how often streams get a snapshot, and the maximum age of
// a snapshot that is used again.
const interval = time.Second

// Config has the sources of a Page.
type Config struct {
	Version, Commit string
	// Pool, Counts and Faults are each called at most once in an interval.
	Pool   func() *ldappool.Stat
	Counts func() metrics.Counts
	Faults func() []journal.Fault
	// Throttle is nil if there is no throttle.
	Throttle func() throttle.Stat
	// Shared is nil if the throttle is not shared.
	Shared func() throttle.SharedStat
	// Remembered returns of how many names and clients the cache of credentials has accepted ones,
	// and of how many only rejected ones. It is nil if there is no cache.
	Remembered func() (accepted, rejected int)
	// RememberedLimit is how many there can be of each.
	RememberedLimit int
	// Settings are the effective configuration, secrets masked.
	Settings []Setting
}

// Setting is a variable's effective value and where it came from.
type Setting struct {
	Variable string `json:"variable"`
	Value    string `json:"value"`
	Source   string `json:"source"`
}

// Page is the status page, an [net/http.Handler]. Its methods may be called from several goroutines
// at once.
type Page struct {
	cfg     Config
	started time.Time
	feed    feed

	mu       sync.Mutex // guards what follows
	history  history
	draining bool
	latest   *rendered // nil before the first request
}

// rendered is an encoded snapshot, made once for all readers.
type rendered struct {
	made  time.Time
	event []byte // of the stream
	full  []byte // JSON, with the configuration
	page  func() []byte
}

// New makes a Page. Its history begins now; Run continues it.
func New(cfg Config) *Page {
	p := &Page{cfg: cfg, started: time.Now(), feed: feed{next: make(chan struct{})}}
	p.cfg.Settings = nil
	for _, s := range cfg.Settings {
		const limit = 4096
		p.cfg.Settings = append(p.cfg.Settings, Setting{s.Variable, logsafe.Printable(s.Value, limit), logsafe.Printable(s.Source, limit)})
	}
	p.history.record(sample{p.started, cfg.Counts()})
	return p
}

// Run reads the counters, and sends snapshots to the streams, until ctx ends.
func (p *Page) Run(ctx context.Context) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
			p.tick()
		}
	}
}

func (p *Page) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.record(sample{time.Now(), p.cfg.Counts()})
	if p.feed.watched() {
		p.feed.publish(p.snapshot(interval / 2).event)
	}
}

// ShowDrain shows that the service is shutting down.
func (p *Page) ShowDrain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining, p.latest = true, nil
}

// Drain does what ShowDrain does, ends the streams, and rejects new ones.
func (p *Page) Drain() {
	p.ShowDrain()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed.finish(p.snapshot(interval).event)
}

// current returns a snapshot that is less than an interval old.
func (p *Page) current() *rendered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.snapshot(interval)
}

// snapshot returns the latest snapshot if it is younger than maxAge, else a new one. p.mu is held.
func (p *Page) snapshot(maxAge time.Duration) *rendered {
	now := time.Now()
	if p.latest != nil && now.Sub(p.latest.made) < maxAge {
		return p.latest
	}
	s := p.takeSnapshot(now)
	live := encode(s)
	p.latest = &rendered{
		made:  now,
		event: bytes.Join([][]byte{[]byte("event: status\ndata: "), live, []byte("\n\n")}, nil),
		full:  append(encode(fullSnapshot{s, p.cfg.Settings}), '\n'),
		page:  sync.OnceValue(func() []byte { return render(s, p.cfg.Settings) }),
	}
	return p.latest
}
