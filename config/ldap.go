package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"
)

// placeholder stands in filters and templates for what was typed.
const placeholder = "{username}"

// validate checks how the directory is reached and how users are found.
func (l *LDAP) validate(sources map[string]source, wrong *problems) {
	l.validateURLs(wrong)
	l.validateTLS(wrong)
	l.validateIdentity(wrong)
	if l.UserDNTemplate != "" {
		l.validateTemplate(sources, wrong)
	} else {
		l.validateSearch(wrong)
	}
	oneOf(wrong, "LDAP_PRESET", l.Preset, presetNames()...)
	l.validateGroups(sources, wrong)
	oneOf(wrong, "LDAP_USER_SCOPE", l.UserScope, "sub", "one")
	oneOf(wrong, "LDAP_SERVER_POLICY", l.ServerPolicy, "failover", "round_robin")
	oneOf(wrong, "LDAP_BIND_RETRY", l.BindRetry, "no_response", "unsent")
	for _, a := range l.Attributes {
		if !attribute(a) {
			wrong.add("LDAP_ATTRIBUTES", "%q is not an attribute's name", a)
		}
	}
	if !attribute(l.UserNameAttribute) {
		wrong.add("LDAP_USER_NAME_ATTRIBUTE", "%q is not an attribute's name", l.UserNameAttribute)
	}
}

// BindOnly tells whether logins do without searches.
func (l *LDAP) BindOnly() bool { return l.UserDNTemplate != "" && !l.Groups }

// validateURLs checks and normalizes the servers.
func (l *LDAP) validateURLs(wrong *problems) {
	if len(l.URLs) == 0 {
		wrong.add("LDAP_URL", "is required")
		return
	}
	if slices.ContainsFunc(l.URLs, holdsUser) {
		// A password may have commas in it: no item shows where it begins.
		wrong.add("LDAP_URL", "%q must not hold a user or a password: those are LDAP_BIND_DN and LDAP_BIND_PASSWORD",
			withoutUser(strings.Join(l.URLs, ",")))
		return
	}
	var seen List
	for _, raw := range l.URLs {
		u, err := serverURL(raw)
		switch {
		case err != nil:
			wrong.add("LDAP_URL", "%q %v", raw, err)
			return
		case slices.Contains(seen, u):
			wrong.add("LDAP_URL", "%q is in the list twice", u)
			return
		}
		seen = append(seen, u)
	}
	l.URLs = seen
	if l.StartTLS && !slices.ContainsFunc(seen, beginsInTheClear) {
		wrong.note("LDAP_START_TLS", "", "is for ldap:// servers, and LDAP_URL has none")
	}
}

// beginsInTheClear tells whether a URL's connections have no TLS but by StartTLS. Servers that the DNS names are ldap:// ones.
func beginsInTheClear(u string) bool {
	return strings.HasPrefix(u, "ldap://") || strings.HasPrefix(u, "ldap+srv://")
}

// holdsUser tells whether a URL, or what a comma left of one, has a user in it. A socket's path may have an @.
func holdsUser(raw string) bool {
	return strings.Contains(raw, "@") && !strings.HasPrefix(strings.ToLower(raw), "ldapi://")
}

// withoutUser hides what stands before an @ of a URL, which may be somebody's password.
func withoutUser(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	at := strings.LastIndex(rest, "@")
	if !ok || at < 0 {
		return raw
	}
	return scheme + "://" + redacted + rest[at:]
}

// serverURL checks one server's URL and gives it without what means nothing.
func serverURL(raw string) (string, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok:
		return "", errors.New("is not a URL")
	case scheme == "ldapi":
		path, err := url.PathUnescape(strings.TrimSuffix(rest, "/"))
		if err != nil || !strings.HasPrefix(path, "/") {
			return "", errors.New("must have its socket's path percent-encoded, as in ldapi://%2frun%2fslapd%2fldapi")
		}
		return "ldapi://" + strings.TrimSuffix(rest, "/"), nil
	case scheme != "ldap" && scheme != "ldaps" && scheme != "ldap+srv":
		return "", errors.New("must begin with ldap://, ldaps://, ldapi:// or ldap+srv://")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("must be scheme, host and port and nothing else")
	case u.Hostname() == "":
		return "", errors.New("has no host")
	case scheme == "ldap+srv" && (u.Port() != "" || net.ParseIP(u.Hostname()) != nil):
		return "", errors.New("must have a domain and nothing else: the DNS tells hosts and ports")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return "", errors.New("must have its IPv6 address in brackets, as in ldap://[2001:db8::1]:389")
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
		return "", errors.New("must have a port of 1 to 65535")
	}
	address, zone, _ := strings.Cut(strings.TrimSuffix(u.Host, ":"), "%") // a zone's name has its own case (RFC 6874)
	u = &url.URL{Scheme: scheme, Host: strings.ToLower(address)}
	if zone != "" {
		u.Host += "%" + zone
	}
	return u.String(), nil
}

// validateTLS checks the files by reading them.
func (l *LDAP) validateTLS(wrong *problems) {
	oneOf(wrong, "LDAP_TLS_MIN_VERSION", l.TLSMinVersion, "1.2", "1.3")
	if n := l.TLSServerName; strings.ContainsAny(n, ":/ ") && net.ParseIP(n) == nil {
		wrong.add("LDAP_TLS_SERVER_NAME", "%q is not a host's name", n)
	}
	if _, err := roots(l.CAFile); err != nil {
		wrong.add("LDAP_CA_FILE", "%v", err)
	}
	if (l.CertFile == "") != (l.KeyFile == "") {
		missing, set := "LDAP_KEY_FILE", "LDAP_CERT_FILE"
		if l.CertFile == "" {
			missing, set = set, missing
		}
		wrong.add(missing, "is required with %s", set)
		return
	}
	if _, err := keyPair(l.CertFile, l.KeyFile); err != nil {
		wrong.add("LDAP_CERT_FILE", "%v", err)
	}
}

// TLSConfig makes the configuration of TLS connections to the directory, reading the files anew.
func (l *LDAP) TLSConfig() (*tls.Config, error) {
	pool, err := roots(l.CAFile)
	if err != nil {
		return nil, fmt.Errorf("LDAP_CA_FILE: %w", err)
	}
	certs, err := keyPair(l.CertFile, l.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("LDAP_CERT_FILE: %w", err)
	}
	c := &tls.Config{RootCAs: pool, Certificates: certs, ServerName: l.TLSServerName, MinVersion: tls.VersionTLS12}
	if l.TLSMinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	c.InsecureSkipVerify = l.TLSInsecureSkipVerify
	return c, nil
}

// IsTLSFile tells whether a file is one that TLSConfig reads.
func (l *LDAP) IsTLSFile(file string) bool {
	return file != "" && (file == l.CAFile || file == l.CertFile || file == l.KeyFile)
}

// roots reads authorities; nil, the system's, where no file is named.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// keyPair reads a certificate and its key; none where no file is named.
func keyPair(certFile, keyFile string) ([]tls.Certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are not a certificate and its key: %w", certFile, keyFile, err)
	}
	return []tls.Certificate{cert}, nil
}

// validateIdentity checks that the service identity is whole: a DN without a password would bind as nobody and succeed
// (RFC 4513 section 5.1.2).
func (l *LDAP) validateIdentity(wrong *problems) {
	password := l.BindPassword.Reveal() != ""
	switch {
	case l.BindDN != "" && !password && !wrong.has("LDAP_BIND_PASSWORD_FILE"):
		wrong.add("LDAP_BIND_PASSWORD", "is required with LDAP_BIND_DN, here or as LDAP_BIND_PASSWORD_FILE")
	case l.BindDN == "" && password:
		wrong.add("LDAP_BIND_DN", "is required with LDAP_BIND_PASSWORD")
	}
}

// validateSearch checks base DNs and filter.
func (l *LDAP) validateSearch(wrong *problems) {
	if len(l.BaseDNs) == 0 {
		wrong.add("LDAP_BASE_DN", "is required, or LDAP_USER_DN_TEMPLATE in its place")
	}
	for _, dn := range l.BaseDNs {
		if _, err := ldap.ParseDN(dn); err != nil {
			wrong.add("LDAP_BASE_DN", "%q is not a DN (RFC 4514): %v", dn, err)
		}
	}
	filter := l.UserFilter
	if !strings.Contains(filter, placeholder) {
		wrong.add("LDAP_USER_FILTER", "%q has no %s", filter, placeholder)
		return
	}
	if _, err := ldap.CompileFilter(strings.ReplaceAll(filter, placeholder, "name")); err != nil {
		wrong.add("LDAP_USER_FILTER", "%q is not a filter (RFC 4515): %v", filter, err)
		return
	}
	if !assertedOnly(filter) {
		wrong.add("LDAP_USER_FILTER", "%q has %s where no value stands", filter, placeholder)
	}
}

// assertedOnly tells whether a filter that compiles has its placeholders in assertion values only: between the parenthesis
// that opens an item and its value there is an equals sign, and before that there is none (RFC 4515 section 3).
func assertedOnly(filter string) bool {
	pieces := strings.Split(filter, placeholder)
	before := ""
	for _, piece := range pieces[:len(pieces)-1] {
		before += piece
		if !strings.Contains(before[strings.LastIndex(before, "(")+1:], "=") {
			return false
		}
	}
	return true
}

// validateTemplate checks a DN template and that nothing is set that only a search could heed.
func (l *LDAP) validateTemplate(sources map[string]source, wrong *problems) {
	t := l.UserDNTemplate
	dn, err := ldap.ParseDN(strings.ReplaceAll(t, placeholder, "name"))
	switch {
	case !strings.Contains(t, placeholder):
		wrong.add("LDAP_USER_DN_TEMPLATE", "%q has no %s", t, placeholder)
	case l.Preset == "ad" && principal(t):
	case err != nil || len(dn.RDNs) == 0:
		wrong.add("LDAP_USER_DN_TEMPLATE", "%q is not a DN (RFC 4514) with %s in it", t, placeholder)
	case !valuesOnly(t):
		wrong.add("LDAP_USER_DN_TEMPLATE", "%q has %s where no value stands", t, placeholder)
	}
	for _, v := range []string{"LDAP_BASE_DN", "LDAP_USER_FILTER", "LDAP_USER_SCOPE", "LDAP_USER_NAME_ATTRIBUTE", "LDAP_ATTRIBUTES"} {
		if _, set := sources[v]; set {
			wrong.note(v, "", "is for a search, and LDAP_USER_DN_TEMPLATE does without: only one of the two can be meant")
		}
	}
}

// principal tells whether a template makes a user principal name of AD's: the placeholder, an @, and a domain's name.
func principal(template string) bool {
	domain, ok := strings.CutPrefix(template, placeholder+"@")
	return ok && domain != "" && !strings.ContainsFunc(domain, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// valuesOnly tells whether a template has its placeholders in attribute values only.
func valuesOnly(template string) bool {
	const mark = "0mark0" // no attribute's name begins with a digit and has letters in it
	dn, err := ldap.ParseDN(strings.ReplaceAll(template, placeholder, mark))
	if err != nil {
		return false
	}
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if strings.Contains(a.Type, mark) {
				return false
			}
		}
	}
	return true
}

// attribute tells whether s is an attribute description (RFC 4512 section 2.5): a name or an OID, and options.
func attribute(s string) bool {
	ok := s != ""
	for _, r := range s {
		ok = ok && (r == '-' || r == ';' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	return ok
}
