package main

import (
	"crypto/tls"

	"authsvc/internal/telemetry"
)

// watchDirectory has the certificates that the directory's servers show told to telemetry. One that was watched before
// is left as it is: connections may be made with it just now.
func (s *service) watchDirectory(c *tls.Config) {
	if c == nil || c.VerifyConnection != nil {
		return
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) > 0 {
			s.tel.CertificateSeen(telemetry.DirectoryCertificate, state.ServerName, state.PeerCertificates[0].NotAfter)
		}
		return nil // whether to trust it was decided before
	}
}

// watchOwn tells telemetry of the certificates that the service itself shows: to the directory, and to its callers.
func (s *service) watchOwn(directory, callers *tls.Config) {
	for use, c := range map[string]*tls.Config{telemetry.ClientCertificate: directory, telemetry.ListenerCertificate: callers} {
		if c != nil && len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil { // which loading a pair fills in
			s.tel.CertificateSeen(use, "", c.Certificates[0].Leaf.NotAfter)
		}
	}
}
