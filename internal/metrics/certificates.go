package metrics

import (
	"sync"
	"time"

	"authsvc/internal/poolevent"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label use.
const (
	// ListenerCertificate is what the main listener shows its callers.
	ListenerCertificate = "listener"
	// ClientCertificate is what the service shows the directory.
	ClientCertificate = "client"
	// DirectoryCertificate is what a server of the directory shows the service.
	DirectoryCertificate = "directory"
)

// certificateRetention is how long the series of a certificate is kept after it was last seen. The
// certificate of a removed server must not raise an alert when it expires. Connections are replaced
// far more often (LDAP_POOL_MAX_LIFETIME).
const certificateRetention = 24 * time.Hour

// certificateKey is the labels of a series: a use, and the owner's name if there are several
// owners.
type certificateKey struct{ use, name string }

type certificate struct{ expires, seen time.Time }

// certificates makes gauges of the certificates that are in use.
type certificates struct {
	expiry *prometheus.Desc

	mu    sync.Mutex
	known map[certificateKey]certificate // guarded by mu; at most poolevent.MaxServers and the two that are ours
}

func newCertificates() *certificates {
	return &certificates{
		expiry: prometheus.NewDesc("authsvc_tls_certificate_expiry_timestamp_seconds",
			"Unix time at which a certificate expires: the main listener's, the client certificate for the directory, and the last ones of the directory's servers.",
			[]string{"use", "name"}, nil),
		known: make(map[certificateKey]certificate),
	}
}

// CertificateSeen records a certificate in use. name is the server of the directory, and empty for
// other uses.
func (m *Metrics) CertificateSeen(use, name string, expires time.Time) {
	c := m.certs
	k := certificateKey{use, serverLabel(name)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[k]; !ok && use == DirectoryCertificate && len(c.known) >= poolevent.MaxServers {
		k.name = poolevent.OtherServer
	}
	c.known[k] = certificate{expires, time.Now()}
}

// Describe sends the description of the gauge.
func (c *certificates) Describe(ch chan<- *prometheus.Desc) { ch <- c.expiry }

// Collect sends a gauge for each certificate in use, and drops those no longer in use.
func (c *certificates) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, cert := range c.known {
		if k.use == DirectoryCertificate && time.Since(cert.seen) > certificateRetention {
			delete(c.known, k)
			continue
		}
		gauge(ch, c.expiry, unixSeconds(cert.expires), k.use, k.name)
	}
}
