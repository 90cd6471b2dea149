package config

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// authorities is the content of a file of certificate authorities.
type authorities struct {
	certs []*x509.Certificate // one for each block, in order; nil for a block that cannot be used
	lost  []string            // one for each block that cannot be used: why, and what to do about it
}

// pool returns the authorities as crypto/tls takes them.
func (a authorities) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range a.certs {
		if c != nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// readAuthorities reads a file of authorities in PEM (RFC 7468). The error says why none of them
// can be used. readable reports whether the file could be read.
func readAuthorities(file string) (a authorities, readable bool, err error) {
	data, err := readFile(file)
	if err != nil {
		return authorities{}, false, err
	}
	if err := notPEM(file, data); err != nil {
		return authorities{}, true, err
	}
	a = parseAuthorities(data)
	switch {
	case len(a.certs) > len(a.lost):
		return a, true, nil
	case len(a.lost) == 0:
		return a, true, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return a, true, fmt.Errorf("%s contains no usable PEM certificate: %s", file, strings.Join(a.lost, "; "))
}

// LostAuthorities returns a warning for each block that cannot be used in a file that also has
// usable blocks. variable is the variable that names the file. If file is empty, there are no
// warnings. LostAuthorities does not report an error that concerns the whole file.
func LostAuthorities(variable, file string) (warnings []string) {
	if file == "" {
		return nil
	}
	a, _, err := readAuthorities(file)
	if err != nil {
		return nil
	}
	for _, lost := range a.lost {
		warnings = append(warnings, fmt.Sprintf("%s: %s is used only in part: %s", variable, file, lost))
	}
	return warnings
}

// pemBegin is how a PEM block begins.
var pemBegin = []byte("-----BEGIN ")

// parseAuthorities reads the blocks of a file one by one, so that none is lost silently. It accepts
// blocks that are indented, or that follow each other without a newline.
func parseAuthorities(data []byte) (a authorities) {
	for at := bytes.Index(data, pemBegin); at >= 0; at = bytes.Index(data, pemBegin) {
		data = data[at:]
		end := len(data)
		if next := bytes.Index(data[len(pemBegin):], pemBegin); next >= 0 {
			end = len(pemBegin) + next
		}
		cert, err := parseAuthority(data[:end])
		a.certs = append(a.certs, cert)
		if err != nil {
			a.lost = append(a.lost, fmt.Sprintf("certificate %d %v", len(a.certs), err))
		}
		data = data[end:]
	}
	return a
}

// parseAuthority parses the block at the beginning of text.
func parseAuthority(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		block, _ = pem.Decode(unindented(text))
	}
	switch {
	case block == nil:
		return nil, errors.New("is damaged: its END line is missing, or its content is not base64")
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("is a private key, which does not belong here: remove it")
	case block.Type == "TRUSTED CERTIFICATE":
		return nil, errors.New("is a TRUSTED CERTIFICATE, a format of OpenSSL: convert it with openssl x509 -in FILE -out FILE.pem")
	case block.Type == "PKCS7":
		return nil, errors.New("is PKCS7: convert it with openssl pkcs7 -print_certs -in FILE -out FILE.pem")
	case block.Type != "CERTIFICATE":
		return nil, fmt.Errorf("is of type %q: it must be CERTIFICATE", block.Type)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil && strings.Contains(err.Error(), "negative serial number"): // crypto/x509 has no error type for it
		return nil, errors.New("has a negative serial number, which RFC 5280 forbids: replace it, or start the service with " +
			"GODEBUG=x509negativeserial=1, which accepts such certificates from servers and callers too")
	case err != nil:
		return nil, fmt.Errorf("cannot be parsed: %w", err)
	}
	return cert, nil
}

// unindented returns a text without the white space at both ends of its lines.
func unindented(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	for i := range lines {
		lines[i] = bytes.TrimSpace(lines[i])
	}
	return bytes.Join(lines, []byte("\n"))
}

// notPEM returns nil if data may be PEM, which is ASCII text (RFC 7468). Otherwise its error says
// what the file is and how to convert it to PEM.
func notPEM(file string, data []byte) error {
	utf16 := bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) ||
		bytes.Contains(data, []byte("-\x00-\x00-\x00B\x00")) || bytes.Contains(data, []byte("\x00-\x00-\x00-\x00B"))
	switch {
	case utf16:
		return fmt.Errorf("%s is UTF-16 text, and PEM must be ASCII: convert it with iconv -f utf-16 -t ascii %[1]s >FILE.pem, or save it as UTF-8 without a byte order mark",
			file)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return fmt.Errorf(`%s begins with a byte order mark (BOM), and PEM must be ASCII: remove it with sed -i '1s/^\xef\xbb\xbf//' %[1]s, or save the file without one`, file)
	case bytes.Contains(data, pemBegin):
		return nil
	case bytes.HasPrefix(data, []byte{0x30}):
		if _, err := x509.ParseCertificates(data); err == nil {
			return fmt.Errorf("%s is a DER certificate, and PEM is required: convert it with openssl x509 -inform der -in %[1]s -out FILE.pem", file)
		}
		return fmt.Errorf("%s is binary (DER), and PEM is required: if it is PKCS #7 (.p7b), convert it with openssl pkcs7 -inform der -print_certs -in %[1]s -out FILE.pem; "+
			"if it is PKCS #12 (.p12, .pfx), with openssl pkcs12 -nokeys -in %[1]s -out FILE.pem", file)
	}
	bare, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
	if err == nil && bytes.HasPrefix(bare, []byte{0x30}) {
		return fmt.Errorf("%s is base64 without the PEM lines: add -----BEGIN CERTIFICATE----- before it and -----END CERTIFICATE----- after it", file)
	}
	return nil
}
