package app

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// forwarded is an answer to a reverse proxy.
type forwarded struct {
	status int
	header http.Header
}

// ask asks as a reverse proxy does. The answer has no body.
func (r *running) ask(t *testing.T, url, username, password string) forwarded {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	if username != "" {
		req.SetBasicAuth(username, password)
	}
	resp, err := r.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, body)
	return forwarded{resp.StatusCode, resp.Header}
}

// flush posts to the admin listener.
func (r *running) flush(t *testing.T, query string) (status int, body string) {
	t.Helper()
	resp, err := r.client.Post(r.admin+"/api/cache/flush"+query, "", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

func TestForward_ServesReverseProxies(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 3, LDIF: "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n\n"})
	r := start(t, s.URL(), "HTTP_FORWARD_ADDR=127.0.0.1:0", "LDAP_GROUP_BASE_DN="+ldaptest.GroupsDN, "LDAP_ATTRIBUTES=mail",
		"AUTH_BASIC_HEADERS=Remote-User={username},Remote-Groups={groups},Remote-Email={mail}", "AUTH_BASIC_REALM=Example")
	r.ready(t)
	user, password := ldaptest.Username(0), ldaptest.Password(0)

	resp := r.ask(t, r.url+"/auth/basic", "", "")
	require.Equal(t, 401, resp.status)
	require.Equal(t, `Basic realm="Example", charset="UTF-8"`, resp.header.Get("WWW-Authenticate"))
	for _, cache := range []string{"miss", "hit"} {
		resp = r.ask(t, r.url+"/auth/basic?group=staff", user, password)
		require.Equal(t, 200, resp.status)
		require.Equal(t, cache, resp.header.Get("Authsvc-Cache"))
		require.Equal(t, user, resp.header.Get("Remote-User"))
		require.Equal(t, "staff", resp.header.Get("Remote-Groups"))
	}
	require.Equal(t, 200, r.ask(t, r.forward+"/any/path?group=nonsense", user, password).status)
	require.Equal(t, 401, r.ask(t, r.forward+"/livez", "", "").status, "it serves no health check")
	require.Equal(t, 403, r.ask(t, r.url+"/auth/basic?group=staff", ldaptest.Username(1), ldaptest.Password(1)).status)
	require.Equal(t, 401, r.ask(t, r.url+"/auth/basic", user, "wrong").status)

	for _, c := range []struct {
		query  string
		status int
		body   string
	}{
		{"?username=" + strings.ToUpper(user), 200, `{"accounts":1}`}, {"?username=nobody", 200, `{"accounts":0}`},
		{"", 200, `{"accounts":1}`}, {"?user=x", 400, "query"}, {"?username=", 400, "username"},
	} {
		status, body := r.flush(t, c.query)
		require.Equal(t, c.status, status, c.query)
		require.Contains(t, body, c.body, c.query)
	}
	require.Equal(t, "miss", r.ask(t, r.url+"/auth/basic", user, password).header.Get("Authsvc-Cache"))
	status, _ := r.get(t, r.admin+"/api/cache/flush")
	require.Equal(t, 405, status)

	_, metrics := r.get(t, r.admin+"/metrics")
	for _, line := range []string{
		`authsvc_forward_requests_total{cache="hit",result="allowed"} 2`, `authsvc_forward_requests_total{cache="none",result="challenge"} 2`,
		`authsvc_forward_requests_total{cache="stale",result="allowed"} 0`, `authsvc_forward_cache_entries{verdict="accepted"} 1`,
	} {
		require.Contains(t, metrics, line)
	}
	require.Contains(t, r.log.String(), `"required_groups":"staff"`)
	ldaptest.Eventually(t, "the status page shows them", func() bool {
		_, text := r.get(t, r.admin+"/api/status")
		return strings.Contains(text, `{"result":"challenge","total":2,`) && strings.Contains(text, `"cache":{"hits":2,"misses":4,"stale":0,"accepted":1,"rejected":0,"limit":10000}`)
	})
}

func TestForward_StatusSaysThatTheCacheIsOff(t *testing.T) {
	t.Parallel()
	r := start(t, ldaptest.NewServer(t, nil).URL(), "AUTH_BASIC_CACHE_TTL=0")
	r.ready(t)
	for range 2 {
		require.Equal(t, "none", r.ask(t, r.url+"/auth/basic", ldaptest.Username(1), ldaptest.Password(1)).header.Get("Authsvc-Cache"))
	}
	ldaptest.Eventually(t, "the status page shows them", func() bool {
		_, text := r.get(t, r.admin+"/api/status")
		return strings.Contains(text, `{"result":"allowed","total":2,`) && !strings.Contains(text, `"cache":`)
	})
}

func TestForward_SIGHUPForgetsCredentials(t *testing.T) {
	t.Parallel()
	asked := make(chan os.Signal)
	r := startWith(t, ldaptest.NewServer(t, nil).URL(), Options{Reload: asked})
	r.ready(t)
	user, password := ldaptest.Username(1), ldaptest.Password(1)
	for _, cache := range []string{"miss", "hit"} {
		require.Equal(t, cache, r.ask(t, r.url+"/auth/basic", user, password).header.Get("Authsvc-Cache"))
	}
	asked <- os.Interrupt // any signal
	ldaptest.Eventually(t, "the credentials are forgotten", func() bool {
		return r.ask(t, r.url+"/auth/basic", user, password).header.Get("Authsvc-Cache") == "miss"
	})
}

func TestForward_TheDrainEndsItsListenerToo(t *testing.T) {
	t.Parallel()
	r := start(t, ldaptest.NewServer(t, nil).URL(), "HTTP_FORWARD_ADDR=127.0.0.1:0")
	r.ready(t)
	require.Equal(t, 200, r.ask(t, r.forward+"/", ldaptest.Username(1), ldaptest.Password(1)).status)
	require.NoError(t, r.stop())
	_, err := net.Dial("tcp", strings.TrimPrefix(r.forward, "http://"))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
