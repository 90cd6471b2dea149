package ldapconn

import (
	"fmt"

	"authsvc/ldappool/ldapurl"
)

// Security is how the connections to an endpoint are secured.
type Security int

// The kinds of security.
const (
	Plain    Security = iota // no TLS
	StartTLS                 // TLS on request (RFC 4511 section 4.14)
	TLS                      // TLS from the first byte
)

// Endpoint is where a server listens, and how it is reached.
type Endpoint struct {
	Network  string // "tcp" or "unix"
	Address  string // host:port to dial, or the path of a Unix socket
	Name     string // the name or IP address that the server's certificate must have
	Security Security
}

// ParseURL reads a server's URL (RFC 4516, of which scheme, host and port are used):
// ldap://host:port, ldaps://host:port, or ldapi://path as OpenLDAP has it, whose path is
// percent-encoded. Without a port it is 389 or 636. The Address of the endpoint holds the URL's
// host; a caller that looked its addresses up replaces it, and keeps Name.
func ParseURL(raw string) (Endpoint, error) {
	u, err := ldapurl.Parse(raw)
	if err != nil || u.Scheme == ldapurl.Domain {
		return Endpoint{}, badURL(raw, err)
	}
	if u.Scheme == ldapurl.LDAPI {
		return Endpoint{Network: "unix", Address: u.Socket}, nil
	}
	e := Endpoint{Network: "tcp", Address: u.Address(), Name: u.Host}
	if u.Scheme == ldapurl.LDAPS {
		e.Security = TLS
	}
	return e, nil
}

// badURL returns an error that says what is wrong with a URL and what to write instead, without a
// password in it.
func badURL(raw string, err error) error {
	const want = "must be ldap://host:port, ldaps://host:port or ldapi://path"
	if err == nil {
		return fmt.Errorf("%q: %s", raw, want)
	}
	return fmt.Errorf("%q %w: %s", ldapurl.WithoutUser(raw), err, want)
}
