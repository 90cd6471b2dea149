package bench

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// stranger is a service that asks callers for a key or a certificate, and one who has neither.
type stranger struct {
	b       *testing.B
	service *child
	tls     *tls.Config
}

// newStranger starts a service, with TLS or without.
func newStranger(b *testing.B, directory string, https bool) *stranger {
	b.Helper()
	ca, callers := ldaptest.NewCA(b), ldaptest.NewCA(b)
	cert := ca.Issue(b, ldaptest.CertConfig{})
	keys := filepath.Join(b.TempDir(), "keys")
	require.NoError(b, os.WriteFile(keys, fmt.Appendf(nil, "shop %x\n", sha256.Sum256([]byte("shop-key"))), 0o600))
	environ := []string{"AUTH_API_KEYS_FILE=" + keys}
	if https {
		environ = append(environ, "HTTP_TLS_CERT_FILE="+cert.CertFile, "HTTP_TLS_KEY_FILE="+cert.KeyFile, "HTTP_TLS_CLIENT_CA_FILE="+callers.File())
	}
	return &stranger{b: b, service: startService(b, directory, environ...), tls: ca.ClientTLS("localhost")}
}

// shows returns a TLS configuration with a chain of certificates, none of which signed another, for
// all that their names say.
func (s *stranger) shows(intermediates int, curve elliptic.Curve) *tls.Config {
	s.b.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(s.b, err)
	other, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(s.b, err)
	issuer := &x509.Certificate{Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true}
	certificate := func(number int, subject pkix.Name, signer *ecdsa.PrivateKey) []byte {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(number)), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: number > 0, BasicConstraintsValid: true, DNSNames: []string{fmt.Sprintf("n%d.example.org", number)},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
		require.NoError(s.b, err)
		return der
	}
	cfg, chain := s.tls.Clone(), tls.Certificate{PrivateKey: key}
	chain.Certificate = append(chain.Certificate, certificate(0, pkix.Name{CommonName: "a stranger"}, other))
	for i := range intermediates {
		chain.Certificate = append(chain.Certificate, certificate(i+1, issuer.Subject, key))
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &chain, nil }
	return cfg
}

const (
	emptyPost = "POST /auth HTTP/1.1\r\nHost: x\r\n\r\n"
	keyedPost = "POST /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer shop-key\r\nContent-Type: application/json\r\nContent-Length: "
)

// way is one way to be refused.
type way struct {
	name    string
	https   bool
	chain   func(s *stranger) *tls.Config // nil: no certificate is shown
	request string
	repeat  int // requests sent on one connection before the answers are read
}

// ways are those to be refused that a stranger has.
func ways() []way {
	chain := func(n int, curve elliptic.Curve) func(*stranger) *tls.Config {
		return func(s *stranger) *tls.Config { return s.shows(n, curve) }
	}
	return []way{
		{name: "http/no key", request: emptyPost, repeat: 1},
		{name: "http/wrong key", request: "POST /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n", repeat: 1},
		{name: "http/no key, in a pipeline", request: emptyPost, repeat: 200},
		{name: "http/bad JSON with a key", request: keyedPost + "1\r\n\r\n{", repeat: 200},
		{name: "http/too large with a key", request: keyedPost + "16385\r\n\r\n", repeat: 1},
		{name: "http/404", request: "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", repeat: 200},
		{name: "http/405", request: "GET /auth HTTP/1.1\r\nHost: x\r\n\r\n", repeat: 200},
		{name: "http/wrong content type with a key", request: strings.Replace(keyedPost, "json", "xml", 1) + "0\r\n\r\n", repeat: 200},
		{name: "http/6,000 headers", request: "GET /nowhere HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\n", 5_300) + "\r\n", repeat: 20},
		{name: "http/headers too long", request: "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 32<<10), repeat: 1},
		{name: "http/HTTP2 preface", request: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", repeat: 1},
		{name: "http/garbage", request: "\x16\x03\x01\r\n\r\n", repeat: 1},
		{name: "http/GET livez, which is open", request: "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", repeat: 200},
		{name: "https/plain HTTP", https: true, request: emptyPost, repeat: 1},
		{name: "https/garbage", https: true, request: "\x16\x03\x01\x00\x04garb", repeat: 1},
		{name: "https/no certificate", https: true, chain: func(s *stranger) *tls.Config { return s.tls }, request: emptyPost, repeat: 200},
		{name: "https/1 certificate P-256", https: true, chain: chain(0, elliptic.P256()), request: emptyPost, repeat: 200},
		{name: "https/6 certificates P-256", https: true, chain: chain(5, elliptic.P256()), request: emptyPost, repeat: 200},
		{name: "https/6 certificates P-521", https: true, chain: chain(5, elliptic.P521()), request: emptyPost, repeat: 200},
		{name: "https/121 certificates P-256", https: true, chain: chain(120, elliptic.P256()), request: emptyPost, repeat: 20},
		{name: "https/301 certificates P-256", https: true, chain: chain(300, elliptic.P256()), request: emptyPost, repeat: 20},
	}
}

// BenchmarkStranger measures what a stranger's request costs the service, by each way in which it
// is refused: processor time and log for each request sent, and for each answered or cut
// connection.
func BenchmarkStranger(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: 1})
	services := map[bool]*stranger{false: newStranger(b, slapd.URL(), false), true: newStranger(b, slapd.URL(), true)}
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			s := services[w.https]
			var cfg *tls.Config
			if w.chain != nil {
				cfg = w.chain(s)
			}
			before, logged, conns, answers := s.service.cpu(b), s.service.logged(b), 0, 0
			for began := time.Now(); b.Loop() && time.Since(began) < 20*time.Second; conns++ {
				answers += s.send(cfg, strings.Repeat(w.request, w.repeat))
			}
			used := float64((s.service.cpu(b) - before).Microseconds())
			b.ReportMetric(used/float64(conns), "cpu-µs/conn")
			b.ReportMetric(used/float64(max(answers, 1)), "cpu-µs/answer")
			b.ReportMetric(float64(answers)/float64(conns), "answers/conn")
			b.ReportMetric(float64(s.service.logged(b)-logged)/float64(conns), "log-B/conn")
		})
	}
}

// send sends raw bytes on a connection of its own, and counts the answers until the service ends
// it.
func (s *stranger) send(cfg *tls.Config, raw string) (answers int) {
	conn, err := net.Dial("tcp", s.service.addr)
	if err != nil {
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if cfg != nil {
		conn = tls.Client(conn, cfg)
	}
	go func() {
		_, _ = io.WriteString(conn, raw) // it may be cut before it has read all
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	in := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers
		}
		answers++
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return answers
		}
		_ = res.Body.Close()
	}
}

// BenchmarkHostileConnections measures what a thousand connections cost that want no good, and what
// becomes of logins meanwhile.
func BenchmarkHostileConnections(b *testing.B) {
	const hostile = 1000
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: 10})
	for _, k := range []struct {
		name  string
		https bool
		begin string // on the connection, before it says nothing more
		chain int    // of certificates; -1: no handshake
	}{
		{"http/silent", false, "", -1},
		{"http/half a header", false, "POST /auth HTTP/1.1\r\nX: " + strings.Repeat("x", 15<<10), -1},
		{"http/idle", false, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", -1},
		{"http/half a body", false, keyedPost + "16000\r\n\r\n" + strings.Repeat(" ", 15_000), -1},
		{"http/reads no answer", false, strings.Repeat("GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n", 1000), -1},
		{"https/silent", true, "", -1},
		{"https/half a hello", true, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc" + strings.Repeat("x", 16_000), -1},
		{"https/idle", true, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 0},
		{"https/120 certificates", true, "", 120},
	} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				s := newStranger(b, slapd.URL(), k.https)
				s.login()
				shown := s.tls
				if k.chain > 0 {
					shown = s.shows(k.chain, elliptic.P256())
				}
				memory, before, began := s.service.residentKiB(b), s.service.cpu(b), time.Now()
				for range hostile {
					conn, err := net.Dial("tcp", s.service.addr)
					require.NoError(b, err)
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
					if k.chain >= 0 {
						conn = tls.Client(conn, shown)
					}
					go func() { _, _ = io.WriteString(conn, k.begin) }()
				}
				s.login()
				<-time.After(3 * time.Second) // it works on them meanwhile
				start := time.Now()
				s.login()
				b.ReportMetric(float64(time.Since(start).Microseconds()), "login-µs")
				b.ReportMetric(float64(s.service.residentKiB(b)-memory)/hostile, "KiB/conn")
				b.ReportMetric(float64((s.service.cpu(b)-before).Milliseconds())/time.Since(began).Seconds(), "cpu-ms/s")
			}
		})
	}
}

// login logs in with a key, on a connection of its own.
func (s *stranger) login() {
	s.b.Helper()
	transport := &http.Transport{TLSClientConfig: s.tls}
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if s.tls != nil && s.service.https {
		scheme = "https://"
	}
	req, err := http.NewRequest(http.MethodPost, scheme+s.service.addr+"/auth", strings.NewReader(`{"username":"user1","password":"password1"}`))
	require.NoError(s.b, err)
	req.Header.Set("Authorization", "Bearer shop-key")
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Do(req)
	require.NoError(s.b, err)
	defer resp.Body.Close()
	require.Equal(s.b, http.StatusOK, resp.StatusCode)
}

// BenchmarkIdle measures the processor time of a login while callers have idle connections open.
func BenchmarkIdle(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	for _, idle := range []int{0, 200, 260, 1000} {
		b.Run(fmt.Sprintf("connections=%d", idle), func(b *testing.B) {
			for b.Loop() {
				service := startService(b, slapd.URL())
				for range idle {
					conn, err := net.Dial("tcp", service.addr)
					require.NoError(b, err)
					defer conn.Close()
					_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
					require.NoError(b, err)
					require.NoError(b, readOK(bufio.NewReader(conn)))
				}
				load(b, 16, round, overHTTP(service.addr)) // to begin with
				before := service.cpu(b)
				f := load(b, 16, rounds*round, overHTTP(service.addr))
				logins := f.perSecond * (rounds * round).Seconds()
				b.ReportMetric(float64((service.cpu(b)-before).Microseconds())/logins, "cpu-µs/login")
				b.ReportMetric(f.perSecond, "logins/s")
				b.ReportMetric(service.peakMiB(b), "peak-MiB")
			}
		})
	}
}

// BenchmarkCallers measures the memory of a service with a thousand callers, each of which waits
// for as long as it takes.
func BenchmarkCallers(b *testing.B) {
	slapd := ldaptest.StartSlapd(b, ldaptest.SlapdConfig{Users: users})
	for b.Loop() {
		service := startService(b, slapd.URL(), "LDAP_POOL_MAX_WAIT=1m", "AUTH_TIMEOUT=1m")
		f := load(b, 1000, 5*time.Second, overHTTP(service.addr))
		b.ReportMetric(f.perSecond, "logins/s")
		b.ReportMetric(service.peakMiB(b), "peak-MiB")
	}
}

// clockTick is the unit of a process's times in proc(5), on every Linux of today.
const clockTick = 10 * time.Millisecond

// cpu is the processor time that the process has used (utime and stime, proc(5)).
func (c *child) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid))
	require.NoError(b, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(b, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(b, err)
	return time.Duration(user+system) * clockTick
}

// residentKiB is the memory that the process has resident (VmRSS, proc(5)).
func (c *child) residentKiB(b *testing.B) int {
	b.Helper()
	return c.memoryKiB(b, "VmRSS:")
}

// logged is the size of the process's log.
func (c *child) logged(b *testing.B) int64 {
	b.Helper()
	info, err := os.Stat(c.log)
	require.NoError(b, err)
	return info.Size()
}
