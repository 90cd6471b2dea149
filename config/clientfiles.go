package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// maxKeyFile bounds a file that holds one API key, in bytes.
const maxKeyFile = 4096

// ReadRoots reads the certificate authorities that a client of the service trusts. If file is empty
// it returns nil, which means the system's authorities.
func ReadRoots(file string) (*x509.CertPool, error) { return roots(file) }

// ReadKeyPair reads the certificate and the key that a client of the service shows. It returns none
// if either file is empty.
func ReadKeyPair(certFile, keyFile string) ([]tls.Certificate, error) {
	return keyPair(certFile, keyFile)
}

// ReadAPIKey reads a file that holds one API key and may end with a newline. It returns "" if file
// is empty. The error never repeats what the file holds.
func ReadAPIKey(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := readFile(file)
	if err != nil {
		return "", err
	}
	key := bytes.TrimRight(content, "\r\n")
	switch {
	case len(key) == 0:
		return "", errors.New("the file is empty")
	case len(key) > maxKeyFile:
		return "", errors.New("the file must hold one key of at most 4096 bytes")
	}
	for _, c := range key {
		if c <= ' ' || c > '~' {
			return "", errors.New("the file must hold one key, in visible ASCII without white space")
		}
	}
	return string(key), nil
}
