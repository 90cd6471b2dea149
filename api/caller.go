package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
)

// Callers says who may ask for logins. Where both keys and authorities are given, either is enough.
// The zero value admits no caller.
type Callers struct {
	// Anybody admits every caller, whatever else is set.
	Anybody bool
	// Keys are those that callers send as "Authorization: Bearer KEY" (RFC 6750 section 2.1). None
	// of them, where they are not nil, means that every key is refused.
	Keys []Key
	// ClientCAs sign the certificates that callers show in the TLS handshake. The listener must ask
	// for one and may leave it unverified (tls.RequestClientCert): that is done here, for each
	// connection and after each SetCallers.
	ClientCAs *x509.CertPool
	// Denied are the SHA-256 fingerprints of certificates that are refused although an authority
	// signed them, as a caller's own or as one that signs it.
	Denied map[[sha256.Size]byte]bool
}

// Key is one caller's key, known by its hash.
type Key struct {
	Name   string // of the caller
	SHA256 [sha256.Size]byte
}

// SetCallers replaces those who may ask. It holds for every request that comes in from now on, on
// connections that are open too. Callers is not to be changed afterwards.
func (s *Server) SetCallers(c Callers) { s.callers.Store(&c) }

// The causes of a refused caller, for the log: the caller itself is given no hint.
var (
	errNoCredential = errors.New("the caller presents neither a key nor a certificate")
	errNoBearer     = errors.New("the caller's Authorization header must be one Bearer key")
	errTwoKeys      = errors.New("the caller's Authsvc-Key header is not one key")
	errUnknownKey   = errors.New("the caller's key is not in AUTH_API_KEYS_FILE")
)

// callerKey is where the caller is kept for whoever tells of its request.
const callerKey = "caller"

// keyOf returns the key that a request shows. given reports whether it shows one, right or wrong.
type keyOf func(h http.Header) (key string, given bool, err error)

// admit checks whether the caller of a request may ask for logins, and remembers who it is. The
// error is the cause of a refusal.
func (s *Server) admit(c echo.Context, key keyOf) error {
	allowed := s.callers.Load()
	if allowed.Anybody {
		return nil
	}
	caller, err := allowed.identify(c.Request(), key)
	if err != nil {
		return err
	}
	c.Set(callerKey, caller)
	return nil
}

// bearerKey is the key of a program: "Authorization: Bearer KEY".
func bearerKey(h http.Header) (key string, given bool, err error) {
	headers := h[echo.HeaderAuthorization]
	if len(headers) == 0 {
		return "", false, nil
	}
	if len(headers) != 1 {
		return "", true, errNoBearer
	}
	scheme, key, ok := strings.Cut(headers[0], " ")
	if key = strings.TrimLeft(key, " "); !ok || key == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", true, errNoBearer
	}
	return key, true, nil
}

// forwardKey is the key that a reverse proxy sends: the Authorization header is the user's.
func forwardKey(h http.Header) (key string, given bool, err error) {
	switch keys := h[headerCallerKey]; len(keys) {
	case 0:
		return "", false, nil
	case 1:
		return keys[0], true, nil
	}
	return "", true, errTwoKeys
}

// callerOf is the caller that admit found, or none.
func callerOf(c echo.Context) auth.Caller {
	caller, _ := c.Get(callerKey).(auth.Caller)
	return caller
}

// identify finds out who asks: by the key if one is sent and fits, else by the certificate.
func (a *Callers) identify(r *http.Request, keyOf keyOf) (auth.Caller, error) {
	fault := errNoCredential
	if key, given, err := keyOf(r.Header); a.Keys != nil && given {
		name := ""
		if err == nil {
			name, err = a.byKey(key)
		}
		if err == nil {
			return auth.Caller{Name: name, By: auth.ByKey}, nil
		}
		fault = err
	}
	if a.ClientCAs != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		name, err := a.byCertificate(r)
		if err == nil {
			return auth.Caller{Name: name, By: auth.ByCertificate}, nil
		}
		fault = err
	}
	return auth.Caller{}, fault
}

// byKey names the caller whose key it is.
//
// What is compared are hashes, in constant time each, and all of them however soon one fits: the
// time tells neither a key's beginning nor its place in the file.
func (a *Callers) byKey(key string) (string, error) {
	given, found := sha256.Sum256([]byte(key)), -1
	for i := range a.Keys {
		same := subtle.ConstantTimeCompare(given[:], a.Keys[i].SHA256[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return "", errUnknownKey
	}
	return a.Keys[found].Name, nil
}
