package ldappool

import (
	"authsvc/ldappool/internal/core"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/ldapconn"

	"github.com/stretchr/testify/require"
)

func TestDial_BadURLIsRejectedWithWhatToWrite(t *testing.T) {
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
		"ldapi://":                        "percent-encoded",
		"ldapi://run/slapd/ldapi":         "percent-encoded",
		"ldapi://%2frun%2fslapd%zz":       "percent-encoded",
		"ldapi://localhost%2frun%2fldapi": "percent-encoded",
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Servers: []string{"ldap://good", url}})
			require.ErrorContains(t, err, "Config.Servers: ")
			require.ErrorContains(t, err, want)
		})
	}
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

func TestDial_ReachesEveryKindOfURL(t *testing.T) { //nolint:tparallel // its subtests count in one log, one at a time
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
	var in *ldapconn.DialError
	var at *stepError
	if errors.As(err, &in) {
		at = &stepError{step: in.Step}
	} else {
		require.ErrorAs(t, err, &at)
	}
	require.Equal(t, step, at.step, err)
	require.True(t, strings.HasPrefix(err.Error(), step+": "), err)
}

func TestDial_PoolPresentsItsClientCertificate(t *testing.T) {
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

// writing is a net.Conn that writes in its own way.
type writing struct {
	net.Conn
	write func([]byte) (int, error)
}

func (c *writing) Write(b []byte) (int, error) { return c.write(b) }

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

func TestDial_PlaintextAfterTheStartTLSAnswerIsRejected(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure := ca.ServerTLS(t)
	read := make(chan error, 100)
	// An attacker in between puts an answer in the clear behind the server's, whose handshake is in
	// order.
	addr := listen(t, func(c net.Conn) {
		answering(nil)(&writing{Conn: c, write: func([]byte) (int, error) {
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

func TestDial_SilentServerCostsOneDialTimeout(t *testing.T) {
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
			cfg.DialTimeout = time.Second // a loaded machine connects within it
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
	return &core.ServerError{Err: op.Err}
}
