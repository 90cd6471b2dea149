package main

import (
	"crypto/tls"

	"authsvc/api"
	"authsvc/config"
	"authsvc/ldappool"
)

// front is what the main listener has from files: its certificate, and who may call.
type front struct {
	tls     *tls.Config // nil where it speaks none
	callers api.Callers
}

// frontConfig is the front that cfg asks for. It reads the files anew.
func frontConfig(cfg *config.Config) (f front, err error) {
	keys, err := cfg.Auth.APIKeys()
	if err != nil {
		return front{}, err
	}
	for _, k := range keys {
		f.callers.Keys = append(f.callers.Keys, api.Key{Name: k.Name, SHA256: k.SHA256})
	}
	if f.tls, err = cfg.HTTP.TLSConfig(); err != nil {
		return front{}, err
	}
	if f.tls != nil {
		f.callers.ClientCAs = f.tls.ClientCAs
	}
	return f, nil
}

// secure has the main listener speak TLS where there is a configuration for it, and each handshake take the one then in
// force.
func (s *service) secure(c *tls.Config) {
	if c == nil {
		return
	}
	s.tls.Store(c)
	s.main.server.TLSConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
	}
}

// serve serves what comes in at the listener until that is closed.
func (l listener) serve() error {
	if l.server.TLSConfig != nil {
		return l.server.ServeTLS(l.Listener, "", "") // the certificate is in the configuration
	}
	return l.server.Serve(l.Listener)
}

// adopt takes over new settings while the service runs: all of them, or none where the pool refuses its own.
func (s *service) adopt(pool ldappool.Config, f front) error {
	s.watchDirectory(pool.TLS)
	if err := s.pool.Reconfigure(pool); err != nil {
		return err
	}
	if f.tls != nil {
		s.tls.Store(f.tls)
	}
	s.api.SetCallers(f.callers)
	s.watchOwn(pool.TLS, f.tls)
	return nil
}
