package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

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
