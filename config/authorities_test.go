package config_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pemOf is a block of PEM.
func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// utf16Of is a text in UTF-16, with or without a byte order mark.
func utf16Of(text string, mark, bigEndian bool) string {
	var b bytes.Buffer
	if mark {
		text = "\ufeff" + text
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		if bigEndian {
			b.Write([]byte{byte(unit >> 8), byte(unit)})
		} else {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		}
	}
	return b.String()
}

// TestAuthorities_ErrorNamesFormatsOtherThanPEM, with what makes PEM of it, for the directory's
// authorities and the callers'.
func TestAuthorities_ErrorNamesFormatsOtherThanPEM(t *testing.T) {
	t.Parallel()
	root := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Example CA"), nil, nil)
	negative := root.WithNegativeSerial(t, root)
	good := string(root.PEM())
	server := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{})
	for name, c := range map[string]struct{ content, want string }{
		"nothing":                           {"", "contains no PEM certificate"},
		"words":                             {"the authority", "contains no PEM certificate"},
		"DER":                               {string(root.DER), "is a DER certificate, and PEM is required: convert it with openssl x509 -inform der -in "},
		"two in DER":                        {string(root.DER) + string(root.DER), "is a DER certificate"},
		"other DER":                         {"\x30\x03\x02\x01\x01", "is binary (DER), and PEM is required: if it is PKCS #7"},
		"UTF-16, little-endian":             {utf16Of(good, true, false), "is UTF-16 text, and PEM must be ASCII"},
		"UTF-16, big-endian":                {utf16Of(good, true, true), "is UTF-16 text, and PEM must be ASCII"},
		"UTF-16 without a mark":             {utf16Of(good, false, false), "is UTF-16 text, and PEM must be ASCII"},
		"UTF-16, big-endian without a mark": {utf16Of(good, false, true), "is UTF-16 text, and PEM must be ASCII"},
		"a byte order mark":                 {"\ufeff" + good, "begins with a byte order mark (BOM)"},
		"a mark and two":                    {"\ufeff" + good + good, "begins with a byte order mark (BOM)"},
		"base64 alone":                      {base64.StdEncoding.EncodeToString(root.DER), "is base64 without the PEM lines: add -----BEGIN CERTIFICATE-----"},
		"a private key":                     {pemOf("EC PRIVATE KEY", []byte("k")), "certificate 1 is a private key"},
		"OpenSSL's own form":                {pemOf("TRUSTED CERTIFICATE", root.DER), "certificate 1 is a TRUSTED CERTIFICATE"},
		"PKCS #7":                           {pemOf("PKCS7", []byte("k")), "openssl pkcs7 -print_certs"},
		"a request":                         {pemOf("CERTIFICATE REQUEST", []byte("k")), `certificate 1 is of type "CERTIFICATE REQUEST"`},
		"half a certificate":                {good[:len(good)/2], "certificate 1 is damaged"},
		"no certificate within":             {pemOf("CERTIFICATE", []byte("k")), "certificate 1 cannot be parsed"},
		"a negative serial number": {pemOf("CERTIFICATE", negative.DER), "certificate 1 has a negative serial number, which RFC 5280 forbids: " +
			"replace it, or start the service with GODEBUG=x509negativeserial=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := file(t, c.content)
			assert.Contains(t, problem(t, "LDAP_CA_FILE", minimal("LDAP_CA_FILE="+at)), c.want)
			assert.Contains(t, problem(t, "HTTP_TLS_CLIENT_CA_FILE", minimal("HTTP_TLS_CLIENT_CA_FILE="+at,
				"HTTP_TLS_CERT_FILE="+server.CertFile, "HTTP_TLS_KEY_FILE="+server.KeyFile)), c.want)
		})
	}
}

// TestAuthorities_WarnOfALostCertificateOfABundle by its number, and the others are used.
func TestAuthorities_WarnOfALostCertificateOfABundle(t *testing.T) {
	t.Parallel()
	one := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "One"), nil, nil)
	three := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Three"), nil, nil)
	negative := string(one.WithNegativeSerial(t, one).PEM())
	first, third := string(one.PEM()), string(three.PEM())
	for name, c := range map[string]struct{ second, want string }{
		"a negative serial number": {negative, "certificate 2 has a negative serial number"},
		"no certificate":           {pemOf("CERTIFICATE", []byte("k")), "certificate 2 cannot be parsed"},
		"a private key":            {pemOf("PRIVATE KEY", []byte("k")), "certificate 2 is a private key"},
		"half a certificate":       {first[:len(first)/2] + "\n", "certificate 2 is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := file(t, first+c.second+third)
			cfg := mustLoad(t, minimal("LDAP_CA_FILE="+at, "LDAP_URL=ldaps://localhost"))
			assert.Contains(t, strings.Join(cfg.Warnings, "\n"), "LDAP_CA_FILE: "+at+" is used only in part: "+c.want)
			authorities := cfg.LDAP.Authorities()
			require.Len(t, authorities, 3)
			assert.Equal(t, "One", authorities[0].Subject.CommonName)
			assert.Nil(t, authorities[1])
			assert.Equal(t, "Three", authorities[2].Subject.CommonName)
			pool, err := cfg.LDAP.RootCAs()
			require.NoError(t, err)
			want := x509.NewCertPool()
			want.AddCert(one.Cert)
			want.AddCert(three.Cert)
			assert.True(t, want.Equal(pool))
		})
	}
}

// TestAuthorities_AreReadInAnyArrangement: by hand, by Windows, indented, and with words
// around them.
func TestAuthorities_AreReadInAnyArrangement(t *testing.T) {
	t.Parallel()
	one := string(ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "One"), nil, nil).PEM())
	two := string(ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Two"), nil, nil).PEM())
	for name, content := range map[string]string{
		"one after the other":  one + two,
		"without a newline":    strings.TrimSpace(one) + strings.TrimSpace(two),
		"with CRLF":            strings.ReplaceAll(one+two, "\n", "\r\n"),
		"with words":           "# the first\n" + one + "subject=CN = Two\n" + two + "the end",
		"indented":             "  " + strings.ReplaceAll(one+two, "\n", "\n  "),
		"with a mark between":  one + "\ufeff" + two,
		"with spaces at ends":  strings.ReplaceAll(one+two, "\n", " \n"),
		"the same again":       one + two + one,
		"with a line at the b": "\n\n" + one + two,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := mustLoad(t, minimal("LDAP_CA_FILE="+file(t, content)))
			require.GreaterOrEqual(t, len(cfg.LDAP.Authorities()), 2)
			assert.NotContains(t, strings.Join(cfg.Warnings, "\n"), "LDAP_CA_FILE: not all")
		})
	}
}

// TestKeyPair_FormatOtherThanPEMIsNamed as an authority is.
func TestKeyPair_FormatOtherThanPEMIsNamed(t *testing.T) {
	t.Parallel()
	cert := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true})
	content, err := os.ReadFile(cert.CertFile)
	require.NoError(t, err)
	for content, want := range map[string]string{
		string(cert.TLS.Certificate[0]):        "is a DER certificate, and PEM is required",
		"\ufeff" + string(content):             "begins with a byte order mark",
		utf16Of(string(content), true, false):  "is UTF-16 text",
		utf16Of(string(content), false, false): "is UTF-16 text",
	} {
		assert.Contains(t, problem(t, "LDAP_CERT_FILE", minimal("LDAP_CERT_FILE="+file(t, content), "LDAP_KEY_FILE="+cert.KeyFile)), want)
	}
}
