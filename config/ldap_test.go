package config_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServers_AreNormalized(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]config.List{
		"ldap://ldap.example.org":                 {"ldap://ldap.example.org"},
		"LDAPS://LDAP.Example.ORG:1636":           {"ldaps://ldap.example.org:1636"},
		"ldap://h/":                               {"ldap://h"},
		"ldap://h:":                               {"ldap://h"},
		"ldap://192.0.2.1:3890":                   {"ldap://192.0.2.1:3890"},
		"ldap://[2001:DB8::1]":                    {"ldap://[2001:db8::1]"},
		"ldap://[::FFFF:192.0.2.1]":               {"ldap://192.0.2.1"},
		"ldap://[::ffff:c000:201]:3890":           {"ldap://192.0.2.1:3890"},
		"ldap://[2001:db8:0:0::1]":                {"ldap://[2001:db8::1]"},
		"ldap://[2001:db8::1]:389":                {"ldap://[2001:db8::1]:389"},
		"ldap://[fe80::1%25Eth0]:389":             {"ldap://[fe80::1%25Eth0]:389"},
		"ldapi://%2frun%2fslapd%2fldapi":          {"ldapi://%2frun%2fslapd%2fldapi"},
		"LDAPI://%2frun%2fslapd%2fldapi/":         {"ldapi://%2frun%2fslapd%2fldapi"},
		"ldapi://%2frun%2fslapd@main":             {"ldapi://%2frun%2fslapd@main"},
		"ldap://h:65535 ,\tldaps://h, ldapi:///s": {"ldap://h:65535", "ldaps://h", "ldapi:///s"},
		"ldap://h:1":                              {"ldap://h:1"},
		"LDAP+SRV://Example.ORG/,ldap://h":        {"ldap+srv://example.org", "ldap://h"},
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, want, mustLoad(t, minimal("LDAP_URL="+given)).LDAP.URLs)
		})
	}
}

func TestServers_RejectInvalidURLs(t *testing.T) {
	t.Parallel()
	const shape = "must have only a scheme, a host and a port"
	const socket = "must have its socket's path percent-encoded, as in ldapi://%2frun%2fslapd%2fldapi"
	for given, want := range map[string]string{
		"ldap.example.org:389":           `"ldap.example.org:389" is not a URL`,
		"http://h":                       `"http://h" must begin with ldap://, ldaps://, ldapi:// or ldap+srv://`,
		"ldap+srv://example.org:389":     `"ldap+srv://example.org:389" must have only a domain`,
		"ldap+srv://192.0.2.1":           `"ldap+srv://192.0.2.1" must have only a domain`,
		"ldap+srv://":                    `"ldap+srv://" has no host`,
		"ldap+srv://example.org/dc=org":  `"ldap+srv://example.org/dc=org" ` + shape,
		"ldaps+srv://example.org":        `"ldaps+srv://example.org" must begin with ldap://`,
		"ldap://":                        `"ldap://" has no host`,
		"ldap://:389":                    `"ldap://:389" has no host`,
		"ldap:///dc=org":                 `"ldap:///dc=org" ` + shape,
		"ldap://h/dc=org":                `"ldap://h/dc=org" ` + shape,
		"ldap://h?x":                     `"ldap://h?x" ` + shape,
		"ldap://h?":                      `"ldap://h?" ` + shape,
		"ldap://h#x":                     `"ldap://h#x" ` + shape,
		"ldap://a b":                     `"ldap://a b" ` + shape,
		"ldap://h:ldap":                  `"ldap://h:ldap" ` + shape,
		"ldap://[::1":                    `"ldap://[::1" ` + shape,
		"ldap://h:0":                     `"ldap://h:0" must have a port of 1 to 65535`,
		"ldap://h:65536":                 `"ldap://h:65536" must have a port of 1 to 65535`,
		"ldap://2001:db8::1":             `"ldap://2001:db8::1" must have its IPv6 address in brackets`,
		"ldapi://":                       `"ldapi://" ` + socket,
		"ldapi:///":                      `"ldapi:///" ` + socket,
		"ldapi://run/slapd":              `"ldapi://run/slapd" ` + socket,
		"ldapi://%2":                     `"ldapi://%2" ` + socket,
		"ldap://a,ldap://b,ldap://A":     `"ldap://a" is listed twice`,
		"ldapi://%2fa,ldapi://%2fa/":     `"ldapi://%2fa" is listed twice`,
		"ldap://a,,ldap://b":             `"ldap://a,,ldap://b" has an empty item between commas`,
		"ldap://a,":                      `"ldap://a," has an empty item between commas`,
		" ":                              "is required",
		"":                               "is required",
		"ldap://good,ldap://bad:0":       `"ldap://bad:0" must have`,
		"ldap://h:0,ldap://h:1,http://h": `"ldap://h:0" must have`,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, "LDAP_URL", minimal("LDAP_URL="+given)), "LDAP_URL: "+want)
		})
	}
}

func TestServers_ErrorHidesTheUserPart(t *testing.T) {
	t.Parallel()
	for given, shown := range map[string]string{
		"ldap://admin:" + password + "@h":          `"ldap://[redacted]@h" must not contain a user or a password`,
		"ldap://admin:" + password + "@h:389/x?y":  `"ldap://[redacted]@h:389/x?y" must not contain`,
		"ldap://" + password + "@":                 `"ldap://[redacted]@" must not contain`,
		"ldap://good,ldaps://u:" + password + "@h": `"ldap://[redacted]@h" must not contain`,
		"ldap://u:" + password + ",x@h":            `"ldap://[redacted]@h" must not contain`,
		"ldap://u:x," + password + "@h":            `"ldap://[redacted]@h" must not contain`,
		"ldap://u:p@" + password + "@h":            `"ldap://[redacted]@h" must not contain`,
		"ldap://u:" + password + "/#?@h":           `"ldap://[redacted]@h" must not contain`,
		"http://u:" + password + "@h":              `"http://[redacted]@h" must not contain`,
		"ldap://u:" + password + "@h,":             `"ldap://[redacted]@h," has an empty item`,
		"ldap://u:" + password + ",,@h":            `"ldap://[redacted]@h" has an empty item`,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			text := problem(t, "LDAP_URL", minimal("LDAP_URL="+given, "LDAP_BIND_PASSWORD=other"))
			assert.Contains(t, text, shown)
			assert.NotContains(t, text, password)
		})
	}
}

func TestTLS_StartTLSNeedsAnLDAPURL(t *testing.T) {
	t.Parallel()
	assert.True(t, mustLoad(t, minimal("LDAP_START_TLS=true", "LDAP_URL=ldaps://a,ldap://b")).LDAP.StartTLS)
	assert.True(t, mustLoad(t, minimal("LDAP_START_TLS=true", "LDAP_URL=ldap+srv://example.org")).LDAP.StartTLS)
	for _, servers := range []string{"ldaps://a", "ldapi://%2fs,ldaps://b"} {
		assert.Contains(t, problem(t, "LDAP_START_TLS", minimal("LDAP_START_TLS=true", "LDAP_URL="+servers)),
			"applies only to ldap:// servers, and LDAP_URL has none")
	}
	problem(t, "LDAP_URL", minimal("LDAP_START_TLS=true", "LDAP_URL="))
}

func TestTLS_FilesAreReadAtTheStart(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	one, other := ca.Issue(t, ldaptest.CertConfig{Client: true}), ca.Issue(t, ldaptest.CertConfig{Client: true})
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, c := range map[string]struct {
		environ        []string
		variable, text string
	}{
		"no CA file":               {[]string{"LDAP_CA_FILE=" + missing}, "LDAP_CA_FILE", "the file " + missing + " cannot be read: no such file or directory"},
		"an empty CA file":         {[]string{"LDAP_CA_FILE=" + file(t, "")}, "LDAP_CA_FILE", "contains no PEM certificate"},
		"a folder for a CA file":   {[]string{"LDAP_CA_FILE=" + t.TempDir()}, "LDAP_CA_FILE", "cannot be read: "},
		"a certificate alone":      {[]string{"LDAP_CERT_FILE=" + one.CertFile}, "LDAP_KEY_FILE", "is required with LDAP_CERT_FILE"},
		"a key alone":              {[]string{"LDAP_KEY_FILE=" + one.KeyFile}, "LDAP_CERT_FILE", "is required with LDAP_KEY_FILE"},
		"another's key":            {[]string{"LDAP_CERT_FILE=" + one.CertFile, "LDAP_KEY_FILE=" + other.KeyFile}, "LDAP_CERT_FILE", "private key does not match"},
		"no certificate file":      {[]string{"LDAP_CERT_FILE=" + missing, "LDAP_KEY_FILE=" + one.KeyFile}, "LDAP_CERT_FILE", "no such file"},
		"certificate for key":      {[]string{"LDAP_CERT_FILE=" + one.CertFile, "LDAP_KEY_FILE=" + one.CertFile}, "LDAP_CERT_FILE", "must be a certificate and its private key"},
		"a URL for a name":         {[]string{"LDAP_TLS_SERVER_NAME=ldaps://h"}, "LDAP_TLS_SERVER_NAME", `"ldaps://h" is not a host name`},
		"an old version of TLS":    {[]string{"LDAP_TLS_MIN_VERSION=1.0"}, "LDAP_TLS_MIN_VERSION", `"1.0" is not one of 1.2, 1.3`},
		"a version with its words": {[]string{"LDAP_TLS_MIN_VERSION=TLS1.2"}, "LDAP_TLS_MIN_VERSION", `"TLS1.2" is not one of 1.2, 1.3`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, c.variable, minimal(c.environ...)), c.text)
		})
	}
}

func TestTLS_ConfigHoldsTheSettings(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	client := ca.Issue(t, ldaptest.CertConfig{Client: true})
	c := mustLoad(t, minimal())
	plain, err := c.LDAP.TLSConfig()
	require.NoError(t, err)
	assert.Nil(t, plain.RootCAs)
	assert.Empty(t, plain.Certificates)
	assert.Empty(t, plain.ServerName)
	assert.False(t, plain.InsecureSkipVerify)
	assert.EqualValues(t, tls.VersionTLS12, plain.MinVersion)
	c = mustLoad(t, minimal("LDAP_CA_FILE="+ca.File(), "LDAP_CERT_FILE="+client.CertFile, "LDAP_KEY_FILE="+client.KeyFile,
		"LDAP_TLS_SERVER_NAME=::1", "LDAP_TLS_MIN_VERSION=1.3", "LDAP_TLS_INSECURE_SKIP_VERIFY=true"))
	full, err := c.LDAP.TLSConfig()
	require.NoError(t, err)
	assert.True(t, ca.Pool().Equal(full.RootCAs))
	require.Len(t, full.Certificates, 1)
	assert.Equal(t, client.TLS.Certificate, full.Certificates[0].Certificate)
	assert.Equal(t, "::1", full.ServerName)
	assert.True(t, full.InsecureSkipVerify)
	assert.EqualValues(t, tls.VersionTLS13, full.MinVersion)
}

func TestTLS_ErrorNamesTheVariableOfARemovedFile(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	client := ca.Issue(t, ldaptest.CertConfig{Client: true})
	c := mustLoad(t, minimal("LDAP_CA_FILE="+ca.File(), "LDAP_CERT_FILE="+client.CertFile, "LDAP_KEY_FILE="+client.KeyFile))
	require.NoError(t, os.Remove(client.KeyFile))
	_, err := c.LDAP.TLSConfig()
	require.ErrorContains(t, err, "LDAP_CERT_FILE: ")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Remove(ca.File()))
	_, err = c.LDAP.TLSConfig()
	require.ErrorContains(t, err, "LDAP_CA_FILE: ")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestServiceIdentity_NeedsDNAndPassword(t *testing.T) {
	t.Parallel()
	assert.Contains(t, problem(t, "LDAP_BIND_PASSWORD", minimal("LDAP_BIND_PASSWORD=")),
		"is required with LDAP_BIND_DN, either this variable or LDAP_BIND_PASSWORD_FILE")
	text := problem(t, "LDAP_BIND_DN", minimal("LDAP_BIND_DN="))
	assert.Contains(t, text, "is required with LDAP_BIND_PASSWORD")
	assert.NotContains(t, text, password)
	c := mustLoad(t, minimal("LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="))
	assert.Empty(t, c.LDAP.BindDN)
	assert.Empty(t, c.LDAP.BindPassword.Reveal())
}

func TestServiceIdentity_ExternalNeedsWhatTheDirectoryDerivesItFrom(t *testing.T) {
	t.Parallel()
	cert := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true})
	certFile, keyFile := "LDAP_CERT_FILE="+cert.CertFile, "LDAP_KEY_FILE="+cert.KeyFile
	external := func(more ...string) []string {
		return minimal(append([]string{"LDAP_BIND_METHOD=external", "LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="}, more...)...)
	}
	for name, environ := range map[string][]string{
		"ldaps":                {"LDAP_URL=ldaps://a,ldaps://b", certFile, keyFile},
		"StartTLS":             {"LDAP_URL=ldap://a,ldap+srv://example.org", "LDAP_START_TLS=true", certFile, keyFile},
		"a socket":             {"LDAP_URL=ldapi://%2fs"},
		"a socket and TLS":     {"LDAP_URL=ldapi://%2fs,ldaps://b", certFile, keyFile},
		"a DN to assert":       {"LDAP_URL=ldapi://%2fs", "LDAP_BIND_DN=cn=service,dc=example,dc=org"},
		"for users' binds too": {"LDAP_URL=ldaps://a", certFile, keyFile, "LDAP_BIND_LANE_SERVICE_BIND=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := mustLoad(t, external(environ...))
			assert.True(t, c.LDAP.External())
			assert.NotContains(t, strings.Join(c.Warnings, "\n"), "searches are anonymous")
		})
	}

	const derives, noCert = "must not be set with LDAP_BIND_METHOD=external: the directory derives", "is required with LDAP_BIND_METHOD=external, together with LDAP_KEY_FILE"
	secret := file(t, password)
	for name, c := range map[string]struct {
		environ        []string
		variable, text string
	}{
		"a DN that is none":         {[]string{"LDAP_URL=ldapi://%2fs", "LDAP_BIND_DN=service@example.org"}, "LDAP_BIND_DN", `"service@example.org" is not a DN (RFC 4514), as LDAP_BIND_METHOD=external needs`},
		"a password":                {[]string{"LDAP_URL=ldapi://%2fs", "LDAP_BIND_PASSWORD=" + password}, "LDAP_BIND_PASSWORD", derives},
		"a password in a file":      {[]string{"LDAP_URL=ldapi://%2fs", "LDAP_BIND_PASSWORD_FILE=" + secret}, "LDAP_BIND_PASSWORD_FILE", derives},
		"no certificate":            {[]string{"LDAP_URL=ldaps://a"}, "LDAP_CERT_FILE", noCert},
		"no certificate for one":    {[]string{"LDAP_URL=ldapi://%2fs,ldaps://b"}, "LDAP_CERT_FILE", noCert},
		"a key alone":               {[]string{"LDAP_URL=ldaps://a", keyFile}, "LDAP_CERT_FILE", "is required with LDAP_KEY_FILE"},
		"a certificate alone":       {[]string{"LDAP_URL=ldaps://a", certFile}, "LDAP_KEY_FILE", "is required with LDAP_CERT_FILE"},
		"no TLS":                    {[]string{"LDAP_URL=ldap://a", certFile, keyFile}, "LDAP_BIND_METHOD", `external needs TLS to "ldap://a"`},
		"no TLS on this machine":    {[]string{"LDAP_URL=ldap://127.0.0.1", certFile, keyFile}, "LDAP_BIND_METHOD", `external needs TLS to "ldap://127.0.0.1"`},
		"no TLS to one":             {[]string{"LDAP_URL=ldaps://a,ldap://b:389", certFile, keyFile}, "LDAP_BIND_METHOD", `external needs TLS to "ldap://b:389"`},
		"no TLS to the DNS's":       {[]string{"LDAP_URL=ldap+srv://example.org", certFile, keyFile}, "LDAP_BIND_METHOD", `external needs TLS to "ldap+srv://example.org"`},
		"a method in upper case":    {[]string{"LDAP_URL=ldapi://%2fs", "LDAP_BIND_METHOD=EXTERNAL"}, "LDAP_BIND_METHOD", `"EXTERNAL" is not one of simple, external`},
		"a method for the DN alone": {[]string{"LDAP_BIND_METHOD=simple", "LDAP_BIND_DN=cn=x"}, "LDAP_BIND_PASSWORD", "is required with LDAP_BIND_DN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := problem(t, c.variable, external(c.environ...))
			assert.Contains(t, text, c.text)
			assert.NotContains(t, text, password)
		})
	}
}

func TestBaseDN_ListIsSplitAtUnescapedSemicolons(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]config.DNList{
		`dc=x`:                           {`dc=x`},
		` dc=x ;` + "\t" + `dc=y` + "\n": {`dc=x`, `dc=y`},
		`ou=a\;b,dc=x;dc=y`:              {`ou=a\;b,dc=x`, `dc=y`},
		`ou=a\,b,dc=x;dc=y`:              {`ou=a\,b,dc=x`, `dc=y`},
		`ou=a\\;dc=y`:                    {`ou=a\\`, `dc=y`},
		`ou=a\\\;b;dc=y`:                 {`ou=a\\\;b`, `dc=y`},
		`ou=a\ ;dc=y`:                    {`ou=a\ `, `dc=y`},
		`ou=a\  ;dc=y`:                   {`ou=a\ `, `dc=y`},
		`ou=a\\ ;dc=y`:                   {`ou=a\\`, `dc=y`},
		`ou=a\3bb,dc=x`:                  {`ou=a\3bb,dc=x`},
		`ou=Zürich,dc=x`:                 {`ou=Zürich,dc=x`},
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, want, mustLoad(t, minimal("LDAP_BASE_DN="+given)).LDAP.BaseDNs)
		})
	}
}

func TestBaseDN_RejectsInvalidDNs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		``:             "is required unless LDAP_USER_DN_TEMPLATE is set",
		` `:            `" " has an empty name between semicolons`,
		`;`:            `";" has an empty name`,
		`dc=x;`:        `"dc=x;" has an empty name`,
		`dc=x;;dc=y`:   `"dc=x;;dc=y" has an empty name`,
		`people`:       `"people" is not a DN (RFC 4514): `,
		`dc=x;people`:  `"people" is not a DN (RFC 4514): `,
		`dc=x,people`:  `"dc=x,people" is not a DN (RFC 4514): `,
		`dc=x\`:        `"dc=x\\" is not a DN (RFC 4514): `,
		`dc=y;dc=x\`:   `"dc=x\\" is not a DN (RFC 4514): `,
		`dc=x\zz;dc=y`: `"dc=x\\zz" is not a DN (RFC 4514): `,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, "LDAP_BASE_DN", minimal("LDAP_BASE_DN="+given)), "LDAP_BASE_DN: "+want)
		})
	}
}

func TestUserFilter_AcceptsThePlaceholderAsAValue(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{
		"(uid={username})", "(&(objectClass=person)(|(uid={username})(mail={username})))", "(!(uid={username}))",
		"(mail={username}@example.org)", "(cn=*{username}*)", "(uid={username}{username})", "(uid>={username})", "(uid<={username})",
		"(uid~={username})", "(cn:caseExactMatch:={username})", "(cn:dn:2.5.13.5:={username})", `(cn=\2a{username})`,
		"(&(a=b)(cn=x={username}))",
	} {
		assert.Equal(t, filter, mustLoad(t, minimal("LDAP_USER_FILTER="+filter)).LDAP.UserFilter)
	}
}

func TestUserFilter_RejectsThePlaceholderElsewhere(t *testing.T) {
	t.Parallel()
	const none, place, filter = " has no {username}", " has {username} outside of a value", " is not a filter (RFC 4515): "
	for given, want := range map[string]string{
		"(uid=name)": none, "(uid={user})": none, "(uid={Username})": none, "(uid={ username })": none,
		"({username}=x)": place, "(u{username}=x)": place, "(cn;{username}=x)": place, "(cn:{username}:=x)": place,
		"(cn:dn:{username}:=x)": place, "(cn:1.2.{username}:=x)": place, "(&(uid={username})({username}=*))": place,
		"(|(a=b)(c{username}={username}))": place,
		"uid={username}":                   filter, "(uid={username}": filter, "(uid={username}))": filter, "(uid={username})(a=b)": filter,
		"({username})": filter, "(&{username})": filter, `(uid=\{username})`: filter, `(uid=\2{username})`: filter, `(uid={username}\)`: filter,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, "LDAP_USER_FILTER", minimal("LDAP_USER_FILTER="+given)), want)
		})
	}
}

func TestDNTemplate_AcceptsThePlaceholderAsAValue(t *testing.T) {
	t.Parallel()
	for _, dn := range []string{
		"uid={username}", "uid={username},ou=people,dc=example,dc=org", "cn=a{username}b,dc=org", "uid={username}+cn=x,dc=org",
		"uid={username},ou={username},dc=org",
	} {
		c := mustLoad(t, template("LDAP_USER_DN_TEMPLATE="+dn))
		assert.Equal(t, dn, c.LDAP.UserDNTemplate)
		assert.Empty(t, c.LDAP.BaseDNs)
	}
}

func TestDNTemplate_RejectsThePlaceholderElsewhere(t *testing.T) {
	t.Parallel()
	const none, place, dn = " has no {username}", " has {username} outside of a value", " is not a DN (RFC 4514) with {username} in a value"
	for given, want := range map[string]string{
		"uid=name,dc=org": none, "uid=%s,dc=org": none, "people": none,
		"{username}=x,dc=org": place, "u{username}=x": place, "uid=x,{username}=y": place, "uid=x+{username}=y": place,
		"{username}": dn, "{username}@example.org": dn, "uid={username},": dn, "uid={username},people": dn,
		`uid=\{username},dc=org`: dn, `uid=\2{username}`: dn, "uid=#{username}": dn, "uid=#04{username}": dn, `uid={username}\`: dn,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, "LDAP_USER_DN_TEMPLATE", template("LDAP_USER_DN_TEMPLATE="+given)), want)
		})
	}
}

func TestDNTemplate_ExcludesSettingsOfTheSearch(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{
		"LDAP_BASE_DN": "dc=org", "LDAP_USER_FILTER": "(uid={username})", "LDAP_USER_SCOPE": "sub",
		"LDAP_USER_NAME_ATTRIBUTE": "uid", "LDAP_ATTRIBUTES": "cn",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, variable, template(variable+"="+value)), "remove this variable or the template")
		})
	}
}

func TestAttributes_AreNamesOrOIDsWithOptions(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal("LDAP_ATTRIBUTES=cn,displayName;lang-de,2.5.4.4", "LDAP_USER_NAME_ATTRIBUTE=0.9.2342.19200300.100.1.1"))
	assert.Equal(t, config.List{"cn", "displayName;lang-de", "2.5.4.4"}, c.LDAP.Attributes)
	for _, bad := range []string{"c n", "*", "cn=x", "größe", "a_b", "(cn)"} {
		assert.Contains(t, problem(t, "LDAP_ATTRIBUTES", minimal("LDAP_ATTRIBUTES="+bad)), "is not an attribute name")
		assert.Contains(t, problem(t, "LDAP_USER_NAME_ATTRIBUTE", minimal("LDAP_USER_NAME_ATTRIBUTE="+bad)), "is not an attribute name")
	}
}

// TestAttributes_MayBeAskedForInBase64: the form is the item's, and one attribute has one.
func TestAttributes_MayBeAskedForInBase64(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal("LDAP_ATTRIBUTES=cn, mS-DS-ConsistencyGuid:base64,userCertificate;binary:base64"))
	assert.Equal(t, config.List{"cn", "mS-DS-ConsistencyGuid:base64", "userCertificate;binary:base64"}, c.LDAP.Attributes)
	for bad, want := range map[string]string{
		":base64": "is not an attribute name", "c n:base64": "is not an attribute name",
		"cn:": "has an unknown form", "cn:hex": "has an unknown form", "cn:BASE64": "has an unknown form",
		"cn:base64:base64": "has an unknown form", "cn:base64;binary": "has an unknown form",
		"cn,mail,cn:base64": "with and without :base64", "cn:base64,cn": "with and without :base64",
	} {
		assert.Contains(t, problem(t, "LDAP_ATTRIBUTES", minimal("LDAP_ATTRIBUTES="+bad)), want, bad)
	}
	assert.Contains(t, problem(t, "LDAP_USER_NAME_ATTRIBUTE", minimal("LDAP_USER_NAME_ATTRIBUTE=cn:base64")), "is not an attribute name")
}

// TestServiceIdentity_IsNeededForServiceBinds: there would be nobody to bind as.
func TestServiceIdentity_IsNeededForServiceBinds(t *testing.T) {
	t.Parallel()
	template := "LDAP_USER_DN_TEMPLATE=uid={username},ou=people,dc=example,dc=org"
	_, err := config.Load([]string{"LDAP_URL=ldap://localhost", template, "LDAP_BIND_LANE_SERVICE_BIND=true"})
	require.ErrorContains(t, err, "LDAP_BIND_DN: is required with LDAP_BIND_LANE_SERVICE_BIND=true")
	c, err := config.Load([]string{"LDAP_URL=ldap://localhost", template, "LDAP_BIND_LANE_SERVICE_BIND=true",
		"LDAP_BIND_DN=cn=service,dc=example,dc=org", "LDAP_BIND_PASSWORD=secret"})
	require.NoError(t, err)
	require.NotContains(t, strings.Join(c.Warnings, "\n"), "LDAP_BIND_DN", "it is used")
}
