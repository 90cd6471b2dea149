package metrics

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/poolevent"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCertificates_ReplacedOnesOfADirectoryAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, _ := newTest(slog.LevelInfo)
		soon := time.Now().Add(time.Hour)
		m.CertificateSeen(ListenerCertificate, "", soon)
		m.CertificateSeen(DirectoryCertificate, "dismissed", soon)
		m.CertificateSeen(DirectoryCertificate, "kept", soon)
		time.Sleep(certificateRetention) // bubble
		m.CertificateSeen(DirectoryCertificate, "kept", soon)
		time.Sleep(time.Second) // bubble
		series := scrape(t, m)
		assert.Contains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="",use="listener"}`)
		assert.Contains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="kept",use="directory"}`)
		assert.NotContains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="dismissed",use="directory"}`)
	})
}

func TestCertificates_SeriesAreBounded(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelInfo)
	for i := range 3 * poolevent.MaxServers {
		m.CertificateSeen(DirectoryCertificate, fmt.Sprint(i), time.Now())
	}
	count, err := testutil.GatherAndCount(m.registry, "authsvc_tls_certificate_expiry_timestamp_seconds")
	require.NoError(t, err)
	assert.Equal(t, poolevent.MaxServers+1, count)
}
