package app

import (
	"crypto/tls"
	"crypto/x509"

	"authsvc/api"
	"authsvc/config"
	"authsvc/ldappool"
)

// listenerFiles are the settings of the main listener that come from files: its certificate, and
// which callers it admits.
type listenerFiles struct {
	tls     *tls.Config // nil without TLS
	callers api.Callers
}

// newListenerFiles reads the files that cfg names.
func newListenerFiles(cfg *config.Config) (f listenerFiles, err error) {
	f.callers.Anybody = cfg.Auth.APIKeysFile == "" && cfg.HTTP.TLSClientCAFile == ""
	if cfg.Auth.APIKeysFile != "" {
		keys, err := cfg.Auth.APIKeys()
		if err != nil {
			return listenerFiles{}, err
		}
		f.callers.Keys = apiKeys(keys)
	}
	if f.callers.Denied, err = cfg.HTTP.DeniedCertificates(); err != nil {
		return listenerFiles{}, err
	}
	if f.tls, err = cfg.HTTP.TLSConfig(); err != nil {
		return listenerFiles{}, err
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
func (f listenerFiles) withClientCAs(pool *x509.CertPool) listenerFiles {
	if pool == nil {
		pool = x509.NewCertPool()
	}
	f.tls = f.tls.Clone()
	f.tls.ClientCAs, f.callers.ClientCAs = pool, pool
	return f
}

// adoptFiles applies new settings of the main listener from the next handshake and the next request
// on.
func (a *App) adoptFiles(f listenerFiles) {
	if f.tls != nil {
		a.tls.Store(f.tls)
	}
	a.api.SetCallers(f.callers)
	a.observers.reportOwnCertificates(nil, f.tls)
}

// adoptPool applies new settings of the pool. If the pool refuses one of them, it applies none.
func (a *App) adoptPool(pool ldappool.Config) error {
	a.logins.Forget("") // another directory may answer from now on, or another service identity see more
	a.observers.reportDirectoryCertificates(pool.TLS)
	if err := a.pool.Reconfigure(pool); err != nil {
		return err
	}
	a.observers.reportOwnCertificates(pool.TLS, nil)
	return nil
}
