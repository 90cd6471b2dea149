package main

import (
	"crypto/tls"
	"crypto/x509"

	"authsvc/api"
	"authsvc/config"
	"authsvc/ldappool"
)

// front holds the settings of the main listener that come from files: its certificate, and which
// callers it admits.
type front struct {
	tls     *tls.Config // nil without TLS
	callers api.Callers
}

// frontConfig returns the front that cfg asks for. It reads the files at each call.
func frontConfig(cfg *config.Config) (f front, err error) {
	f.callers.Anybody = cfg.Auth.APIKeysFile == "" && cfg.HTTP.TLSClientCAFile == ""
	if cfg.Auth.APIKeysFile != "" {
		keys, err := cfg.Auth.APIKeys()
		if err != nil {
			return front{}, err
		}
		f.callers.Keys = apiKeys(keys)
	}
	if f.callers.Denied, err = cfg.HTTP.DeniedCertificates(); err != nil {
		return front{}, err
	}
	if f.tls, err = cfg.HTTP.TLSConfig(); err != nil {
		return front{}, err
	}
	if f.tls != nil {
		f.callers.ClientCAs = f.tls.ClientCAs
		f.tls.VerifyConnection = api.VerifyConnection
	}
	return f, nil
}

// apiKeys converts keys for the API. The result is never nil: with nil the API would ignore keys.
func apiKeys(keys []config.APIKey) []api.Key {
	all := make([]api.Key, 0, len(keys))
	for _, k := range keys {
		all = append(all, api.Key{Name: k.Name, SHA256: k.SHA256})
	}
	return all
}

// withClientCAs returns f with other authorities of callers' certificates; nil means none.
func (f front) withClientCAs(pool *x509.CertPool) front {
	if pool == nil {
		pool = x509.NewCertPool()
	}
	f.tls = f.tls.Clone()
	f.tls.ClientCAs, f.callers.ClientCAs = pool, pool
	return f
}

// secure makes the main listener use TLS if c is not nil. Each handshake uses the configuration
// that is then in force.
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

// serve serves connections until the listener is closed.
func (l listener) serve() error {
	if l.server.TLSConfig != nil {
		return l.server.ServeTLS(l, "", "") // the certificate is in the configuration
	}
	return l.server.Serve(l)
}

// adoptFront applies new settings of the main listener from the next handshake and the next request
// on.
func (s *service) adoptFront(f front) {
	if f.tls != nil {
		s.tls.Store(f.tls)
	}
	s.api.SetCallers(f.callers)
	s.watchOwn(nil, f.tls)
}

// adoptPool applies new settings of the pool. If the pool refuses one of them, it applies none.
func (s *service) adoptPool(pool ldappool.Config) error {
	s.watchDirectory(pool.TLS)
	if err := s.pool.Reconfigure(pool); err != nil {
		return err
	}
	s.watchOwn(pool.TLS, nil)
	return nil
}
