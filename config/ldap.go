package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"
	"authsvc/ldappool/ldapurl"

	"github.com/go-ldap/ldap/v3"
)

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
	oneOf(wrong, "LDAP_PRESET", l.Preset, dialect.Names()...)
	l.validateGroups(sources, wrong)
	oneOf(wrong, "LDAP_USER_SCOPE", l.UserScope, "sub", "one")
	oneOf(wrong, "LDAP_SERVER_POLICY", l.ServerPolicy, "failover", "round_robin")
	oneOf(wrong, "LDAP_BIND_RETRY", l.BindRetry, "no_response", "unsent")
	oneOf(wrong, "LDAP_BIND_LANE_SERVICE_BIND", l.BindLaneServiceBind, "auto", "true", "false")
	oneOf(wrong, "LDAP_PASSWORD_POLICY", l.PasswordPolicy, "auto", "on", "off")
	l.validateAttributes(wrong)
	if !ldapname.IsDescription(l.UserNameAttribute) {
		wrong.add("LDAP_USER_NAME_ATTRIBUTE", "%q is not an attribute name", l.UserNameAttribute)
	}
}

// validateAttributes checks the attributes to return of a user.
func (l *LDAP) validateAttributes(wrong *problems) {
	forms := map[string]bool{}
	for _, item := range l.Attributes {
		name, asBase64, known := dialect.CutForm(item)
		before, again := forms[name]
		switch {
		case !ldapname.IsDescription(name):
			wrong.add("LDAP_ATTRIBUTES", "%q is not an attribute name", item)
		case !known:
			wrong.add("LDAP_ATTRIBUTES", "%q has an unknown form: only :base64 may follow an attribute name", item)
		case again && before != asBase64:
			wrong.add("LDAP_ATTRIBUTES", "%q is listed twice, with and without :base64: keep one", name)
		}
		forms[name] = asBase64
	}
}

// BindOnly reports whether logins need no searches.
func (l *LDAP) BindOnly() bool { return l.UserDNTemplate != "" && !l.Groups }

// validateURLs checks and normalizes the servers.
func (l *LDAP) validateURLs(wrong *problems) {
	if len(l.URLs) == 0 {
		wrong.add("LDAP_URL", "is required")
		return
	}
	if slices.ContainsFunc(l.URLs, ldapurl.HoldsUser) {
		// A password may contain commas, so no single item shows where the password begins.
		wrong.add("LDAP_URL", "%q must not contain a user or a password: set LDAP_BIND_DN and LDAP_BIND_PASSWORD instead",
			ldapurl.WithoutUser(strings.Join(l.URLs, ",")))
		return
	}
	var seen List
	plain := false
	for _, raw := range l.URLs {
		u, err := ldapurl.Parse(raw)
		switch {
		case err != nil:
			wrong.add("LDAP_URL", "%q %v", raw, err)
			return
		case slices.Contains(seen, u.String()):
			wrong.add("LDAP_URL", "%q is listed twice", u)
			return
		}
		seen, plain = append(seen, u.String()), plain || u.BeginsInTheClear()
	}
	l.URLs = seen
	if l.StartTLS && !plain {
		wrong.note("LDAP_START_TLS", "", "applies only to ldap:// servers, and LDAP_URL has none")
	}
}

// validateTLS checks the TLS settings and reads their files.
func (l *LDAP) validateTLS(wrong *problems) {
	oneOf(wrong, "LDAP_TLS_MIN_VERSION", l.TLSMinVersion, "1.2", "1.3")
	if n := l.TLSServerName; strings.ContainsAny(n, ":/ ") && net.ParseIP(n) == nil {
		wrong.add("LDAP_TLS_SERVER_NAME", "%q is not a host name", n)
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

// TLSConfig returns the configuration of TLS connections to the directory. It reads the files at
// each call.
func (l *LDAP) TLSConfig() (*tls.Config, error) {
	pool, err := l.RootCAs()
	if err != nil {
		return nil, err
	}
	certs, err := l.KeyPair()
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: pool, Certificates: certs, ServerName: l.TLSServerName, MinVersion: tls.VersionTLS12}
	if l.TLSMinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	c.InsecureSkipVerify = l.TLSInsecureSkipVerify
	return c, nil
}

// RootCAs reads the authorities of the directory's certificate at each call. If no file is named it
// returns nil, which means the system's authorities.
func (l *LDAP) RootCAs() (*x509.CertPool, error) {
	pool, err := roots(l.CAFile)
	if err != nil {
		return nil, fmt.Errorf("LDAP_CA_FILE: %w", err)
	}
	return pool, nil
}

// Authorities reads the authorities of RootCAs at each call, in the file's order. A block that
// cannot be used is nil. Authorities returns none if no file is named or the file cannot be read.
func (l *LDAP) Authorities() []*x509.Certificate {
	if l.CAFile == "" {
		return nil
	}
	a, _, _ := readAuthorities(l.CAFile)
	return a.certs
}

// KeyPair reads the certificate for the directory and its key at each call. It returns none if no
// file is named.
func (l *LDAP) KeyPair() ([]tls.Certificate, error) {
	certs, err := keyPair(l.CertFile, l.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("LDAP_CERT_FILE: %w", err)
	}
	return certs, nil
}

// roots reads certificate authorities. If no file is named it returns nil, which means the system's
// authorities. With an error it returns an empty pool if the file could be read.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	a, readable, err := readAuthorities(file)
	if !readable {
		return nil, err
	}
	return a.pool(), err
}

// keyPair reads a certificate and its key. It returns none if either file is not named.
func keyPair(certFile, keyFile string) ([]tls.Certificate, error) {
	if certFile == "" || keyFile == "" {
		return nil, nil
	}
	certPEM, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(notPEM(certFile, certPEM), notPEM(keyFile, keyPEM)); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s must be a certificate and its private key: %w", certFile, keyFile, err)
	}
	return []tls.Certificate{cert}, nil
}

// validateIdentity checks that the service identity is complete. A bind with a DN and no password
// would succeed as anonymous (RFC 4513 section 5.1.2).
func (l *LDAP) validateIdentity(wrong *problems) {
	oneOf(wrong, "LDAP_BIND_METHOD", l.BindMethod, "simple", "external")
	refuseInDN(wrong, "LDAP_BIND_DN", l.BindDN)
	if l.External() {
		l.validateExternal(wrong)
		return
	}
	password := l.BindPassword.Reveal() != ""
	switch {
	case l.BindDN != "" && !password && !wrong.has("LDAP_BIND_PASSWORD_FILE"):
		wrong.add("LDAP_BIND_PASSWORD", "is required with LDAP_BIND_DN, either this variable or LDAP_BIND_PASSWORD_FILE")
	case l.BindDN == "" && password:
		wrong.add("LDAP_BIND_DN", "is required with LDAP_BIND_PASSWORD")
	case l.BindDN == "" && l.BindLaneServiceBind == "true":
		wrong.add("LDAP_BIND_DN", "is required with LDAP_BIND_LANE_SERVICE_BIND=true")
	}
}

// External reports whether the service identity binds by SASL EXTERNAL, without a password.
func (l *LDAP) External() bool { return l.BindMethod == "external" }

// validateExternal checks that every server can derive the service identity from the connection,
// and that no password is set.
func (l *LDAP) validateExternal(wrong *problems) {
	const derives = "must not be set with LDAP_BIND_METHOD=external: the directory derives the service identity from the client certificate or, with ldapi://, from the user of this process"
	if _, err := ldapname.ParseDN(l.BindDN); err != nil { // an empty DN is none to assert
		wrong.add("LDAP_BIND_DN", "%q is not a DN (RFC 4514), as LDAP_BIND_METHOD=external needs: %v", l.BindDN, err)
	}
	switch {
	case l.BindPasswordFile != "":
		wrong.note("LDAP_BIND_PASSWORD"+fileSuffix, "", derives)
	case l.BindPassword.Reveal() != "":
		wrong.note("LDAP_BIND_PASSWORD", "", derives)
	}
	if wrong.has("LDAP_URL") {
		return
	}
	for _, raw := range l.URLs {
		u, err := ldapurl.Parse(raw)
		if err != nil || u.Scheme == ldapurl.LDAPI {
			continue
		}
		if u.BeginsInTheClear() && !l.StartTLS {
			wrong.note("LDAP_BIND_METHOD", "LDAP_START_TLS=true", fmt.Sprintf("external needs TLS to %q: use ldaps:// in LDAP_URL, or LDAP_START_TLS", raw))
		}
		if l.CertFile == "" && l.KeyFile == "" { // one of them alone is a problem already
			wrong.add("LDAP_CERT_FILE", "is required with LDAP_BIND_METHOD=external, together with LDAP_KEY_FILE, for servers other than ldapi://")
		}
	}
}

// validateSearch checks the base DNs and the filter.
func (l *LDAP) validateSearch(wrong *problems) {
	if len(l.BaseDNs) == 0 {
		wrong.add("LDAP_BASE_DN", "is required unless LDAP_USER_DN_TEMPLATE is set")
	}
	for _, dn := range l.BaseDNs {
		if refuseInDN(wrong, "LDAP_BASE_DN", dn) {
			break
		}
		if _, err := ldapname.ParseDN(dn); err != nil {
			wrong.add("LDAP_BASE_DN", "%q is not a DN (RFC 4514): %v", dn, err)
		}
	}
	filter := l.UserFilter
	if refusePlaceholders(wrong, "LDAP_USER_FILTER", filter) {
		return
	}
	if _, err := ldap.CompileFilter(strings.ReplaceAll(filter, placeholder, "name")); err != nil {
		wrong.add("LDAP_USER_FILTER", "%q is not a filter (RFC 4515): %v", filter, err)
		return
	}
	if !assertedOnly(filter) {
		wrong.add("LDAP_USER_FILTER", "%q has %s outside of a value", filter, placeholder)
	}
}

// assertedOnly reports whether a filter that compiles has placeholders only in assertion values. A
// value follows the first equals sign after the opening parenthesis of its item (RFC 4515 section
// 3).
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

// validateTemplate checks a DN template. It rejects variables that only a search could use.
func (l *LDAP) validateTemplate(sources map[string]source, wrong *problems) {
	t := l.UserDNTemplate
	dn, err := ldapname.ParseDN(strings.ReplaceAll(t, placeholder, "name"))
	switch {
	case refusePlaceholders(wrong, "LDAP_USER_DN_TEMPLATE", t):
	case l.bindsByPrincipal():
	case err != nil || len(dn.RDNs) == 0:
		wrong.add("LDAP_USER_DN_TEMPLATE", "%q is not a DN (RFC 4514) with %s in a value", t, placeholder)
	case !valuesOnly(t):
		wrong.add("LDAP_USER_DN_TEMPLATE", "%q has %s outside of a value", t, placeholder)
	}
	for _, v := range []string{"LDAP_BASE_DN", "LDAP_USER_FILTER", "LDAP_USER_SCOPE", "LDAP_USER_NAME_ATTRIBUTE", "LDAP_ATTRIBUTES"} {
		if _, set := sources[v]; set {
			wrong.note(v, "", "applies only to searches, which LDAP_USER_DN_TEMPLATE replaces: remove this variable or the template")
		}
	}
}

// valuesOnly reports whether a template has placeholders only in attribute values.
func valuesOnly(template string) bool {
	const mark = "0mark0" // no attribute's name begins with a digit and has letters in it
	dn, err := ldapname.ParseDN(strings.ReplaceAll(template, placeholder, mark))
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
