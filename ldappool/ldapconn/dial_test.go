package ldapconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestParseURL_SaysWhereAServerIs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]Endpoint{
		"ldap://ldap.example.org":         {"tcp", "ldap.example.org:389", "ldap.example.org", Plain},
		"ldap://ldap.example.org:":        {"tcp", "ldap.example.org:389", "ldap.example.org", Plain},
		"ldap://ldap.example.org/":        {"tcp", "ldap.example.org:389", "ldap.example.org", Plain},
		"ldap://ldap.example.org:1389":    {"tcp", "ldap.example.org:1389", "ldap.example.org", Plain},
		"LDAP://LDAP.example.org":         {"tcp", "LDAP.example.org:389", "LDAP.example.org", Plain},
		"ldaps://ldap.example.org":        {"tcp", "ldap.example.org:636", "ldap.example.org", TLS},
		"ldaps://ldap.example.org:1636":   {"tcp", "ldap.example.org:1636", "ldap.example.org", TLS},
		"ldap://192.0.2.1":                {"tcp", "192.0.2.1:389", "192.0.2.1", Plain},
		"ldap://[2001:db8::1]":            {"tcp", "[2001:db8::1]:389", "2001:db8::1", Plain},
		"ldaps://[2001:db8::1]:1636":      {"tcp", "[2001:db8::1]:1636", "2001:db8::1", TLS},
		"ldap://[fe80::1%25eth0]":         {"tcp", "[fe80::1%eth0]:389", "fe80::1%eth0", Plain},
		"ldapi://%2frun%2fslapd%2fldapi":  {"unix", "/run/slapd/ldapi", "", Plain},
		"ldapi://%2Frun%2Fslapd%2Fldapi/": {"unix", "/run/slapd/ldapi", "", Plain},
		"ldapi:///run/slapd/ldapi":        {"unix", "/run/slapd/ldapi", "", Plain},
		"ldapi://%2frun%2fa%20b":          {"unix", "/run/a b", "", Plain},
	} {
		got, err := ParseURL(url)
		require.NoError(t, err, url)
		require.Equal(t, want, got, url)
	}
}

func TestParseURL_RefusesABadURLWithWhatToWrite(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                "must be ldap://host:port",
		"ldap.example.org":                "must be ldap://host:port",
		"ldap.example.org:389":            "must be ldap://host:port",
		"http://ldap.example.org":         "must be ldap://host:port",
		"cldap://ldap.example.org":        "must be ldap://host:port",
		"ldap://":                         "must be ldap://host:port",
		"ldap://:389":                     "must be ldap://host:port",
		"ldap:ldap.example.org":           "must be ldap://host:port",
		"ldap:///dc=example":              "must be ldap://host:port",
		"ldap://host/dc=example":          "must be ldap://host:port",
		"ldap://host?uid":                 "must be ldap://host:port",
		"ldap://user@host":                "must be ldap://host:port",
		"ldap://host:port":                "must have only a scheme, a host and a port: must be ldap://host:port",
		"ldap://[::1":                     "must have only a scheme, a host and a port: must be ldap://host:port",
		"ldap://ho st":                    "must have only a scheme, a host and a port: must be ldap://host:port",
		"ldap://host:0":                   "must have a port of 1 to 65535: must be ldap://host:port",
		"ldap://2001:db8::1":              "must have its IPv6 address in brackets",
		"ldap+srv://example.org":          "must be ldap://host:port",
		"ldapi://":                        "percent-encoded",
		"ldapi://run/slapd/ldapi":         "percent-encoded",
		"ldapi://%2frun%2fslapd%zz":       "percent-encoded",
		"ldapi://localhost%2frun%2fldapi": "percent-encoded",
	} {
		_, err := ParseURL(url)
		require.ErrorContains(t, err, want, url)
	}
	for _, url := range []string{"ldap://admin:secret@ldap.example.org", "ldap://admin:se cret@ldap.example.org:x"} {
		_, err := ParseURL(url)
		require.ErrorContains(t, err, "ldap.example.org")
		require.NotContains(t, err.Error(), "cret")
	}
}

// TestDial_AnErrorDoesNotRepeatTheCertificate, which the server chose, and wraps one that does.
func TestDial_AnErrorDoesNotRepeatTheCertificate(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	old := ldaptest.CertConfig{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), CommonName: "hunter2"}
	for name, tt := range map[string]struct {
		cert ldaptest.CertConfig
		pool *x509.CertPool
	}{
		"another name":         {ldaptest.CertConfig{Hosts: []string{"hunter2.test"}, CommonName: "hunter2"}, ca.Pool()},
		"an unknown authority": {ldaptest.CertConfig{CommonName: "hunter2"}, ldaptest.NewCA(t).Pool()},
		"expired":              {old, ca.Pool()},
		"a client's":           {ldaptest.CertConfig{Client: true, CommonName: "hunter2"}, ca.Pool()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewServer(t, nil, ldaptest.WithTLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tt.cert).TLS}}))
			_, err := handshakeOnce(soon(t), t, server.URL(), false, &tls.Config{RootCAs: tt.pool})
			requireStep(t, err, "tls")
			require.ErrorContains(t, err, "tls: failed to verify certificate: x509: certificate ")
			require.NotContains(t, err.Error(), "hunter2")
			isA[*tls.CertificateVerificationError](t, err)
		})
	}
}

// endpointOf is where a URL points, with StartTLS for an ldap URL if that is wanted.
func endpointOf(t testing.TB, url string, startTLS bool) Endpoint {
	t.Helper()
	e, err := ParseURL(url)
	require.NoError(t, err)
	if startTLS && e.Network == "tcp" && e.Security == Plain {
		e.Security = StartTLS
	}
	return e
}

// handshakeOnce dials a URL once and closes the connection again. It returns what the step "tls"
// reported.
func handshakeOnce(ctx context.Context, t testing.TB, url string, startTLS bool, config *tls.Config) (state tls.ConnectionState, err error) {
	t.Helper()
	var last Step
	c, err := Dial(ctx, endpointOf(t, url, startTLS), Options{TLS: config, OnStep: func(s Step) {
		last = s
		require.Equal(t, s.Name == "tls", s.TLS != nil)
		if s.TLS != nil {
			state = *s.TLS
		}
	}})
	if err != nil {
		require.Nil(t, c)
		require.ErrorIs(t, err, last.Err)
		return state, err
	}
	require.NoError(t, last.Err)
	c.Close()
	return state, nil
}

// soon is a context for what must not last.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// requireStep checks that a dial failed, in that step.
func requireStep(t testing.TB, err error, step string) {
	t.Helper()
	var at *DialError
	require.ErrorAs(t, err, &at)
	require.Equal(t, step, at.Step, err)
	require.True(t, strings.HasPrefix(err.Error(), step+": "), err)
}

func TestDial_AServerIsWhoItsCertificateSays(t *testing.T) {
	t.Parallel()
	ca, stranger := ldaptest.NewCA(t), ldaptest.NewCA(t)
	issue := func(c ldaptest.CertConfig) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, c).TLS}}
	}
	old := ldaptest.CertConfig{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}
	tests := []struct {
		name   string
		server *tls.Config
		client *tls.Config
		host   string // of the URL
		check  func(t *testing.T, err error)
	}{
		{"a name of the URL that the certificate has", issue(ldaptest.CertConfig{}), &tls.Config{RootCAs: ca.Pool()}, "localhost", nil},
		{"an address of the URL that the certificate has", issue(ldaptest.CertConfig{}), &tls.Config{RootCAs: ca.Pool()}, "127.0.0.1", nil},
		{"a name that is configured", issue(ldaptest.CertConfig{Hosts: []string{"ldap.test"}}),
			&tls.Config{RootCAs: ca.Pool(), ServerName: "ldap.test"}, "127.0.0.1", nil},
		{"another name than the URL's", issue(ldaptest.CertConfig{Hosts: []string{"ldap.test"}}), &tls.Config{RootCAs: ca.Pool()}, "localhost", isA[x509.HostnameError]},
		{"an address that the certificate has not", issue(ldaptest.CertConfig{Hosts: []string{"localhost"}}), &tls.Config{RootCAs: ca.Pool()}, "127.0.0.1", isA[x509.HostnameError]},
		{"another name than the configured one", issue(ldaptest.CertConfig{}),
			&tls.Config{RootCAs: ca.Pool(), ServerName: "ldap.test"}, "localhost", isA[x509.HostnameError]},
		{"a certificate without names", issue(ldaptest.CertConfig{Hosts: []string{}}), &tls.Config{RootCAs: ca.Pool()}, "localhost", isA[x509.HostnameError]},
		{"an authority that is not trusted", issue(ldaptest.CertConfig{}), &tls.Config{RootCAs: stranger.Pool()}, "localhost", isA[x509.UnknownAuthorityError]},
		{"the system's authorities, where none is configured", issue(ldaptest.CertConfig{}), nil, "localhost", isA[x509.UnknownAuthorityError]},
		{"an expired certificate", issue(old), &tls.Config{RootCAs: ca.Pool()}, "localhost", isA[x509.CertificateInvalidError]},
		{"a client's certificate", issue(ldaptest.CertConfig{Client: true}), &tls.Config{RootCAs: ca.Pool()}, "localhost", isA[x509.CertificateInvalidError]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, server := range map[string]*ldaptest.Server{
				"ldaps":    ldaptest.NewServer(t, nil, ldaptest.WithTLS(tt.server)),
				"StartTLS": ldaptest.NewServer(t, nil, ldaptest.WithStartTLS(tt.server)),
			} {
				scheme := map[string]string{"ldaps": "ldaps://", "StartTLS": "ldap://"}[name]
				url := scheme + strings.Replace(server.Addr(), "127.0.0.1", tt.host, 1)
				_, err := handshakeOnce(soon(t), t, url, true, tt.client)
				if tt.check == nil {
					require.NoError(t, err, name)
					continue
				}
				requireStep(t, err, "tls")
				tt.check(t, err)
			}
		})
	}
}

// isA checks that there is an E in err.
func isA[E error](t *testing.T, err error) {
	t.Helper()
	var e E
	require.ErrorAs(t, err, &e)
}

// TestDial_AnAddressMayBeApartFromTheName: the certificate must have the name, and not the address
// that is dialed.
func TestDial_AnAddressMayBeApartFromTheName(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	only := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, ldaptest.CertConfig{Hosts: []string{"ldap.test"}}).TLS}}
	server := ldaptest.NewServer(t, nil, ldaptest.WithTLS(only))
	for name, ok := range map[string]bool{"ldap.test": true, "other.test": false, "127.0.0.1": false, "": false} {
		e := Endpoint{Network: "tcp", Address: server.Addr(), Name: name, Security: TLS}
		c, err := Dial(soon(t), e, Options{TLS: &tls.Config{RootCAs: ca.Pool()}})
		if !ok {
			requireStep(t, err, "tls")
			continue
		}
		require.NoError(t, err)
		c.Close()
	}
}

func TestDial_SpeaksNoTLSBelow12AndNoneBelowTheConfiguredVersion(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	tests := []struct {
		name        string
		offers      uint16 // by the server, at most
		least, want uint16 // configured, and spoken; 0: none
	}{
		{"1.1, where 1.0 is allowed", tls.VersionTLS11, tls.VersionTLS10, 0},
		{"1.1, where nothing is configured", tls.VersionTLS11, 0, 0},
		{"1.2, where nothing is configured", tls.VersionTLS12, 0, tls.VersionTLS12},
		{"1.2, where 1.3 is wanted", tls.VersionTLS12, tls.VersionTLS13, 0},
		{"1.3, where 1.3 is wanted", tls.VersionTLS13, tls.VersionTLS13, tls.VersionTLS13},
		{"1.3, where nothing is configured", tls.VersionTLS13, 0, tls.VersionTLS13},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			offer := ca.ServerTLS(t)
			offer.MinVersion, offer.MaxVersion = tls.VersionTLS10, tt.offers
			server := ldaptest.NewServer(t, nil, ldaptest.WithTLS(offer))
			base := &tls.Config{RootCAs: ca.Pool(), MinVersion: tt.least}
			state, err := handshakeOnce(soon(t), t, server.URL(), false, base)
			require.Equal(t, tt.least, base.MinVersion, "the caller's configuration was changed")
			require.Empty(t, base.ServerName, "the caller's configuration was changed")
			if tt.want == 0 {
				requireStep(t, err, "tls")
				require.ErrorContains(t, err, "protocol version")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, state.Version)
		})
	}
}

func TestDial_PresentsAClientCertificate(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{Client: true, CommonName: "authsvc", Hosts: []string{}})
	for name, option := range map[string]func(*tls.Config) ldaptest.ServerOption{"ldaps": ldaptest.WithTLS, "StartTLS": ldaptest.WithStartTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := make(chan string, 100)
			demand := ca.ServerTLS(t)
			demand.ClientAuth, demand.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
			demand.VerifyConnection = func(s tls.ConnectionState) error {
				shown <- s.PeerCertificates[0].Subject.CommonName
				return nil
			}
			server := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, option(demand))
			e := endpointOf(t, server.URL(), true)
			c, err := Dial(soon(t), e, Options{TLS: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert.TLS}}})
			require.NoError(t, err)
			_, err = c.Search(soon(t), time.Time{}, rootDSE(), Filter{})
			require.NoError(t, err)
			require.Equal(t, "authsvc", <-shown)
			c.Close()

			// With TLS 1.3 the refusal follows the handshake.
			c, err = Dial(soon(t), e, Options{TLS: &tls.Config{RootCAs: ca.Pool()}})
			if err == nil {
				_, err = c.Search(soon(t), time.Time{}, rootDSE(), Filter{})
				c.Close()
			}
			require.ErrorContains(t, err, "certificate required")
		})
	}
}

// rootDSE is a search that every server answers.
func rootDSE() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}

// listen accepts connections and serves each, until the test ends.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// startTLSSize is the size of the request for TLS.
const startTLSSize = 31

// answering reads a request for TLS and sends b.
func answering(b []byte) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, startTLSSize)); err == nil {
			_, _ = c.Write(b)
			_, _ = io.Copy(io.Discard, c)
		}
	}
}

func TestDial_AFailureNamesTheStep(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	agreed := ldaptest.ExtendedResponse(1, 0, "", ldaptest.StartTLSOID, nil)
	huge := ldaptest.HugeResultCode(1)
	huge[5] = tagExtendedAnswer
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	closed := func(c net.Conn) { _ = c.Close() }
	says := func(b []byte) func(net.Conn) { return func(c net.Conn) { _, _ = c.Write(b); silent(c) } }
	tests := []struct {
		name, scheme string
		serve        func(net.Conn)
		step, text   string
		silent       bool // it ends by its deadline, not before
	}{
		{"ldaps, silent", "ldaps", silent, "tls", "", true},
		{"ldaps, a byte of a handshake", "ldaps", says([]byte{22}), "tls", "", true},
		{"ldaps, garbage", "ldaps", says(ldaptest.Garbage()), "tls", "first record does not look like a TLS handshake", false},
		{"ldaps, closed", "ldaps", closed, "tls", "", false},
		{"StartTLS, silent", "ldap", silent, "starttls", "", true},
		{"StartTLS, half an answer", "ldap", answering(agreed[:10]), "starttls", "", true},
		{"StartTLS, silent behind the answer", "ldap", answering(agreed), "tls", "", true},
		{"StartTLS, refused", "ldap", answering(ldaptest.ExtendedResponse(1, 52, "", "", nil)), "starttls", "refused with result code 52 (Unavailable)", false},
		{"StartTLS, refused with a code that is none", "ldap", answering(huge), "starttls", errCode.Error(), false},
		{"StartTLS, another ID", "ldap", answering(ldaptest.ExtendedResponse(2, 0, "", "", nil)), "starttls", errWrongReply.Error(), false},
		{"StartTLS, another operation", "ldap", answering(ldaptest.BindResponse(1, 0, "")), "starttls", errWrongReply.Error(), false},
		{"StartTLS, a notice of disconnection", "ldap", answering(ldaptest.NoticeOfDisconnection(52, "")), "starttls", errWrongReply.Error(), false},
		{"StartTLS, garbage", "ldap", answering(ldaptest.Garbage()), "starttls", errNotLDAP.Error(), false},
		{"StartTLS, an endless length", "ldap", answering(ldaptest.EndlessLength()), "starttls", errTooLong.Error(), false},
		{"StartTLS, an answer without end", "ldap", answering(append([]byte{0x30, 0x83, 0x10, 0, 0}, bytes.Repeat([]byte{4, 0}, 4096)...)), "starttls", "too long", false},
		{"StartTLS, closed", "ldap", closed, "starttls", "", false},
		{"StartTLS, plaintext behind the answer", "ldap", answering(append(bytes.Clone(agreed), ldaptest.BindResponse(1, 0, "")...)),
			"tls", "first record does not look like a TLS handshake", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := tt.scheme + "://" + listen(t, tt.serve)
			timeout := 20 * time.Second
			if tt.silent {
				timeout = 100 * time.Millisecond
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			_, err := handshakeOnce(ctx, t, url, true, ca.ClientTLS("localhost"))
			requireStep(t, err, tt.step)
			require.ErrorContains(t, err, tt.text)
			require.Less(t, time.Since(began), 10*time.Second)
			if tt.silent {
				require.GreaterOrEqual(t, time.Since(began), timeout)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		})
	}
}

// TestDial_PlaintextBehindTheStartTLSAnswerIsNeverReadAsLDAP: an attacker in between puts an answer
// in the clear behind the server's, whose handshake is in order.
func TestDial_PlaintextBehindTheStartTLSAnswerIsNeverReadAsLDAP(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure := ca.ServerTLS(t)
	read := make(chan error, 100)
	addr := listen(t, func(c net.Conn) {
		answering(nil)(&stubConn{Conn: c, write: func([]byte) (int, error) {
			_, _ = c.Write(append(ldaptest.ExtendedResponse(1, 0, "", "", nil), ldaptest.BindResponse(1, 0, "")...))
			_, err := tls.Server(c, secure).Read(make([]byte, 1))
			read <- err
			return 0, io.ErrClosedPipe
		}})
	})
	_, err := handshakeOnce(soon(t), t, "ldap://"+addr, true, ca.ClientTLS("localhost"))
	requireStep(t, err, "tls")
	require.Error(t, <-read, "the handshake succeeded and a request was sent")
}

func TestDial_EndsAtOnceWhenItsContextIsCanceled(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	for name, tt := range map[string]struct {
		scheme, step string
		startTLS     bool
		answer       []byte
	}{
		"in the handshake":            {"ldaps", "tls", false, nil},
		"behind the StartTLS request": {"ldap", "starttls", true, nil},
		"behind the StartTLS answer":  {"ldap", "tls", true, ldaptest.ExtendedResponse(1, 0, "", "", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan struct{}, 1)
			addr := listen(t, func(c net.Conn) {
				n := 1
				if tt.startTLS {
					n = startTLSSize
				}
				_, _ = io.ReadFull(c, make([]byte, n))
				if tt.answer != nil {
					_, _ = c.Write(tt.answer)
					_, _ = io.ReadFull(c, make([]byte, 1))
				}
				cancel()
				_, _ = io.Copy(io.Discard, c)
				ended <- struct{}{}
			})
			began := time.Now()
			_, err := handshakeOnce(ctx, t, tt.scheme+"://"+addr, tt.startTLS, ca.ClientTLS("localhost"))
			requireStep(t, err, tt.step)
			<-ended // the socket is closed
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
	t.Run("in connect", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Dial(ctx, endpointOf(t, "ldap://one", false), Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp one:389", network+" "+addr)
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		requireStep(t, err, "connect")
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestDial_TheConnectionOutlivesItsContext, also where TLS was negotiated under it.
func TestDial_TheConnectionOutlivesItsContext(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	for name, server := range map[string]*ldaptest.Server{
		"plain":    ldaptest.NewServer(t, ldaptest.NewDirectory().Handle),
		"ldaps":    ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(ca.ServerTLS(t))),
		"StartTLS": ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithStartTLS(ca.ServerTLS(t))),
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		c, err := Dial(ctx, endpointOf(t, server.URL(), name == "StartTLS"), Options{TLS: ca.ClientTLS("localhost")})
		require.NoError(t, err, name)
		cancel()
		_, err = c.Search(soon(t), time.Time{}, rootDSE(), Filter{})
		require.NoError(t, err, name)
		c.Close()
	}
}

func TestDial_ARefusalSaysSo(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	server.StopListening()
	_, err := handshakeOnce(soon(t), t, server.URL(), false, nil)
	requireStep(t, err, "connect")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = handshakeOnce(soon(t), t, "ldapi://%2fnonexistent%2fldapi", false, nil)
	requireStep(t, err, "connect")
	require.ErrorIs(t, err, syscall.ENOENT)
}

func TestDial_AFailureLeavesNoSocketOpen(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		c.ReplyExtended(req, ldap.LDAPResultUnavailable, "", nil)
	})
	for range 10 {
		var socket net.Conn
		_, err := Dial(soon(t), endpointOf(t, server.URL(), true), Options{TLS: ca.ClientTLS("localhost"), Dial: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			socket, err = NetDial(ctx, network, addr)
			return socket, err
		}})
		requireStep(t, err, "starttls")
		require.ErrorIs(t, socket.SetDeadline(time.Time{}), net.ErrClosed)
	}
	ldaptest.Eventually(t, "all sockets to be closed", func() bool { return server.Open() == 0 })
	require.Equal(t, 10, server.Accepted())
}
