// Package ldapurl reads the URLs of directory servers (RFC 4516, of which scheme, host and port are
// used). No other package parses them.
package ldapurl

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Scheme says how a server is reached.
type Scheme string

// The schemes.
const (
	LDAP   Scheme = "ldap"     // without TLS, or with StartTLS
	LDAPS  Scheme = "ldaps"    // with TLS from the first byte
	LDAPI  Scheme = "ldapi"    // over a Unix socket
	Domain Scheme = "ldap+srv" // the servers that the DNS names for a domain (RFC 2782)
)

// URL is a server's URL.
type URL struct {
	Scheme Scheme
	Host   string // a name or an address without brackets; with Domain the domain
	Port   string // empty: the scheme's
	Socket string // with LDAPI, the path of the socket
	path   string // with LDAPI, Socket as it was written
}

// The errors of Parse, each for one thing to correct.
var (
	ErrNoURL    = errors.New("is not a URL")
	ErrScheme   = errors.New("must begin with ldap://, ldaps://, ldapi:// or ldap+srv://")
	ErrSocket   = errors.New("must have its socket's path percent-encoded, as in ldapi://%2frun%2fslapd%2fldapi")
	ErrUser     = errors.New("must not contain a user or a password")
	ErrShape    = errors.New("must have only a scheme, a host and a port")
	ErrNoHost   = errors.New("has no host")
	ErrDomain   = errors.New("must have only a domain: the DNS gives hosts and ports")
	ErrBrackets = errors.New("must have its IPv6 address in brackets, as in ldap://[2001:db8::1]:389")
	ErrPort     = errors.New("must have a port of 1 to 65535")
)

// Parse reads a URL. An error does not repeat the URL, which may hold a password: see
// [WithoutUser].
func Parse(raw string) (URL, error) {
	text, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return URL{}, ErrNoURL
	}
	switch scheme := Scheme(strings.ToLower(text)); scheme {
	case LDAPI:
		return parseSocket(rest)
	case LDAP, LDAPS, Domain:
		return parseHost(scheme, raw)
	}
	return URL{}, ErrScheme
}

// parseSocket reads what follows ldapi://, whose path OpenLDAP has percent-encoded.
func parseSocket(rest string) (URL, error) {
	rest = strings.TrimSuffix(rest, "/")
	path, err := url.PathUnescape(rest)
	if err != nil || !strings.HasPrefix(path, "/") {
		return URL{}, ErrSocket
	}
	return URL{Scheme: LDAPI, Socket: path, path: rest}, nil
}

func parseHost(scheme Scheme, raw string) (URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return URL{}, ErrShape
	case u.User != nil:
		return URL{}, ErrUser
	case u.Hostname() == "":
		return URL{}, ErrNoHost
	case scheme == Domain && (u.Port() != "" || net.ParseIP(u.Hostname()) != nil):
		return URL{}, ErrDomain
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return URL{}, ErrBrackets
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
		return URL{}, ErrPort
	}
	return URL{Scheme: scheme, Host: u.Hostname(), Port: u.Port()}, nil
}

// String returns the canonical form, which is the same for all URLs of one server.
func (u URL) String() string {
	if u.Scheme == LDAPI {
		return string(LDAPI) + "://" + u.path
	}
	host := strings.ToLower(u.Host)
	if name, zone, ok := strings.Cut(u.Host, "%"); ok { // a zone's name has its own case (RFC 6874)
		host = strings.ToLower(name) + "%25" + zone
	} else if addr, err := netip.ParseAddr(u.Host); err == nil { // an IPv4-mapped one as IPv4
		host = addr.Unmap().String()
	}
	switch {
	case u.Port != "":
		host = net.JoinHostPort(host, u.Port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return string(u.Scheme) + "://" + host
}

// Address is where the server listens, host:port. It is empty for a socket and for a domain.
func (u URL) Address() string {
	port := u.Port
	if port == "" {
		port = map[Scheme]string{LDAP: "389", LDAPS: "636"}[u.Scheme]
	}
	if port == "" {
		return ""
	}
	return net.JoinHostPort(u.Host, port)
}

// BeginsInTheClear reports whether the connections have no TLS except by StartTLS. The servers of a
// domain are ldap:// ones.
func (u URL) BeginsInTheClear() bool { return u.Scheme == LDAP || u.Scheme == Domain }

// SchemeOf returns the scheme of a URL without parsing the rest, or "".
func SchemeOf(raw string) Scheme {
	scheme, _, _ := strings.Cut(raw, "://")
	switch s := Scheme(strings.ToLower(scheme)); s {
	case LDAP, LDAPS, LDAPI, Domain:
		return s
	}
	return ""
}

// HoldsUser reports whether a URL, or a part of one, has a user in it. A socket's path may have an
// @.
func HoldsUser(raw string) bool { return strings.Contains(raw, "@") && SchemeOf(raw) != LDAPI }

// Redacted replaces what WithoutUser removes.
const Redacted = "[redacted]"

// WithoutUser replaces the part before an @ of a URL, which may be a password.
func WithoutUser(raw string) string {
	at := strings.LastIndex(raw, "@")
	if at < 0 {
		return raw
	}
	scheme, _, ok := strings.Cut(raw[:at], "://")
	if !ok {
		return Redacted + raw[at:]
	}
	return scheme + "://" + Redacted + raw[at:]
}
