package telemetry

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACertificateThatADirectoryNoLongerShowsIsForgottenAndOurOwnIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tel, _ := newTest(slog.LevelInfo)
		soon := time.Now().Add(time.Hour)
		tel.CertificateSeen(ListenerCertificate, "", soon)
		tel.CertificateSeen(DirectoryCertificate, "dismissed", soon)
		tel.CertificateSeen(DirectoryCertificate, "kept", soon)
		time.Sleep(certificateMemory) // bubble
		tel.CertificateSeen(DirectoryCertificate, "kept", soon)
		time.Sleep(time.Second) // bubble
		series := scrape(t, tel)
		assert.Contains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="",use="listener"}`)
		assert.Contains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="kept",use="directory"}`)
		assert.NotContains(t, series, `authsvc_tls_certificate_expiry_timestamp_seconds{name="dismissed",use="directory"}`)
	})
}

func TestCertificatesHaveABoundedNumberOfSeries(t *testing.T) {
	t.Parallel()
	tel, _ := newTest(slog.LevelInfo)
	for i := range 3 * maxServers {
		tel.CertificateSeen(DirectoryCertificate, fmt.Sprint(i), time.Now())
	}
	count, err := testutil.GatherAndCount(tel.registry, "authsvc_tls_certificate_expiry_timestamp_seconds")
	require.NoError(t, err)
	assert.Equal(t, maxServers+1, count)
}
