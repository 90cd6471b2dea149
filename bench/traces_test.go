package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

// BenchmarkTracedLogin measures the service with traces off, and on with a collector that takes
// everything, in turns within one run.
func BenchmarkTracedLogin(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	var batches atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		batches.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer collector.Close()
	off, on := startService(b, slapd.URL()), startService(b, slapd.URL(), "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	loads := []func(*testing.B) caller{overHTTP(off.addr), overHTTP(on.addr)}
	for b.Loop() {
		var got [2]figures
		for range rounds {
			for i, connect := range loads {
				f := load(b, 1, round, connect)
				got[i].perSecond += f.perSecond / rounds
				got[i].p50 += f.p50 / rounds
				got[i].p99 += f.p99 / rounds
			}
		}
		for i, name := range []string{"off", "on"} {
			b.ReportMetric(got[i].perSecond, name+"-logins/s")
			b.ReportMetric(float64(got[i].p50.Microseconds()), name+"-p50-µs")
			b.ReportMetric(float64(got[i].p99.Microseconds()), name+"-p99-µs")
		}
	}
	assert.Positive(b, batches.Load())
}
