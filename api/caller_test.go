package api_test

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// keyed makes callers need one of those keys, each of which is its name with "-key" behind it.
func keyed(names ...string) func(*api.Config) {
	return func(c *api.Config) { c.Callers.Keys = keysOf(names...) }
}

func keysOf(names ...string) (keys []api.Key) {
	for _, name := range names {
		keys = append(keys, api.Key{Name: name, SHA256: sha256.Sum256([]byte(name + "-key"))})
	}
	return keys
}

// authorized is a good login with those Authorization headers.
func authorized(headers ...string) *http.Request {
	req := newPost(typeJSON, goodJSON)
	req.Header["Authorization"] = headers
	return req
}

// requireCallerRefused checks that rec is status 15 without a hint, and that nobody was asked but
// the observer told.
func (h *harness) requireCallerRefused(t testing.TB, rec *httptest.ResponseRecorder, cause string) {
	t.Helper()
	require.Equal(t, http.StatusUnauthorized, rec.Code)
	require.Equal(t, []string{`Bearer realm="authsvc"`}, rec.Header().Values("WWW-Authenticate"), "no browser has a dialog for it, and no error code says why")
	require.JSONEq(t, fmt.Sprintf(`{"status":15,"code":"caller_refused","message":"caller refused","request_id":%q}`, rec.Header().Get("X-Request-ID")), rec.Body.String())
	require.Empty(t, h.auth.all(), "the login was tried")
	seen := h.observer.all()
	require.NotEmpty(t, seen)
	last := seen[len(seen)-1]
	require.Equal(t, auth.CallerRefused, last.result.Outcome)
	require.ErrorContains(t, last.result.Cause, cause)
	require.Empty(t, last.creds.Caller)
	require.Empty(t, last.creds.Username, "its body was not read")
	require.Equal(t, "192.0.2.1", last.creds.Client)
}

func TestKey_ValidOneIsServedAndNamed(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer shop-key": "shop", "bearer till-key": "till", "BEARER  shop-key": "shop", "Bearer last-key": "last",
	} {
		h := newHarness(t, keyed("shop", "till", "last"))
		require.Equal(t, http.StatusOK, h.do(t, authorized(header)).Code, header)
		require.Equal(t, auth.Caller{Name: want, By: auth.ByKey}, h.auth.all()[0].Caller)
	}
}

func TestKey_RejectionGivesNoReason(t *testing.T) {
	t.Parallel()
	const none, bearer, unknown = "neither a key nor a certificate", "must be one Bearer key", "not in AUTH_API_KEYS_FILE"
	for name, c := range map[string]struct {
		headers []string
		cause   string
	}{
		"no header":                            {nil, none},
		"an empty header":                      {[]string{""}, bearer},
		"another scheme":                       {[]string{"Basic c2hvcC1rZXk="}, bearer},
		"a key without a scheme":               {[]string{"shop-key"}, bearer},
		"no key":                               {[]string{"Bearer"}, bearer},
		"an empty key":                         {[]string{"Bearer "}, bearer},
		"two headers, the first of which fits": {[]string{"Bearer shop-key", "Bearer x"}, bearer},
		"two headers, both of which fit":       {[]string{"Bearer shop-key", "Bearer shop-key"}, bearer},
		"another key":                          {[]string{"Bearer till-key"}, unknown},
		"a key in other case":                  {[]string{"Bearer SHOP-KEY"}, unknown},
		"a key and more":                       {[]string{"Bearer shop-key x"}, unknown},
		"a key's beginning":                    {[]string{"Bearer shop-ke"}, unknown},
		"a list":                               {[]string{"Bearer shop-key, Bearer shop-key"}, unknown},
		"a key's hash":                         {[]string{fmt.Sprintf("Bearer %x", sha256.Sum256([]byte("shop-key")))}, unknown},
		"a tab for the space":                  {[]string{"Bearer\tshop-key"}, bearer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, keyed("shop"), func(c *api.Config) { c.Always200 = true })
			rec := httptest.NewRecorder()
			h.Handler().ServeHTTP(rec, authorized(c.headers...))
			h.requireCallerRefused(t, rec, c.cause)
			require.Equal(t, "close", rec.Header().Get("Connection"), "its body was not read")
		})
	}
}

func TestKey_OnlyLoginsNeedOne(t *testing.T) {
	t.Parallel()
	h := newHarness(t, keyed("shop"))
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/openapi.yaml"} {
		require.Equal(t, http.StatusOK, h.get(t, http.MethodGet, path).Code, path)
	}
	require.Equal(t, http.StatusMethodNotAllowed, h.get(t, http.MethodGet, "/auth").Code)
	require.Equal(t, http.StatusNotFound, h.get(t, http.MethodPost, "/auth/").Code)
	// A refusal does not depend on the body, which may be any: it is not read.
	for _, body := range []string{"", "{", strings.Repeat(" ", 16385)} {
		h.requireCallerRefused(t, h.post(t, "text/plain", body), "neither")
	}
}

func TestKey_BadRequestIsObservedWithItsCaller(t *testing.T) {
	t.Parallel()
	h := newHarness(t, keyed("shop"))
	req := newPost(typeJSON, "{")
	req.Header.Set("Authorization", "Bearer shop-key")
	h.requireRefused(t, h.do(t, req), 400, "body: must be one JSON object")
	require.Equal(t, "shop", h.observer.all()[0].creds.Caller.Name)
}

func TestKey_NewOnesApplyAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, keyed("shop"))
	h.SetCallers(api.Callers{Keys: keysOf("till")})
	h.requireCallerRefused(t, h.do(t, authorized("Bearer shop-key")), "is not in AUTH_API_KEYS_FILE")
	require.Equal(t, http.StatusOK, h.do(t, authorized("Bearer till-key")).Code)
}

// TestKey_ComparisonTakesTheSameTimeForAll looks for an early end. Of a thousand keys the first,
// the last and one that is none take the same: a comparison that stopped at the first would take
// less than a hundredth of the last's time, while chance makes no difference that the quickest of
// many tries would show.
func TestKey_ComparisonTakesTheSameTimeForAll(t *testing.T) {
	var names []string
	for i := range 1024 {
		names = append(names, fmt.Sprint("caller", i))
	}
	callers := api.Callers{Keys: keysOf(names...)}
	least := map[string]time.Duration{}
	for range 100 {
		for _, key := range []string{names[0] + "-key", names[1023] + "-key", names[0] + "-kex"} {
			req := authorized("Bearer " + key)
			began := time.Now()
			_, _ = callers.Identify(req)
			if took := time.Since(began); least[key] == 0 || took < least[key] {
				least[key] = took
			}
		}
	}
	t.Log(least)
	for _, one := range least {
		for _, other := range least {
			require.Less(t, one, 2*other, "%v", least)
		}
	}
}

// tlsListener serves the main listener over TLS and gives its address and the authority of its
// certificate.
func (h *harness) listenTLS(t *testing.T) (addr string, ca *ldaptest.CA) {
	t.Helper()
	ca = ldaptest.NewCA(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := h.HTTPServer()
	srv.TLSConfig = ca.ServerTLS(t)
	srv.TLSConfig.ClientAuth = tls.RequestClientCert
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return l.Addr().String(), ca
}

// loginOver asks with a client's certificates and an Authorization header, or none.
func loginOver(t *testing.T, c *http.Client, addr, header string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "https://"+addr+"/auth", strings.NewReader(goodJSON))
	require.NoError(t, err)
	req.Header.Set("Content-Type", typeJSON)
	if header != "" {
		req.Header.Set("Authorization", header)
	}
	res, err := c.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body := make([]byte, 4096)
	n, _ := res.Body.Read(body)
	return decodeAnswer(t, body[:n])
}

func clientWith(t *testing.T, ca *ldaptest.CA, certs ...*ldaptest.Cert) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: ca.ClientTLS("localhost", certs...)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestCertificate_ServesAsAKey(t *testing.T) {
	t.Parallel()
	callers, strangers := ldaptest.NewCA(t), ldaptest.NewCA(t)
	day := 24 * time.Hour
	cert := func(ca *ldaptest.CA, c ldaptest.CertConfig) []*ldaptest.Cert { return []*ldaptest.Cert{ca.Issue(t, c)} }
	for name, c := range map[string]struct {
		certs  []*ldaptest.Cert
		header string
		caller auth.Caller // none: refused
		cause  string
	}{
		"a certificate":                      {certs: cert(callers, ldaptest.CertConfig{CommonName: "till 7", Client: true}), caller: auth.Caller{Name: "till 7", By: auth.ByCertificate}},
		"a key":                              {header: "Bearer shop-key", caller: auth.Caller{Name: "shop", By: auth.ByKey}},
		"both":                               {certs: cert(callers, ldaptest.CertConfig{CommonName: "till 7", Client: true}), header: "Bearer shop-key", caller: auth.Caller{Name: "shop", By: auth.ByKey}},
		"a certificate and a wrong key":      {certs: cert(callers, ldaptest.CertConfig{CommonName: "till 7", Client: true}), header: "Bearer x", caller: auth.Caller{Name: "till 7", By: auth.ByCertificate}},
		"a stranger's certificate, a key":    {certs: cert(strangers, ldaptest.CertConfig{Client: true}), header: "Bearer shop-key", caller: auth.Caller{Name: "shop", By: auth.ByKey}},
		"neither":                            {cause: "neither a key nor a certificate"},
		"a stranger's certificate":           {certs: cert(strangers, ldaptest.CertConfig{Client: true}), cause: "unknown authority"},
		"a certificate that is a server's":   {certs: cert(callers, ldaptest.CertConfig{}), cause: "incompatible key usage"},
		"a certificate that has expired":     {certs: cert(callers, ldaptest.CertConfig{Client: true, NotBefore: time.Now().Add(-2 * day), NotAfter: time.Now().Add(-day)}), cause: "expired"},
		"a certificate that is for tomorrow": {certs: cert(callers, ldaptest.CertConfig{Client: true, NotBefore: time.Now().Add(day), NotAfter: time.Now().Add(2 * day)}), cause: "not yet valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, keyed("shop"), func(c *api.Config) { c.Callers.ClientCAs = callers.Pool() })
			addr, ca := h.listenTLS(t)
			client := clientWith(t, ca, c.certs...)
			for range 2 { // the second by what the first left on the connection
				a := loginOver(t, client, addr, c.header)
				if c.caller.Name == "" {
					require.Equal(t, 15, *a.Status)
					seen := h.observer.all()
					require.ErrorContains(t, seen[len(seen)-1].result.Cause, c.cause)
					require.Empty(t, h.auth.all())
					continue
				}
				require.Equal(t, 0, *a.Status)
				asked := h.auth.all()
				require.Equal(t, c.caller, asked[len(asked)-1].Caller)
			}
		})
	}
}

func TestCertificate_RemovedAuthorityAppliesToOpenConnections(t *testing.T) {
	t.Parallel()
	callers, others := ldaptest.NewCA(t), ldaptest.NewCA(t)
	h := newHarness(t, func(c *api.Config) { c.Callers.ClientCAs = callers.Pool() })
	addr, ca := h.listenTLS(t)
	client := clientWith(t, ca, callers.Issue(t, ldaptest.CertConfig{Client: true}))
	require.Equal(t, 0, *loginOver(t, client, addr, "").Status)
	h.SetCallers(api.Callers{ClientCAs: others.Pool()})
	require.Equal(t, 15, *loginOver(t, client, addr, "").Status)
	h.SetCallers(api.Callers{ClientCAs: callers.Pool()})
	require.Equal(t, 0, *loginOver(t, client, addr, "").Status)
}

func TestCertificate_WithoutACommonNameIsNamedByItsOtherNames(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	full := ca.Issue(t, ldaptest.CertConfig{Client: true, Hosts: []string{"till.example.org"}}).TLS.Leaf
	bare := *full
	bare.Subject.CommonName = ""
	require.Equal(t, "till.example.org", api.CertName(&bare))
	bare.DNSNames, bare.EmailAddresses = nil, []string{"till@example.org"}
	require.Equal(t, "till@example.org", api.CertName(&bare))
	bare.EmailAddresses = nil
	require.Equal(t, fmt.Sprintf("serial %x", full.SerialNumber), api.CertName(&bare))
}

func TestHTTP_TLSOffersOnlyHTTP11(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	addr, ca := h.listenTLS(t)
	for _, offered := range [][]string{{"h2", "http/1.1"}, {"http/1.1"}, nil} {
		cfg := ca.ClientTLS("localhost")
		cfg.NextProtos = offered
		conn, err := tls.Dial("tcp", addr, cfg)
		require.NoError(t, err)
		require.NotEqual(t, "h2", conn.ConnectionState().NegotiatedProtocol)
		require.NoError(t, conn.Close())
	}
	cfg := ca.ClientTLS("localhost")
	cfg.NextProtos = []string{"h2"}
	_, err := tls.Dial("tcp", addr, cfg)
	require.ErrorContains(t, err, "no application protocol")
	cfg = ca.ClientTLS("localhost")
	cfg.MaxVersion = tls.VersionTLS11
	cfg.MinVersion = tls.VersionTLS10
	_, err = tls.Dial("tcp", addr, cfg)
	require.ErrorContains(t, err, "protocol version")
}

// TestTimeout_CutsASlowHandshake sends the beginning of a ClientHello and then nothing.
func TestTimeout_CutsASlowHandshake(t *testing.T) {
	t.Parallel()
	for name, hello := range map[string]string{"nothing": "", "half a ClientHello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.SetReadLimits(short, time.Minute, time.Minute)
			addr, _ := h.listenTLS(t)
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(hello))
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1)) // to the end, which only the server makes
			require.Error(t, err)
			require.NotErrorIs(t, err, net.ErrClosed)
		})
	}
}

func BenchmarkCallerByKey(b *testing.B) {
	callers := api.Callers{Keys: keysOf("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")}
	req := authorized("Bearer e-key")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := callers.Identify(req); err != nil {
			b.Fatal(err)
		}
	}
}
