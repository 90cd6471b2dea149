package config

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// APIKey is one key that a caller may show. The key itself is nowhere: only its hash.
type APIKey struct {
	Name   string // whose it is; several keys may be of one name, so that they can be changed without a gap
	SHA256 [sha256.Size]byte
}

// Bounds of a file with API keys.
const (
	maxAPIKeys     = 10_000
	maxAPIKeysFile = 1 << 20 // bytes
	maxCallerName  = 64      // bytes
)

// The rules of a line. What stands in it is never repeated: it may be a key.
var (
	errKeyLine  = errors.New("must be a name and the SHA-256 of a key, in hexadecimal, with white space between")
	errKeyName  = fmt.Errorf("the name must be 1 to %d of A-Z a-z 0-9 . _ -", maxCallerName)
	errKeyHash  = errors.New("the SHA-256 must be 64 hexadecimal digits")
	errKeyEmpty = errors.New("the SHA-256 is that of nothing: whatever made it was given no key")
	errKeyTwice = errors.New("the key is there twice: nobody could tell whose it is")
)

// APIKeys reads the keys anew; none where no file is named. Its error names the line and the rule.
func (a *Auth) APIKeys() ([]APIKey, error) {
	if a.APIKeysFile == "" {
		return nil, nil
	}
	content, err := os.ReadFile(a.APIKeysFile)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	keys, err := parseAPIKeys(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.APIKeysFile, err)
	}
	return keys, nil
}

// parseAPIKeys reads "name sha256-hex" lines. Blank ones and those that begin with # say nothing.
func parseAPIKeys(content []byte) ([]APIKey, error) {
	if len(content) > maxAPIKeysFile {
		return nil, fmt.Errorf("is longer than %d bytes", maxAPIKeysFile)
	}
	var keys []APIKey
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
		case len(keys) == maxAPIKeys:
			err = fmt.Errorf("there are more than %d keys", maxAPIKeys)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		seen[key.SHA256] = true
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key, so that nobody could call")
	}
	return keys, nil
}

// parseAPIKey reads one line that says something.
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

// callerName tells whether a name can stand in a log line and as a metric's label as it is.
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

// TLSConfig makes the configuration of the main listener, reading the files anew; nil where it speaks no TLS.
//
// A caller is asked for a certificate where there are authorities for it, and need not show one: a key may do as well, and
// probes need neither. So ClientAuth lets every certificate pass, once its owner has proved to have its private key, and
// whoever serves a login checks it against ClientCAs.
func (h *HTTP) TLSConfig() (*tls.Config, error) {
	if h.TLSCertFile == "" {
		return nil, nil
	}
	certs, err := keyPair(h.TLSCertFile, h.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("HTTP_TLS_CERT_FILE: %w", err)
	}
	c := &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if h.TLSClientCAFile == "" {
		return c, nil
	}
	if c.ClientCAs, err = roots(h.TLSClientCAFile); err != nil {
		return nil, fmt.Errorf("HTTP_TLS_CLIENT_CA_FILE: %w", err)
	}
	c.ClientAuth = tls.RequestClientCert
	return c, nil
}
