package main

import (
	"crypto/tls"

	"authsvc/internal/metrics"
)

// watchDirectory reports the certificates that the directory's servers show to the metrics. A
// configuration that is watched already is left as it is: connections may be dialed with it now.
func (s *service) watchDirectory(c *tls.Config) {
	if c == nil || c.VerifyConnection != nil {
		return
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) > 0 {
			s.seen.metrics.CertificateSeen(metrics.DirectoryCertificate, state.ServerName, state.PeerCertificates[0].NotAfter)
		}
		return nil // whether to trust it was decided before
	}
}

// watchOwn reports to the metrics the certificates that the service itself shows: to the directory,
// and to its callers.
func (s *service) watchOwn(directory, callers *tls.Config) {
	for use, c := range map[string]*tls.Config{metrics.ClientCertificate: directory, metrics.ListenerCertificate: callers} {
		if c != nil && len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil { // which loading a pair fills in
			s.seen.metrics.CertificateSeen(use, "", c.Certificates[0].Leaf.NotAfter)
		}
	}
}
