package ldappool

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
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

func TestAServersURLSaysWhereItIs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url           string
		network, addr string
		serverName    string // of TLS; empty without
		startTLS      bool
	}{
		{"ldap://ldap.example.org", "tcp", "ldap.example.org:389", "ldap.example.org", true},
		{"ldap://ldap.example.org:", "tcp", "ldap.example.org:389", "ldap.example.org", true},
		{"ldap://ldap.example.org/", "tcp", "ldap.example.org:389", "ldap.example.org", true},
		{"ldap://ldap.example.org:1389", "tcp", "ldap.example.org:1389", "ldap.example.org", true},
		{"LDAP://LDAP.example.org", "tcp", "LDAP.example.org:389", "LDAP.example.org", true},
		{"ldaps://ldap.example.org", "tcp", "ldap.example.org:636", "ldap.example.org", false},
		{"ldaps://ldap.example.org:1636", "tcp", "ldap.example.org:1636", "ldap.example.org", false},
		{"ldap://192.0.2.1", "tcp", "192.0.2.1:389", "192.0.2.1", true},
		{"ldap://[2001:db8::1]", "tcp", "[2001:db8::1]:389", "2001:db8::1", true},
		{"ldaps://[2001:db8::1]:1636", "tcp", "[2001:db8::1]:1636", "2001:db8::1", false},
		{"ldap://[fe80::1%25eth0]", "tcp", "[fe80::1%eth0]:389", "fe80::1%eth0", true},
		{"ldapi://%2frun%2fslapd%2fldapi", "unix", "/run/slapd/ldapi", "", false},
		{"ldapi://%2Frun%2Fslapd%2Fldapi/", "unix", "/run/slapd/ldapi", "", false},
		{"ldapi:///run/slapd/ldapi", "unix", "/run/slapd/ldapi", "", false},
		{"ldapi://%2frun%2fa%20b", "unix", "/run/a b", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			for _, startTLS := range []bool{false, true} {
				e, err := parseEndpoint(tt.url, Config{StartTLS: startTLS})
				require.NoError(t, err)
				require.Equal(t, tt.network, e.network)
				require.Equal(t, tt.addr, e.addr)
				require.Equal(t, startTLS && tt.startTLS, e.startTLS)
				if tt.serverName == "" || tt.startTLS && !startTLS {
					require.Nil(t, e.tls)
					continue
				}
				require.Equal(t, tt.serverName, e.tls.ServerName)
				require.EqualValues(t, tls.VersionTLS12, e.tls.MinVersion)
			}
		})
	}
}

func TestABadURLIsRefusedWithWhatToWrite(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                "want ldap://host:port",
		"ldap.example.org":                "want ldap://host:port",
		"ldap.example.org:389":            "want ldap://host:port",
		"http://ldap.example.org":         "want ldap://host:port",
		"cldap://ldap.example.org":        "want ldap://host:port",
		"ldap://":                         "want ldap://host:port",
		"ldap://:389":                     "want ldap://host:port",
		"ldap:ldap.example.org":           "want ldap://host:port",
		"ldap:///dc=example":              "want ldap://host:port",
		"ldap://host/dc=example":          "want ldap://host:port",
		"ldap://host?uid":                 "want ldap://host:port",
		"ldap://user@host":                "want ldap://host:port",
		"ldap://host:port":                "is not a URL",
		"ldap://[::1":                     "is not a URL",
		"ldap://ho st":                    "is not a URL",
		"ldapi://":                        "percent-encoded",
		"ldapi://run/slapd/ldapi":         "percent-encoded",
		"ldapi://%2frun%2fslapd%zz":       "percent-encoded",
		"ldapi://localhost%2frun%2fldapi": "percent-encoded",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			_, err := parseEndpoint(url, Config{})
			require.ErrorContains(t, err, want)
			_, err = New(Config{Servers: []string{"ldap://good", url}})
			require.ErrorContains(t, err, "Config.Servers: ")
			require.ErrorContains(t, err, want)
		})
	}
}

func TestAPasswordInAURLIsNotRepeated(t *testing.T) {
	t.Parallel()
	_, err := parseEndpoint("ldap://admin:secret@ldap.example.org", Config{})
	require.ErrorContains(t, err, "ldap.example.org")
	require.NotContains(t, err.Error(), "secret")
}

func TestTheCallersTLSConfigurationStaysAsItIs(t *testing.T) {
	t.Parallel()
	base := &tls.Config{MinVersion: tls.VersionTLS10}
	e, err := parseEndpoint("ldaps://one", Config{TLS: base})
	require.NoError(t, err)
	require.Equal(t, "one", e.tls.ServerName)
	require.EqualValues(t, tls.VersionTLS12, e.tls.MinVersion, "TLS 1.2 is the least")
	require.Empty(t, base.ServerName)
	require.EqualValues(t, tls.VersionTLS10, base.MinVersion)

	e, err = parseEndpoint("ldaps://one", Config{TLS: &tls.Config{ServerName: "other", MinVersion: tls.VersionTLS13}})
	require.NoError(t, err)
	require.Equal(t, "other", e.tls.ServerName)
	require.EqualValues(t, tls.VersionTLS13, e.tls.MinVersion)
}

// pooled makes a pool that ends with the test.
func pooled(t testing.TB, cfg Config) *Pool {
	t.Helper()
	p, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = p.Close(ctx)
	})
	return p
}

// asService adds the service identity of ldaptest.
func asService(cfg Config) Config {
	cfg.BindDN, cfg.BindPassword = ldaptest.ServiceDN, ldaptest.ServicePassword
	return cfg
}

func TestADirectoryIsReachedByEveryKindOfURL(t *testing.T) { //nolint:tparallel // its subtests count in one log, one at a time
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2, TLS: true})
	byName := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	ca := &tls.Config{RootCAs: slapd.CA().Pool()}
	for name, tt := range map[string]struct {
		cfg    Config
		secure int // TLS handshakes that slapd sees
	}{
		"ldap":                       {Config{Servers: []string{slapd.URL()}}, 0},
		"ldaps":                      {Config{Servers: []string{slapd.TLSURL()}, TLS: ca}, 2},
		"StartTLS":                   {Config{Servers: []string{byName(slapd.URL())}, StartTLS: true, TLS: ca}, 2},
		"StartTLS to an address":     {Config{Servers: []string{slapd.URL()}, StartTLS: true, TLS: ca}, 2},
		"ldapi":                      {Config{Servers: []string{slapd.LDAPIURL()}}, 0},
		"ldapi, where TLS is no use": {Config{Servers: []string{slapd.LDAPIURL()}, StartTLS: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := slapd.LogCount("TLS established")
			cfg := asService(tt.cfg)
			cfg.MinIdleConns = -1
			p := pooled(t, cfg)
			require.Equal(t, ldaptest.UserDN(1), mustSearch(t, p).Entries[0].DN)
			mustBind(t, p)
			require.Equal(t, tt.secure, slapd.LogCount("TLS established")-before)
		})
	}
}

// knock dials url once, as the pool would, and shuts the door again.
func knock(ctx context.Context, t testing.TB, url string, cfg Config) (tls.ConnectionState, error) {
	t.Helper()
	cfg.Servers = []string{url}
	e, err := parseEndpoint(url, cfg)
	require.NoError(t, err)
	w, err := e.dial(ctx, netDial)
	if err != nil {
		require.Nil(t, w)
		return tls.ConnectionState{}, err
	}
	defer w.raw.Close()
	if c, ok := w.Conn.(*tls.Conn); ok {
		return c.ConnectionState(), nil
	}
	return tls.ConnectionState{}, nil
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
	var at *stepError
	require.ErrorAs(t, err, &at)
	require.Equal(t, step, at.step, err)
	require.True(t, strings.HasPrefix(err.Error(), step+": "), err)
}

func TestAServerIsWhoItsCertificateSays(t *testing.T) {
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
				_, err := knock(soon(t), t, url, Config{StartTLS: true, TLS: tt.client})
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

func TestNoTLSBelow12IsSpokenAndNoneBelowTheConfiguredOne(t *testing.T) {
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
			state, err := knock(soon(t), t, server.URL(), Config{TLS: &tls.Config{RootCAs: ca.Pool(), MinVersion: tt.least}})
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

func TestAClientCertificateIsPresented(t *testing.T) {
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
			server := ldaptest.NewServer(t, nil, option(demand))
			cfg := asService(Config{Servers: []string{server.URL()}, StartTLS: true})
			cfg.TLS = &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert.TLS}}
			mustSearch(t, pooled(t, cfg))
			require.Equal(t, "authsvc", <-shown)

			// With TLS 1.3 the refusal comes behind the handshake, in the first exchange.
			cfg.TLS = &tls.Config{RootCAs: ca.Pool()}
			_, err := pooled(t, cfg).Search(soon(t), people())
			require.ErrorIs(t, err, ErrUnavailable)
			require.ErrorContains(t, err, "certificate required")
		})
	}
}

// listen accepts connections and has serve deal with each, until the test ends.
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

// startTLSRequestSize is the size of the request that startTLS sends.
const startTLSRequestSize = 31

// answering reads a StartTLS request and sends b.
func answering(b []byte) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, startTLSRequestSize)); err == nil {
			_, _ = c.Write(b)
			_, _ = io.Copy(io.Discard, c)
		}
	}
}

func TestADialThatFailsNamesTheStep(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	agreed := ldaptest.ExtendedResponse(1, 0, "", ldaptest.StartTLSOID, nil)
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
		{"StartTLS, refused with a code that is none", "ldap", answering(hugeExtended()), "starttls", "refused with result code 65536", false},
		{"StartTLS, another id", "ldap", answering(ldaptest.ExtendedResponse(2, 0, "", "", nil)), "starttls", errWrongReply.Error(), false},
		{"StartTLS, another operation", "ldap", answering(ldaptest.BindResponse(1, 0, "")), "starttls", errWrongReply.Error(), false},
		{"StartTLS, a notice of disconnection", "ldap", answering(ldaptest.NoticeOfDisconnection(52, "")), "starttls", errWrongReply.Error(), false},
		{"StartTLS, garbage", "ldap", answering(ldaptest.Garbage()), "starttls", errNoLDAP.Error(), false},
		{"StartTLS, an endless length", "ldap", answering(ldaptest.EndlessLength()), "starttls", errTooLong.Error(), false},
		{"StartTLS, an answer without end", "ldap", answering(append([]byte{0x30, 0x83, 0x10, 0, 0}, bytes.Repeat([]byte{4, 0}, 4096)...)), "starttls", "too long", false},
		{"StartTLS, closed", "ldap", closed, "starttls", "", false},
		{"StartTLS, plaintext behind the answer", "ldap", answering(append(agreed, ldaptest.BindResponse(1, 0, "")...)),
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
			_, err := knock(ctx, t, url, Config{StartTLS: true, TLS: ca.ClientTLS("localhost")})
			requireStep(t, err, tt.step)
			require.ErrorContains(t, err, tt.text)
			require.Less(t, time.Since(began), 10*time.Second)
			if tt.silent {
				require.GreaterOrEqual(t, time.Since(began), timeout)
			}
		})
	}
}

// hugeExtended is an extended answer whose result code is 0 in 16 bits and not in 17.
func hugeExtended() []byte {
	b := ldaptest.HugeResultCode(1)
	b[5] = tagExtendedAnswer
	return b
}

func TestPlaintextBehindTheStartTLSAnswerIsNeverReadAsLDAP(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure := ca.ServerTLS(t)
	read := make(chan error, 100)
	// An attacker in between puts an answer in the clear behind the server's, whose handshake is in order.
	addr := listen(t, func(c net.Conn) {
		answering(nil)(&stubConn{Conn: c, write: func([]byte) (int, error) {
			_, _ = c.Write(append(ldaptest.ExtendedResponse(1, 0, "", "", nil), ldaptest.BindResponse(1, 0, "")...))
			_, err := tls.Server(c, secure).Read(make([]byte, 1))
			read <- err
			return 0, io.ErrClosedPipe
		}})
	})
	cfg := asService(Config{Servers: []string{"ldap://" + addr}, StartTLS: true, TLS: ca.ClientTLS("localhost")})
	_, err := pooled(t, cfg).Search(soon(t), people())
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "tls: ")
	require.Error(t, <-read, "the handshake succeeded and a request was sent")
}

func TestASilentServerCostsADialTimeoutAndNoMore(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	addr := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for step, cfg := range map[string]Config{
		"tls":          {Servers: []string{"ldaps://" + addr}, TLS: ca.ClientTLS("localhost")},
		"starttls":     {Servers: []string{"ldap://" + addr}, StartTLS: true},
		"service bind": asService(Config{Servers: []string{"ldap://" + addr}}),
		"ping":         {Servers: []string{"ldap://" + addr}},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			dials := make(chan DialEvent, 100)
			cfg.DialTimeout = 100 * time.Millisecond
			cfg.Trace.Dialed = func(e DialEvent) { dials <- e }
			p := pooled(t, cfg)
			began := time.Now()
			_, err := p.Search(soon(t), people())
			require.ErrorIs(t, err, ErrUnavailable)
			requireStep(t, errors.Unwrap(unwrapOp(t, err)), step)
			require.Less(t, time.Since(began), 10*time.Second)
			requireStep(t, (<-dials).Err, step)
		})
	}
}

// unwrapOp wraps the cause of an *OpError once, so that errors.Unwrap gives it.
func unwrapOp(t testing.TB, err error) error {
	t.Helper()
	var op *OpError
	require.ErrorAs(t, err, &op)
	return &serverError{"", op.Err}
}

func TestACancelledDialEndsAtOnce(t *testing.T) {
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
					n = startTLSRequestSize
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
			_, err := knock(ctx, t, tt.scheme+"://"+addr, Config{StartTLS: tt.startTLS, TLS: ca.ClientTLS("localhost")})
			requireStep(t, err, tt.step)
			<-ended // the socket is closed
			require.Less(t, time.Since(began), 10*time.Second)
		})
	}
	t.Run("in connect", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		e, err := parseEndpoint("ldap://one", Config{})
		require.NoError(t, err)
		_, err = e.dial(ctx, func(ctx context.Context, network, addr string) (net.Conn, error) {
			require.Equal(t, "tcp one:389", network+" "+addr)
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		requireStep(t, err, "connect")
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestADialThatIsRefusedSaysSo(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	server.StopListening()
	_, err := knock(soon(t), t, server.URL(), Config{})
	requireStep(t, err, "connect")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = knock(soon(t), t, "ldapi://%2fnonexistent%2fldapi", Config{})
	requireStep(t, err, "connect")
	require.ErrorIs(t, err, syscall.ENOENT)
}

func TestAFailedDialLeavesNoSocketOpen(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		c.ReplyExtended(req, ldap.LDAPResultUnavailable, "", nil)
	})
	for range 10 {
		_, err := knock(soon(t), t, server.URL(), Config{StartTLS: true, TLS: ca.ClientTLS("localhost")})
		requireStep(t, err, "starttls")
	}
	ldaptest.Eventually(t, "all sockets to be closed", func() bool { return server.Open() == 0 })
	require.Equal(t, 10, server.Accepted())
}
