package status

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/journal"
	"authsvc/internal/metrics"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	serverA = "ldap://a.example.org:389"
	serverB = "ldaps://b.example.org:636"
)

// testService is what a page reads, made up. It counts how often it is read.
type testService struct {
	mu     sync.Mutex
	stat   ldappool.Stat
	counts metrics.Counts
	faults []journal.Fault
	looks  int // at the pool
}

func newTestService() *testService {
	w := &testService{counts: metrics.Counts{Logins: make([]uint64, len(auth.Outcomes()))}}
	for _, result := range []string{"allowed", "denied", "fault"} {
		w.counts.Forwards = append(w.counts.Forwards, metrics.Forwards{Result: result, BySource: map[auth.Source]uint64{}})
	}
	for _, h := range []*metrics.Histogram{&w.counts.Login, &w.counts.Wait, &w.counts.Search, &w.counts.Bind} {
		h.Bounds = []float64{0.001, 0.01, 0.1}
		h.Counts = make([]uint64, 4)
	}
	w.stat = ldappool.Stat{MaxConns: 32, Servers: []ldappool.ServerStat{{URL: serverA, State: ldappool.ServerUsable, Since: time.Now(), Conns: 3}}}
	return w
}

// change changes the service while nobody reads it.
func (w *testService) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// login records n logins of a duration.
func (w *testService) login(o auth.Outcome, n uint64, bucket int) {
	w.change(func() {
		w.counts.Logins[o.Status()] += n
		w.counts.Login.Counts[bucket] += n
	})
}

func (w *testService) config() Config {
	return Config{
		Version: "v1.2.3", Commit: "abc1234",
		Pool: func() *ldappool.Stat {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.looks++
			s := w.stat
			return &s
		},
		Counts: func() metrics.Counts {
			w.mu.Lock()
			defer w.mu.Unlock()
			c := w.counts
			for _, h := range []*metrics.Histogram{&c.Login, &c.Wait, &c.Search, &c.Bind} {
				h.Counts = append([]uint64(nil), h.Counts...)
			}
			c.Logins = append([]uint64(nil), c.Logins...)
			c.Forwards = append([]metrics.Forwards(nil), c.Forwards...)
			for i, f := range c.Forwards {
				c.Forwards[i].BySource = maps.Clone(f.BySource)
			}
			return c
		},
		Faults: func() []journal.Fault {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.faults
		},
		Shared: func() throttle.SharedStat {
			return throttle.SharedStat{Server: "redis 192.0.2.9:6379", Since: time.Now(), Err: "connection refused", Dropped: 7}
		},
		Throttle: func() throttle.Stat {
			return throttle.Stat{Entries: 5, Waiting: 1, Forgotten: 2, Refused: [4]uint64{throttle.AccountLimit: 3, throttle.ClientLimit: 4}}
		},
		Remembered:      func() (accepted, rejected int) { return 6, 7 },
		RememberedLimit: 10_000,
		Settings:        []Setting{{"LDAP_URL", serverA, "environment"}, {"LOG_LEVEL", "info", "default"}, {"LDAP_USER_FILTER", "(uid={username})", "preset ad"}},
	}
}

// get asks p for a path.
func get(t *testing.T, p *Page, path string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

// read is what /api/status says.
func read(t *testing.T, p *Page) (s fullSnapshot) {
	t.Helper()
	rec := get(t, p, pathJSON)
	require.Equal(t, http.StatusOK, rec.Code)
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &s))
	return s
}
