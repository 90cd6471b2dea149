package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// APIKey is a key that callers may send. Only its hash is kept, never the key itself.
type APIKey struct {
	Name   string // of the key's owner; one name may have several keys, so that a key can be replaced without a gap
	SHA256 [sha256.Size]byte
}

// Bounds of a file with API keys.
const (
	maxAPIKeys     = 10_000
	maxAPIKeysFile = 1 << 20 // bytes
	maxCallerName  = 64      // bytes
)

// Errors of a line. They never repeat its text, which may be a key.
var (
	errKeyLine  = errors.New("must be a name and the SHA-256 of a key in hexadecimal, separated by white space")
	errKeyName  = fmt.Errorf("the name must be 1 to %d characters of A-Z a-z 0-9 . _ -", maxCallerName)
	errKeyHash  = errors.New("the SHA-256 must be 64 hexadecimal digits")
	errKeyEmpty = errors.New("the SHA-256 is that of an empty key: compute it from the key")
	errKeyTwice = errors.New("the key occurs twice: each caller needs its own")
)

// APIKeys reads the keys from their file at each call. It returns none if no file is named or the
// file has none. An error names the line and the rule. The keys returned with an error are those of
// the valid lines, or nil if the file could not be read.
func (a *Auth) APIKeys() ([]APIKey, error) {
	if a.APIKeysFile == "" {
		return nil, nil
	}
	content, err := readFile(a.APIKeysFile)
	if err != nil {
		return nil, err
	}
	keys, err := parseAPIKeys(content)
	if err != nil {
		err = fmt.Errorf("%s: %w", a.APIKeysFile, err)
	}
	return keys, err
}

// parseAPIKeys parses lines of the form "name sha256-hex". It ignores blank lines and lines that
// begin with #. The error is about the first wrong line, and the keys are those of the valid lines.
func parseAPIKeys(content []byte) (keys []APIKey, wrong error) {
	keys = []APIKey{}
	if len(content) > maxAPIKeysFile {
		wrong = fmt.Errorf("must be at most %d bytes", maxAPIKeysFile)
	}
	seen := map[[sha256.Size]byte]bool{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := strings.Trim(string(line), " \t\r\n")
		if text == "" || text[0] == '#' {
			continue
		}
		key, err := parseAPIKey(text)
		switch {
		case err != nil:
		case seen[key.SHA256]:
			err = errKeyTwice
		default:
			if len(keys) == maxAPIKeys {
				err = fmt.Errorf("the file must have at most %d keys", maxAPIKeys)
			}
			seen[key.SHA256] = true
			keys = append(keys, key)
		}
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("line %d: %w", number, err)
		}
	}
	return keys, wrong
}

// validateCallers checks the files that say which callers are admitted. It reads them.
func (c *Config) validateCallers(wrong *problems) {
	switch keys, err := c.Auth.APIKeys(); {
	case err != nil:
		wrong.add("AUTH_API_KEYS_FILE", "%v", err)
	// If certificates are accepted too, a file without keys refuses only callers with keys. The
	// other callers are still admitted after a restart.
	case c.Auth.APIKeysFile != "" && len(keys) == 0 && c.HTTP.TLSClientCAFile == "":
		wrong.add("AUTH_API_KEYS_FILE", "%s: contains no key, so every caller would be refused", c.Auth.APIKeysFile)
	case c.Auth.APIKeysFile != "" && len(keys) == 0:
		c.Warnings = append(c.Warnings, "AUTH_API_KEYS_FILE: contains no key, so only callers with a certificate are admitted")
	}
	switch _, err := c.HTTP.DeniedCertificates(); {
	case err != nil:
		wrong.add("HTTP_TLS_CLIENT_DENY_FILE", "%v", err)
	case c.HTTP.TLSClientDenyFile != "" && c.HTTP.TLSClientCAFile == "":
		wrong.add("HTTP_TLS_CLIENT_CA_FILE", "is required with HTTP_TLS_CLIENT_DENY_FILE")
	}
}

// parseAPIKey parses a line that is neither blank nor a comment.
func parseAPIKey(text string) (key APIKey, err error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(words) != 2 {
		return key, errKeyLine
	}
	if !callerName(words[0]) {
		return key, errKeyName
	}
	sum, err := hex.DecodeString(words[1])
	if err != nil || len(sum) != len(key.SHA256) {
		return key, errKeyHash
	}
	key = APIKey{words[0], [sha256.Size]byte(sum)}
	if key.SHA256 == sha256.Sum256(nil) {
		return key, errKeyEmpty
	}
	return key, nil
}

// callerName reports whether a name can be written unchanged into a log line and a metric's label.
func callerName(name string) bool {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return name != "" && len(name) <= maxCallerName && strings.Trim(name, allowed) == ""
}

// validateTLS checks the main listener's files by reading them.
func (h *HTTP) validateTLS(wrong *problems) {
	_, err := keyPair(h.TLSCertFile, h.TLSKeyFile)
	switch {
	case h.TLSCertFile != "" && h.TLSKeyFile == "":
		wrong.add("HTTP_TLS_KEY_FILE", "is required with HTTP_TLS_CERT_FILE")
	case h.TLSCertFile == "" && h.TLSKeyFile != "":
		wrong.add("HTTP_TLS_CERT_FILE", "is required with HTTP_TLS_KEY_FILE")
	case err != nil:
		wrong.add("HTTP_TLS_CERT_FILE", "%v", err)
	}
	switch _, err := roots(h.TLSClientCAFile); {
	case err != nil:
		wrong.add("HTTP_TLS_CLIENT_CA_FILE", "%v", err)
	case h.TLSClientCAFile != "" && h.TLSCertFile == "":
		wrong.add("HTTP_TLS_CERT_FILE", "is required with HTTP_TLS_CLIENT_CA_FILE")
	}
}

// TLSConfig returns the TLS configuration of the main listener, or nil if the listener does not use
// TLS. It reads the files at each call.
//
// If there are client authorities, the listener asks callers for a certificate but does not require
// one: a key may be enough, and health probes need neither. ClientAuth therefore accepts any
// certificate whose private key the caller has proved to hold. The handler of a login verifies it
// against ClientCAs.
func (h *HTTP) TLSConfig() (*tls.Config, error) {
	if h.TLSCertFile == "" {
		return nil, nil
	}
	certs, err := h.KeyPair()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if h.TLSClientCAFile == "" {
		return c, nil
	}
	if c.ClientCAs, err = h.ClientCAs(); err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequestClientCert
	return c, nil
}

// KeyPair reads the main listener's certificate and key at each call.
func (h *HTTP) KeyPair() ([]tls.Certificate, error) {
	certs, err := keyPair(h.TLSCertFile, h.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("HTTP_TLS_CERT_FILE: %w", err)
	}
	return certs, nil
}

// ClientCAs reads the authorities of callers' certificates at each call. With an error it returns
// an empty pool if the file holds no certificate, and nil if the file could not be read.
func (h *HTTP) ClientCAs() (*x509.CertPool, error) {
	pool, err := roots(h.TLSClientCAFile)
	if err != nil {
		err = fmt.Errorf("HTTP_TLS_CLIENT_CA_FILE: %w", err)
	}
	return pool, err
}

// maxDenyFile bounds the file with denied certificates, in bytes: more than ten thousand lines.
const maxDenyFile = 1 << 20

var errFingerprint = errors.New("must be the SHA-256 fingerprint of a certificate: 64 hexadecimal digits, with or without colons")

// DeniedCertificates reads the SHA-256 fingerprints of denied certificates at each call. It returns
// none if no file is named or the file has none. An error names the line and the rule. The
// fingerprints returned with an error are those of the valid lines.
func (h *HTTP) DeniedCertificates() (map[[sha256.Size]byte]bool, error) {
	if h.TLSClientDenyFile == "" {
		return nil, nil
	}
	content, err := readFile(h.TLSClientDenyFile)
	if err != nil {
		return nil, err
	}
	denied, err := parseFingerprints(content)
	if err != nil {
		err = fmt.Errorf("%s: %w", h.TLSClientDenyFile, err)
	}
	return denied, err
}

// parseFingerprints parses one fingerprint a line; # begins a comment. The error is about the first
// wrong line, and the fingerprints are those of the valid lines.
func parseFingerprints(content []byte) (denied map[[sha256.Size]byte]bool, wrong error) {
	if len(content) > maxDenyFile {
		wrong = fmt.Errorf("must be at most %d bytes", maxDenyFile)
	}
	denied = map[[sha256.Size]byte]bool{}
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text, _, _ := strings.Cut(string(line), "#")
		if text = strings.Trim(text, " \t\r\n"); text == "" {
			continue
		}
		fingerprint, err := parseFingerprint(text)
		if err != nil {
			if wrong == nil {
				wrong = fmt.Errorf("line %d: %w", number, err)
			}
			continue
		}
		denied[fingerprint] = true
	}
	return denied, wrong
}

// parseFingerprint parses pairs of hexadecimal digits, with a colon between all pairs or between
// none. OpenSSL's label "sha256 Fingerprint=" may precede them.
func parseFingerprint(text string) (fingerprint [sha256.Size]byte, err error) {
	if label, digits, ok := strings.Cut(text, "="); ok && strings.EqualFold(label, "sha256 Fingerprint") {
		text = digits
	}
	pairs := text
	if strings.Contains(text, ":") {
		pairs = strings.ReplaceAll(text, ":", "")
		for i := 2; i < len(text); i += 3 {
			if text[i] != ':' {
				return fingerprint, errFingerprint
			}
		}
		if len(text) != 3*sha256.Size-1 {
			return fingerprint, errFingerprint
		}
	}
	sum, err := hex.DecodeString(pairs)
	if err != nil || len(sum) != sha256.Size {
		return fingerprint, errFingerprint
	}
	return [sha256.Size]byte(sum), nil
}
