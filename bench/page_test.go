package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// BenchmarkLoginBesidePages measures the service while nobody, one and a hundred have the status
// page open, in turns within one run. The readers of the page run here too, and take time from the
// same machine.
func BenchmarkLoginBesidePages(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	service := startService(b, slapd.URL())
	pages := []int{0, 1, 100}
	for b.Loop() {
		got := make([]figures, len(pages))
		for range rounds {
			for i, n := range pages {
				closePages := openPages(b, "http://"+service.admin, n)
				f := load(b, 1, round, overHTTP(service.addr))
				closePages()
				got[i].perSecond += f.perSecond / rounds
				got[i].p50 += f.p50 / rounds
				got[i].p99 += f.p99 / rounds
			}
		}
		for i, n := range pages {
			name := fmt.Sprintf("%d-pages-", n)
			b.ReportMetric(got[i].perSecond, name+"logins/s")
			b.ReportMetric(float64(got[i].p50.Microseconds()), name+"p50-µs")
			b.ReportMetric(float64(got[i].p99.Microseconds()), name+"p99-µs")
		}
	}
}

// openPages has n read the status page's stream until what it returns is called.
func openPages(b *testing.B, admin string, n int) (closePages func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{}
	var reading sync.WaitGroup
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/api/status/events", nil)
		require.NoError(b, err)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		require.NoError(b, err)
		require.Equal(b, http.StatusOK, resp.StatusCode)
		reading.Go(func() {
			defer resp.Body.Close()
			_, _ = io.Copy(io.Discard, resp.Body) // until it is cut
		})
	}
	return func() {
		cancel()
		reading.Wait()
		transport.CloseIdleConnections()
	}
}
