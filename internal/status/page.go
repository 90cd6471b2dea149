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

// pace is how often counters are read, how often those who watch get a snapshot, and how old one
// may be that is shown again.
const pace = time.Second

// Config is where a Page reads what it shows.
type Config struct {
	Version, Commit string
	// Pool, Counts and Faults are asked at most once in a pace each.
	Pool   func() *ldappool.Stat
	Counts func() metrics.Counts
	Faults func() []journal.Fault
	// Throttle may be nil: there is none.
	Throttle func() throttle.Stat
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
	latest   *rendered // nil until somebody asks
}

// rendered is a snapshot as it is sent: made once, for all.
type rendered struct {
	made  time.Time
	event []byte // of the stream
	whole []byte // JSON, with the configuration
	page  func() []byte
}

// New makes a Page. Its clocks of the last minutes run from now on, where Run does.
func New(cfg Config) *Page {
	p := &Page{cfg: cfg, started: time.Now(), feed: feed{next: make(chan struct{})}}
	p.cfg.Settings = nil
	for _, s := range cfg.Settings {
		const limit = 4096
		p.cfg.Settings = append(p.cfg.Settings, Setting{s.Variable, logsafe.Printable(s.Value, limit), logsafe.Printable(s.Source, limit)})
	}
	p.history.note(sample{p.started, cfg.Counts()})
	return p
}

// Run reads the counters, and sends snapshots to those who watch, until ctx ends.
func (p *Page) Run(ctx context.Context) {
	ticks := time.NewTicker(pace)
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
	p.history.note(sample{time.Now(), p.cfg.Counts()})
	if p.feed.watched() {
		p.feed.publish(p.snapshot(pace / 2).event)
	}
}

// Drain shows that the service is about to end, ends the streams, and begins no new ones.
func (p *Page) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draining, p.latest = true, nil
	p.feed.end(p.snapshot(pace).event)
}

// current is a snapshot of this moment, or of less than a pace ago.
func (p *Page) current() *rendered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.snapshot(pace)
}

// snapshot is the latest snapshot if it is younger than so much, else a new one. p.mu is held.
func (p *Page) snapshot(younger time.Duration) *rendered {
	now := time.Now()
	if p.latest != nil && now.Sub(p.latest.made) < younger {
		return p.latest
	}
	s := p.look(now)
	live := encode(s)
	p.latest = &rendered{
		made:  now,
		event: bytes.Join([][]byte{[]byte("event: status\ndata: "), live, []byte("\n\n")}, nil),
		whole: append(encode(whole{s, p.cfg.Settings}), '\n'),
		page:  sync.OnceValue(func() []byte { return draw(s, p.cfg.Settings) }),
	}
	return p.latest
}
