package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frontage is a service with HTTPS, API keys and client authorities. Tests change its files.
type frontage struct {
	t       *testing.T
	files   string // the folder that they are in
	ca      *ldaptest.CA
	callers *ldaptest.CA
	slapd   *ldaptest.Slapd
	environ []string
	p       *process
}

func startFrontage(t *testing.T) *frontage {
	t.Helper()
	return startFrontageTo(t, ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10}))
}

// startFrontageTo starts a frontage with a given directory and with settings in addition to its
// own.
func startFrontageTo(t *testing.T, slapd *ldaptest.Slapd, environ ...string) *frontage {
	t.Helper()
	f := &frontage{t: t, files: t.TempDir(), ca: ldaptest.NewCA(t), callers: ldaptest.NewCA(t), slapd: slapd}
	f.certificate(f.ca)
	f.copy("callers.pem", f.callers.File())
	f.keys("shop-key-one")
	f.write("denied", "")
	f.environ = append([]string{
		"HTTP_TLS_CERT_FILE=" + f.path("cert.pem"), "HTTP_TLS_KEY_FILE=" + f.path("key.pem"), "HTTP_TLS_CLIENT_CA_FILE=" + f.path("callers.pem"),
		"HTTP_TLS_CLIENT_DENY_FILE=" + f.path("denied"), "AUTH_API_KEYS_FILE=" + f.path("keys"),
	}, environ...)
	f.p = startProgram(t, f.slapd.URL(), f.environ...)
	f.p.ready(t)
	return f
}

func (f *frontage) path(name string) string { return filepath.Join(f.files, name) }

func (f *frontage) write(name, content string) {
	f.t.Helper()
	path := filepath.Join(f.files, name)
	require.NoError(f.t, os.WriteFile(path+".new", []byte(content), 0o600)) //nolint:gosec // the path is the test's own
	require.NoError(f.t, os.Rename(path+".new", path))
}

func (f *frontage) copy(name, from string) {
	f.t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(f.t, err)
	f.write(name, string(content))
}

// certificate gives the listener a new certificate.
func (f *frontage) certificate(ca *ldaptest.CA) {
	f.t.Helper()
	cert := ca.Issue(f.t, ldaptest.CertConfig{})
	f.copy("cert.pem", cert.CertFile)
	f.copy("key.pem", cert.KeyFile)
}

// keys writes a file of keys, all of them with the name shop.
func (f *frontage) keys(keys ...string) {
	f.t.Helper()
	var b strings.Builder
	for _, key := range keys {
		everything.Secret(key)
		fmt.Fprintf(&b, "shop %x\n", sha256.Sum256([]byte(key)))
	}
	f.write("keys", b.String())
}

// said waits until the service has logged a message for the n-th time.
func (f *frontage) said(message string, n int) {
	f.t.Helper()
	ldaptest.Eventually(f.t, message, func() bool { return strings.Count(f.p.logged(), `"`+message+`"`) == n })
}

// client trusts an authority and shows certificates.
func (f *frontage) client(ca *ldaptest.CA, certs ...*ldaptest.Cert) *http.Client {
	transport := &http.Transport{TLSClientConfig: ca.ClientTLS("localhost", certs...)}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// login asks with a key or none.
func (f *frontage) login(c *http.Client, key string) (status int, err error) {
	everything.Secret(ldaptest.Password(1))
	req, err := http.NewRequest(http.MethodPost, f.p.url+"/auth", strings.NewReader(`{"username":"user1","password":"password1"}`))
	require.NoError(f.t, err)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		everything.Secret(key)
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := c.Do(req)
	if err != nil {
		return -1, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	everything.Wrote("answers", text)
	var got struct{ Status int }
	require.NoError(f.t, json.Unmarshal(text, &got), "%s", text)
	return got.Status, nil
}

func (f *frontage) require(want int, c *http.Client, key string) {
	f.t.Helper()
	status, err := f.login(c, key)
	require.NoError(f.t, err)
	require.Equal(f.t, want, status)
}

const (
	reloadedLine    = "configuration reloaded"
	notReloadedLine = "configuration not reloaded, the previous one stays in use"
	fewerLine       = "file of callers invalid, empty or missing"
)

func TestReload_AdoptsNewKeys(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	c := f.client(f.ca)
	assert.Contains(t, f.p.logged(), `"https":true,"callers_need":"key or certificate"`)
	f.require(15, c, "")
	f.require(15, c, "wrong-key-zero")
	f.require(0, c, "shop-key-one")
	f.keys("shop-key-one", "shop-key-two")
	f.said(reloadedLine, 1)
	f.require(0, c, "shop-key-one")
	f.require(0, c, "shop-key-two")
	f.write("keys", fmt.Sprintf("shop shop-key-three\nshop %x\n", sha256.Sum256([]byte("shop-key-two")))) // somebody forgot to hash it
	everything.Secret("shop-key-three")
	f.said(fewerLine, 1)
	assert.Contains(t, f.p.logged(), "line 1: the SHA-256 must be 64 hexadecimal digits")
	f.require(0, c, "shop-key-two")
	f.require(15, c, "shop-key-one") // which is not in the file any more
	f.require(15, c, "shop-key-three")
	require.NoError(t, os.Remove(f.path("keys")))
	f.said(fewerLine, 2)
	f.require(15, c, "shop-key-two")
	f.require(15, c, "")
	f.keys("shop-key-two")
	require.NoError(t, f.p.cmd.Process.Signal(syscall.SIGHUP))
	f.said(reloadedLine, 2)
	f.require(15, c, "shop-key-one")
	f.require(0, c, "shop-key-two")
	f.write("keys", "")
	f.said(fewerLine, 3)
	f.require(15, c, "shop-key-two")
	f.require(15, c, "")
	assert.Contains(t, f.p.logged(), `"outcome":"ok","status":0,"username":"user1","dn":"uid=user1,ou=people,dc=example,dc=org"`)
	assert.Contains(t, f.p.logged(), `"caller":"shop","caller_by":"key"`)
	assert.Zero(t, f.p.end(t))
}

// TestReload_RemovedKeyIsRejectedDespiteOtherBadFiles: each other file that is watched is made
// unreadable first.
func TestReload_RemovedKeyIsRejectedDespiteOtherBadFiles(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: true})
	secrets := t.TempDir()
	password, authority := filepath.Join(secrets, "password"), filepath.Join(secrets, "ca.pem")
	pem, err := os.ReadFile(slapd.CA().File())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(authority, pem, 0o600)) //nolint:gosec // the path is the test's own
	require.NoError(t, os.WriteFile(password, []byte(ldaptest.ServicePassword), 0o600))
	f := startFrontageTo(t, slapd, "LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+password, "LDAP_CA_FILE="+authority)
	c := f.client(f.ca)
	wrong := 0
	for _, path := range []string{password, authority, f.path("key.pem"), f.path("cert.pem"), f.path("callers.pem"), f.path("denied")} {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.Mkdir(path, 0o700)) // which is no file to root either
		wrong++
		ldaptest.Eventually(t, "it is said that the file is wrong", func() bool {
			return strings.Count(f.p.logged(), notReloadedLine)+strings.Count(f.p.logged(), fewerLine) >= wrong
		})
	}
	f.require(0, c, "shop-key-one")
	f.keys("shop-key-two")
	f.said(reloadedLine, 1)
	f.require(15, c, "shop-key-one")
	f.require(0, c, "shop-key-two")
	f.write("keys", "")
	f.said(fewerLine, 2) // the first was that of the denied certificates
	f.require(15, c, "shop-key-two")
	assert.Zero(t, f.p.end(t))
}

func TestReload_DeniesACertificate(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	cert := f.callers.Issue(t, ldaptest.CertConfig{CommonName: "till 1", Client: true})
	first, second := f.client(f.ca, cert), f.client(f.ca, f.callers.Issue(t, ldaptest.CertConfig{CommonName: "till 2", Client: true}))
	f.require(0, first, "")
	f.require(0, second, "")
	fingerprint := fmt.Sprintf("%x # stolen\n", sha256.Sum256(cert.TLS.Certificate[0]))
	f.write("denied", fingerprint)
	f.said(reloadedLine, 1)
	f.require(15, first, "") // on the connection that it has
	f.require(15, f.client(f.ca, cert), "")
	f.require(0, second, "")
	f.require(0, first, "shop-key-one") // a key is as good
	assert.Contains(t, f.p.logged(), "its fingerprint, or that of a certificate that signed it, is in HTTP_TLS_CLIENT_DENY_FILE")
	f.write("denied", "till 1\n")
	f.said(fewerLine, 1)
	f.require(15, first, "")
	require.NoError(t, os.Remove(f.path("denied")))
	f.said(fewerLine, 2)
	f.require(15, first, "")
	f.write("denied", "")
	require.NoError(t, f.p.cmd.Process.Signal(syscall.SIGHUP))
	f.said(reloadedLine, 2)
	f.require(0, first, "")
	assert.Zero(t, f.p.end(t))
}

// TestStart_WithAnEmptyKeyFileAdmitsNobody: it starts where certificates are accepted too, and not
// at all where nobody could call.
func TestStart_WithAnEmptyKeyFileAdmitsNobody(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	assert.Zero(t, f.p.end(t))
	f.write("keys", "")
	f.p = startProgram(t, f.slapd.URL(), f.environ...)
	f.p.ready(t)
	c := f.client(f.ca)
	f.require(15, c, "shop-key-one")
	f.require(15, c, "")
	f.require(0, f.client(f.ca, f.callers.Issue(t, ldaptest.CertConfig{Client: true})), "")
	assert.Contains(t, f.p.logged(), "AUTH_API_KEYS_FILE: contains no key, so only callers with a certificate are admitted")
	assert.Zero(t, f.p.end(t))
	for _, environ := range [][]string{{"AUTH_API_KEYS_FILE=" + f.path("keys")}, {"AUTH_API_KEYS_FILE=" + f.path("nothing")}} {
		var errs strings.Builder
		p := &program{stdout: io.Discard, stderr: &errs, environ: append([]string{"LDAP_URL=" + f.slapd.URL(), "LDAP_USER_DN_TEMPLATE=uid={username}," + ldaptest.PeopleDN}, environ...)}
		assert.Equal(t, exitUsage, p.run(t.Context(), []string{"serve"}))
		assert.Contains(t, errs.String(), "AUTH_API_KEYS_FILE: ")
	}
}

func TestReload_AdoptsTheListenersCertificate(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	open, next := f.client(f.ca), ldaptest.NewCA(t)
	f.require(0, open, "shop-key-one")
	f.copy("cert.pem", next.Issue(t, ldaptest.CertConfig{}).CertFile) // of another key
	f.said(notReloadedLine, 1)
	assert.Contains(t, f.p.logged(), "must be a certificate and its private key")
	f.require(0, f.client(f.ca), "shop-key-one")
	f.certificate(next)
	f.said(reloadedLine, 1)
	f.require(0, f.client(next), "shop-key-one")
	_, err := f.login(f.client(f.ca), "shop-key-one")
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	f.require(0, open, "shop-key-one") // on the connection that it has
	assert.Zero(t, f.p.end(t))
}

func TestReload_AdoptsCallersAuthorities(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	next := ldaptest.NewCA(t)
	first := f.client(f.ca, f.callers.Issue(t, ldaptest.CertConfig{CommonName: "till 1", Client: true}))
	second := f.client(f.ca, next.Issue(t, ldaptest.CertConfig{CommonName: "till 2", Client: true}))
	f.require(0, first, "")
	f.require(15, second, "")
	f.copy("callers.pem", next.File())
	f.said(reloadedLine, 1)
	f.require(15, first, "")
	f.require(0, second, "")
	assert.Contains(t, f.p.logged(), `"caller":"till 1","caller_by":"certificate"`)
	assert.Contains(t, f.p.logged(), `the caller's certificate: x509: certificate signed by unknown authority`)
	resp, err := http.Get(f.p.admin + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(metrics), `authsvc_caller_logins_total{caller="till 2",class="verdict"} 1`)
	assert.Contains(t, string(metrics), `authsvc_logins_total{outcome="caller_refused"} 2`)
	assert.Zero(t, f.p.end(t))
}

func TestTLS_LongChainEndsTheHandshake(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	cert := f.callers.Issue(t, ldaptest.CertConfig{CommonName: "till 1", Client: true})
	f.require(0, f.client(f.ca, cert), "")
	for len(cert.TLS.Certificate) < 6 {
		cert.TLS.Certificate = append(cert.TLS.Certificate, cert.TLS.Certificate[0])
	}
	f.require(0, f.client(f.ca, cert), "")
	cert.TLS.Certificate = append(cert.TLS.Certificate, cert.TLS.Certificate[0])
	_, err := f.login(f.client(f.ca, cert), "shop-key-one")
	require.Error(t, err)
	f.saidPart("the chain must have at most 6 certificates and 16384 bytes")
	assert.Zero(t, f.p.end(t))
}

// saidPart waits until the service has logged a text.
func (f *frontage) saidPart(text string) {
	f.t.Helper()
	ldaptest.Eventually(f.t, text, func() bool { return strings.Contains(f.p.logged(), text) })
}

func TestHealthcheck_AsksOverHTTPSWithoutKeyOrCertificate(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	var errs strings.Builder
	p := &program{stdout: io.Discard, stderr: &errs, environ: []string{
		"HTTP_ADDR=" + strings.TrimPrefix(f.p.url, "https://"), "HTTP_TLS_CERT_FILE=" + f.path("cert.pem"), "HTTP_TLS_KEY_FILE=" + f.path("key.pem"),
	}}
	assert.Zero(t, p.run(t.Context(), []string{"healthcheck"}), errs.String())
	p.environ = p.environ[:1]
	assert.Equal(t, exitFailed, p.run(t.Context(), []string{"healthcheck"}), "without TLS it asks in the clear")
}

func TestReload_PipeDelaysNeitherRevocationNorExit(t *testing.T) {
	t.Parallel()
	f := startFrontage(t)
	c := f.client(f.ca)
	f.require(0, c, "shop-key-one")
	require.NoError(t, os.Remove(f.path("denied")))
	require.NoError(t, syscall.Mkfifo(f.path("denied"), 0o600))
	f.said(fewerLine, 1)
	f.keys("shop-key-two")
	f.said(reloadedLine, 1)
	f.require(15, c, "shop-key-one")
	f.require(0, c, "shop-key-two")
	require.Zero(t, f.p.end(t))
}
