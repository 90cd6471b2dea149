package connlimit_test

import (
	"bufio"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/connlimit"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// slowSigner signs when the test lets it.
type slowSigner struct {
	crypto.Signer

	signs   chan struct{} // an element lets it sign once; closed, always
	waiting atomic.Int32
	most    atomic.Int32 // that waited at one time
}

// SignMessage is not there, so that crypto/tls calls Sign.
func (s *slowSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	n := s.waiting.Add(1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	<-s.signs
	s.waiting.Add(-1)
	return s.Signer.Sign(rand, digest, opts)
}

// secured is a TLS server behind a limited listener in memory.
type secured struct {
	t      *testing.T
	peers  *network
	ca     *ldaptest.CA
	signer *slowSigner
	valid  time.Time // a time at which the server's certificate is
	limits *connlimit.Listener
	server *http.Server
	ended  chan error
	open   []net.Conn
}

// serveTLS serves h in a bubble. What has to be made outside of it is made by [newCertificate].
func serveTLS(t *testing.T, ca *ldaptest.CA, cert tls.Certificate, h http.HandlerFunc) *secured {
	t.Helper()
	s := &secured{
		t: t, peers: newNetwork(), ca: ca, ended: make(chan error), valid: cert.Leaf.NotAfter,
		signer: &slowSigner{Signer: cert.PrivateKey.(crypto.Signer), signs: make(chan struct{})},
	}
	cert.PrivateKey = s.signer
	s.limits = connlimit.New(s.peers, connlimit.Config{MaxConns: 1000, Handshakes: true})
	s.server = &http.Server{
		Handler: h, ConnState: s.limits.ConnState, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			SessionTicketsDisabled: true, // a pipe has no buffer for a ticket that its client does not read
		},
	}
	go func() { s.ended <- s.server.ServeTLS(s.limits, "", "") }()
	return s
}

// dial begins a connection from an address; nothing is said on it yet.
func (s *secured) dial(addr string) net.Conn {
	s.t.Helper()
	near, far := net.Pipe()
	s.peers.pending <- remote{near, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1}}
	s.open = append(s.open, far)
	return far
}

// client is a configuration of clients. In a bubble it is the year 2000.
func (s *secured) client() *tls.Config {
	cfg := s.ca.ClientTLS("localhost")
	cfg.Time = func() time.Time { return s.valid }
	return cfg
}

// handshake begins one from an address, and gives its end to done.
func (s *secured) handshake(addr string) (conn *tls.Conn, done <-chan error) {
	s.t.Helper()
	conn = tls.Client(s.dial(addr), s.client())
	ended := make(chan error, 1)
	go func() { ended <- conn.Handshake() }()
	return conn, ended
}

// end closes everything, and finds that nothing computes and nothing is counted any more.
func (s *secured) end() {
	s.t.Helper()
	close(s.signer.signs)
	for _, conn := range s.open {
		_ = conn.Close()
	}
	synctest.Wait()
	require.Zero(s.t, s.limits.Stat().Open)
	require.NoError(s.t, s.server.Close())
	require.ErrorIs(s.t, <-s.ended, http.ErrServerClosed)
	require.Zero(s.t, s.limits.Computing())
}

// newCertificate makes what is no part of a bubble.
func newCertificate(t *testing.T) (*ldaptest.CA, tls.Certificate) {
	t.Helper()
	ca := ldaptest.NewCA(t)
	return ca, ca.Issue(t, ldaptest.CertConfig{}).TLS
}

func TestHandshake_OfAnotherAddressWaitsForAFew(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, ca, cert, nil)
		for range 50 {
			s.handshake(attacker)
		}
		synctest.Wait()
		require.Equal(t, s.limits.PerAddress(), int(s.signer.waiting.Load()))
		_, done := s.handshake(app)
		synctest.Wait()
		// A hello comes in up to three reads, each of which waits for one of the others at most.
		signs, waits := 0, true
		for waits && signs < 50 {
			select {
			case s.signer.signs <- struct{}{}:
				signs++
			case err := <-done:
				require.NoError(t, err)
				waits = false
			}
			synctest.Wait()
		}
		require.False(t, waits, "it waits behind all those of the other address")
		require.LessOrEqual(t, signs, 10*s.limits.PerAddress())
		s.end()
	})
}

func TestHandshake_NoMoreComputeThanHalfOfTheProcessors(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, ca, cert, nil)
		var all []<-chan error
		for i := range 100 {
			_, done := s.handshake(net.IPv4(192, 0, 2, byte(i)).String())
			all = append(all, done)
		}
		synctest.Wait()
		require.Equal(t, s.limits.AtOnce(), int(s.signer.waiting.Load()))
		for range 100 {
			s.signer.signs <- struct{}{}
		}
		for _, done := range all {
			require.NoError(t, <-done)
		}
		require.Equal(t, s.limits.AtOnce(), int(s.signer.most.Load()))
		s.end()
	})
}

func TestHandshake_OneThatLeavesOrReadsNothingHoldsUpNone(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	for name, leave := range map[string]func(net.Conn){
		"closes": func(c net.Conn) { _ = c.Close() }, "reads nothing": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serveTLS(t, ca, cert, nil)
				for range 10 {
					conn := s.dial(attacker)
					hello := tls.Client(writeOnly{conn}, s.client())
					go func() { _ = hello.Handshake() }()
					synctest.Wait()
					leave(conn)
				}
				_, done := s.handshake(attacker)
				for waits := true; waits; {
					select {
					case s.signer.signs <- struct{}{}:
					case err := <-done:
						require.NoError(t, err)
						waits = false
					}
				}
				s.end()
			})
		})
	}
}

// writeOnly is a connection on which nothing is read until it is closed.
type writeOnly struct{ net.Conn }

func (w writeOnly) Read([]byte) (int, error) { return 0, errors.New("not read") }
func (w writeOnly) Close() error             { return nil }

func TestHandshake_RequestsAreServedOutsideOfTheBound(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		s := serveTLS(t, ca, cert, func(http.ResponseWriter, *http.Request) { <-leave })
		var all []*tls.Conn
		for range 2*s.limits.AtOnce() + 1 {
			conn, done := s.handshake(app)
			s.signer.signs <- struct{}{}
			require.NoError(t, <-done)
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			all = append(all, conn)
		}
		synctest.Wait()
		require.Zero(t, s.limits.Computing())
		close(leave)
		for _, conn := range all {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		s.end()
	})
}

func TestHandshake_IsCutWhenItIsTooLong(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	chain := ca.Issue(t, ldaptest.CertConfig{Client: true}).TLS
	leaf := chain.Certificate[0]
	for name, shown := range map[string]int{"16 KiB": 16 << 10, "60 KiB": 60 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serveTLS(t, ca, cert, func(http.ResponseWriter, *http.Request) {})
				cfg, many := s.client(), chain
				many.Certificate = nil
				for range shown / len(leaf) {
					many.Certificate = append(many.Certificate, leaf)
				}
				cfg.Certificates = []tls.Certificate{many}
				conn := tls.Client(s.dial(attacker), cfg)
				asked := make(chan error)
				go func() {
					_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
					asked <- err
				}()
				s.signer.signs <- struct{}{}
				_, err := bufio.NewReader(conn).ReadString('\n')
				if shown > 48<<10 {
					require.Error(t, err)
					<-asked
				} else {
					require.NoError(t, err)
					require.NoError(t, <-asked)
				}
				s.end()
			})
		})
	}
}

func TestHandshake_BoundOnBytesEndsWithIt(t *testing.T) {
	t.Parallel()
	ca, cert := newCertificate(t)
	synctest.Test(t, func(t *testing.T) {
		s := serveTLS(t, ca, cert, func(http.ResponseWriter, *http.Request) {})
		conn, done := s.handshake(app)
		s.signer.signs <- struct{}{}
		require.NoError(t, <-done)
		in := bufio.NewReader(conn)
		for range 4000 {
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
		}
		s.end()
	})
}
