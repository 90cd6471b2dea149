package ldappool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
)

// step is something that a caller asks, after a pause.
type step struct {
	after time.Duration
	kind  string        // "search", "right", "wrong": a search, or a bind with that password
	limit time.Duration // the caller's deadline; 0: none
	leave bool          // the caller goes away at limit instead
}

// mishap is something that befalls a directory, after a pause.
type mishap struct {
	after time.Duration
	host  string
	kind  string
}

var mishaps = []string{"cut all", "cut one", "refuse", "refuse and cut", "accept", "pause", "resume", "lose answers", "halve answers",
	"talk nonsense", "say goodbye", "limit", "answer slowly", "be well", "break writes"}

// TestWhateverHappensNoVerdictIsWrongAndNothingIsLost has several callers and several faults at the same time. A run is
// made of its number: -run 'Whatever.*/17$' is the seventeenth again, as far as the goroutines' order allows.
func TestWhateverHappensNoVerdictIsWrongAndNothingIsLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(120) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, rand.New(rand.NewPCG(seed, 0))) //nolint:gosec // to be the same again
				for _, err := range s.play() {
					t.Error(err)
				}
				if t.Failed() {
					t.Logf("%s", s)
				}
			})
		})
	}
}

// one is one of them.
func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// newScene makes up who does what, and a pool for it.
func newScene(t *testing.T, r *rand.Rand) *scene {
	t.Helper()
	hosts := one(r, []string{"one"}, []string{"one", "two"})
	after := func() time.Duration {
		return one(r, 0, 0, time.Millisecond, 20*time.Millisecond, 300*time.Millisecond, 1500*time.Millisecond, 4*time.Second)
	}
	s := &scene{net: newMemory(hosts...)}
	for range r.IntN(13) {
		s.mishaps = append(s.mishaps, mishap{after(), one(r, hosts...), one(r, mishaps...)})
	}
	for range 1 + r.IntN(8) {
		var steps []step
		for range 1 + r.IntN(8) {
			limit := one(r, 0, 0, 0, time.Millisecond, 100*time.Millisecond, 700*time.Millisecond)
			steps = append(steps, step{after(), one(r, "search", "right", "wrong"), limit, one(r, true, false)})
		}
		s.callers = append(s.callers, steps)
	}
	s.conns, s.idle, s.rule = 1+r.IntN(6), one(r, -1, 1, 3), one(r, RetryNoResponse, RetryUnsent)
	s.pool = s.net.start(t, sizes(s.conns, s.idle), func(c *Config) { c.BindRetry = s.rule })
	return s
}

// scene is one run of the model.
type scene struct {
	net         *memory
	pool        *Pool
	mishaps     []mishap
	callers     [][]step
	conns, idle int
	rule        BindRetry

	mu    sync.Mutex
	wrong []error // guarded by mu
}

func (s *scene) String() string {
	return fmt.Sprintf("MaxConns %d, MinIdleConns %d, BindRetry %d\nmishaps %+v\ncallers %+v", s.conns, s.idle, s.rule, s.mishaps, s.callers)
}

func (s *scene) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong = append(s.wrong, fmt.Errorf(format, args...))
}

// play lets everybody do what is planned, then has all be well and says what is not.
func (s *scene) play() []error {
	var all sync.WaitGroup
	for _, steps := range s.callers {
		all.Go(func() {
			for _, st := range steps {
				time.Sleep(st.after)
				s.ask(st)
			}
		})
	}
	all.Go(func() {
		for _, f := range s.mishaps {
			time.Sleep(f.after)
			s.befall(s.net.hosts[f.host], f.kind)
		}
	})
	all.Wait()
	for _, h := range s.net.hosts {
		s.befall(h, "resume")
		s.befall(h, "accept")
		s.befall(h, "be well")
	}
	// As long as a dial, a probe and its pause may take, with what is already hung.
	time.Sleep(10 * time.Second)
	s.ask(step{kind: "must search"})
	s.ask(step{kind: "must bind"})
	synctest.Wait()
	if err := s.pool.audit(); err != nil {
		s.fail("at rest: %w", err)
	}
	st := s.pool.Stat()
	if st.Search.Waiting+st.Bind.Waiting+st.Search.InUse+st.Bind.InUse > 0 {
		s.fail("not at rest: %+v", st)
	}
	if _, most := s.net.used(); most > st.MaxConns {
		s.fail("%d connections of %d", most, st.MaxConns)
	}
	return s.wrong
}

// befall does a fault to h, or ends it.
func (s *scene) befall(h *host, kind string) {
	switch kind {
	case "cut all":
		h.cutAll()
	case "cut one":
		if open := h.open(); len(open) > 0 {
			open[len(open)/2].cut()
		}
	case "break writes":
		for _, p := range h.open() {
			p.failNextWrite()
		}
	case "refuse":
		h.refuse(false)
	case "refuse and cut":
		h.refuse(true)
	case "accept":
		h.set(func(h *host) { h.refusing, h.limit = nil, 0 })
	case "limit":
		h.set(func(h *host) { h.limit = 1 })
	case "pause":
		h.set(func(h *host) {
			if isClosed(h.awake) {
				h.awake = make(chan struct{})
			}
		})
	case "resume":
		h.set(func(h *host) {
			if !isClosed(h.awake) {
				close(h.awake)
			}
		})
	case "say goodbye":
		for _, p := range h.open() {
			go p.write(ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, ""))
		}
	default:
		h.on(moods[kind])
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// moods are ways to answer every request.
var moods = map[string]func(p *peer, r *request) bool{
	"be well":       nil,
	"lose answers":  func(p *peer, _ *request) bool { p.cut(); return true },
	"halve answers": func(p *peer, r *request) bool { halfAnswer(p, r); return true },
	"talk nonsense": func(p *peer, _ *request) bool { p.write(ldaptest.Garbage()); return true },
	"answer slowly": func(*peer, *request) bool { time.Sleep(200 * time.Millisecond); return false },
}

// ask does one operation and judges what comes of it.
func (s *scene) ask(st step) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if st.limit > 0 && !st.leave {
		ctx, cancel = context.WithTimeout(ctx, st.limit)
		defer cancel()
	}
	if st.limit > 0 && st.leave {
		time.AfterFunc(st.limit, cancel)
	}
	began := time.Now()
	code, want, err := s.operation(ctx, st.kind)
	took := time.Since(began)
	switch {
	case err == nil && code != want:
		s.fail("%s: code %d, want %d", st.kind, code, want)
	case err != nil && (st.kind == "must search" || st.kind == "must bind"):
		s.fail("%s, and all is well: %w", st.kind, err)
	case errors.Is(err, context.Canceled) && !st.leave:
		s.fail("%s: canceled, and nobody did: %w", st.kind, err)
	}
	if err != nil && !errors.Is(err, context.Canceled) && !isKnown(err) {
		s.fail("%s: an error of no kind: %w", st.kind, err)
	}
	// Twice: the wait, the ping that it may end in, and the request; or the caller's own deadline.
	most := 2 * (2*time.Second + pingTimeout + 5*time.Second)
	if st.limit > 0 {
		most = st.limit + closeTimeout
	}
	if took > most {
		s.fail("%+v took %v: %w", st, took, err)
	}
}

func (s *scene) operation(ctx context.Context, kind string) (code, want uint16, err error) {
	if kind == "search" || kind == "must search" {
		r, err := s.pool.Search(ctx, people())
		if err != nil {
			return 0, 0, err
		}
		return r.Code, ldap.LDAPResultSuccess, nil
	}
	password, want := ldaptest.Password(1), uint16(ldap.LDAPResultSuccess)
	if kind == "wrong" {
		password, want = "wrong", ldap.LDAPResultInvalidCredentials
	}
	r, err := s.pool.Bind(ctx, ldaptest.UserDN(1), password)
	if err != nil {
		return 0, 0, err
	}
	return r.Code, want, nil
}

func isKnown(err error) bool {
	for _, kind := range []error{ErrUnavailable, ErrOverloaded, ErrTimeout, ErrConnLost} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
