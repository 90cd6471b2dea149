package app

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// limited are the limits of the throttle with its counts at a server. Attempts that are undecided
// for half of the wait no longer count in full, so it is longer than a busy machine may take.
func limited(s *redistest.Server) []string {
	return []string{
		"AUTH_THROTTLE_FAILURES=10", "AUTH_THROTTLE_ACCOUNT_FAILURES=100", "AUTH_THROTTLE_WINDOW=1h", "AUTH_TIMEOUT=30s", "LDAP_POOL_MAX_WAIT=15s",
		"AUTH_THROTTLE_REDIS_URL=redis://:" + redisPassword + "@" + s.Addr,
	}
}

const redisPassword = "Redis-xyzzy-77"

// startShared starts services that share a throttle, and waits until they do.
func startShared(t *testing.T, n int, directory string, s *redistest.Server) []*running {
	t.Helper()
	all := make([]*running, n)
	for i := range all {
		all[i] = startWith(t, directory, Options{SharedPatience: 10 * time.Second}, limited(s)...)
		all[i].ready(t)
	}
	for _, r := range all {
		ldaptest.Eventually(t, "the throttle is shared", func() bool { return r.shows(t, "/healthz", `"state":"up"`) })
	}
	return all
}

// shows reports whether the answer of the admin listener has a text.
func (r *running) shows(t *testing.T, path, text string) bool {
	t.Helper()
	_, body := r.get(t, r.admin+path)
	require.NotContains(t, body, redisPassword)
	return strings.Contains(body, text)
}

func startRedis(t *testing.T) *redistest.Server {
	t.Helper()
	s := redistest.Start(t)
	s.Run("ACL", "SETUSER", "default", ">"+redisPassword)
	s.Password(redisPassword)
	return s
}

// TestSharedThrottle_ThousandWrongPasswordsOverThreeServicesMeetTheLimit: the directory gets
// exactly the budget of one service, and logins of others succeed.
func TestSharedThrottle_ThousandWrongPasswordsOverThreeServicesMeetTheLimit(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 5})
	all := startShared(t, 3, slapd.URL(), startRedis(t))
	var left, refused, others atomic.Int64
	left.Store(1000)
	var callers sync.WaitGroup
	for caller := range 64 {
		callers.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				r := all[(int(n)+caller)%len(all)]
				if n%50 == 0 {
					status, body := r.login(t, ldaptest.Username(1+int(n)%4), ldaptest.Password(1+int(n)%4))
					assert.Equal(t, 200, status, body)
					others.Add(1)
				}
				if status, _ := r.login(t, ldaptest.Username(0), "mistaken"); status == http.StatusTooManyRequests {
					refused.Add(1)
				}
			}
		})
	}
	callers.Wait()
	binds := slapd.LogCount(`BIND dn="` + ldaptest.UserDN(0) + `" method=128`)
	t.Logf("%d binds as the user, %d attempts refused, %d logins of others", binds, refused.Load(), others.Load())
	require.Equal(t, 10, binds)
	require.EqualValues(t, 990, refused.Load())
	require.EqualValues(t, 20, others.Load())
}

func TestSharedThrottle_IsShownAndServesLoginsWithoutItsServer(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	r := startShared(t, 1, ldaptest.NewServer(t, nil).URL(), s)[0]
	require.True(t, r.shows(t, "/metrics", "\nauthsvc_throttle_shared_up 1\n"))
	require.True(t, r.shows(t, "/api/status", `"state":"up"`))
	require.True(t, r.shows(t, "/", "throttle: shared at redis "+s.Addr+" (up"))
	require.Contains(t, r.log.String(), `"shared_throttle":"redis `+s.Addr+`"`)
	s.Kill()
	ldaptest.Eventually(t, "the server is away", func() bool { return r.shows(t, "/metrics", "\nauthsvc_throttle_shared_up 0\n") })
	require.True(t, r.shows(t, "/healthz", `"status":"ok"`))
	require.True(t, r.shows(t, "/healthz", `"state":"down"`))
	status, body := r.get(t, r.url+"/healthz")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, body, "shared", "the main listener says nothing of it")
	status, _ = r.get(t, r.admin+"/readyz")
	require.Equal(t, http.StatusOK, status)
	status, body = r.login(t, ldaptest.Username(1), ldaptest.Password(1))
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, r.log.String(), `"msg":"shared throttle down"`)
	require.NotContains(t, r.log.String(), redisPassword)
}

// reset posts to the admin listener.
func (r *running) reset(t *testing.T, query string) (status int, body string) {
	t.Helper()
	resp, err := r.client.Post(r.admin+"/api/throttle/reset"+query, "", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// TestReset_FreesAnAccountHereAndWhereItIsShared: by any name of the account.
func TestReset_FreesAnAccountHereAndWhereItIsShared(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 2})
	s := startRedis(t)
	all := startShared(t, 2, slapd.URL(), s)
	name, password := ldaptest.Username(0), ldaptest.Password(0)
	exhaust := func() {
		ldaptest.Eventually(t, "the account is exhausted everywhere", func() bool {
			for _, r := range all {
				if status, _ := r.login(t, name, "mistaken"); status != http.StatusTooManyRequests {
					return false
				}
			}
			return true
		})
	}
	exhaust()
	status, body := all[0].reset(t, "?username="+strings.ToUpper(name))
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"accounts":1}`, body)
	status, body = all[0].login(t, name, password)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, all[0].log.String(), `"msg":"throttle reset","username":"`+strings.ToUpper(name)+`","dn":"`+ldaptest.UserDN(0)+`","accounts":1,"client":"127.0.0.1:`)
	status, body = all[0].reset(t, "?username="+name)
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"accounts":0}`, body)
	status, body = all[1].reset(t, "?username="+name) // for what it has counted itself
	require.Equal(t, http.StatusOK, status, body)
	status, body = all[1].login(t, name, password)
	require.Equal(t, http.StatusOK, status, body)

	for _, query := range []string{"", "?user=x", "?username=", "?username=a&username=b", "?username=a&x=1", "?username=%zz", "?username=%00"} {
		status, body = all[0].reset(t, query)
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", query, body)
	}
	status, _ = all[0].get(t, all[0].admin+"/api/throttle/reset?username="+name)
	require.Equal(t, http.StatusMethodNotAllowed, status)

	s.Kill()
	status, body = all[0].reset(t, "?username="+name)
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.Contains(t, body, "freed in this instance, but not in the shared throttle")
}

// TestReset_FreesNamesWithoutAnEntryAndNeedsAThrottle: and changes nothing while the directory does
// not say whose a name is.
func TestReset_FreesNamesWithoutAnEntryAndNeedsAThrottle(t *testing.T) {
	t.Parallel()
	directory := ldaptest.NewServer(t, nil)
	r := start(t, directory.URL(), "AUTH_THROTTLE_FAILURES=2", "AUTH_TIMEOUT=1s")
	r.ready(t)
	for range 2 {
		status, _ := r.login(t, "nobody", "mistaken")
		require.Equal(t, http.StatusUnauthorized, status)
	}
	status, _ := r.login(t, "nobody", "mistaken")
	require.Equal(t, http.StatusTooManyRequests, status)
	status, body := r.reset(t, "?username=Nobody")
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"accounts":1}`, body)
	status, _ = r.login(t, "nobody", "mistaken")
	require.Equal(t, http.StatusUnauthorized, status)
	directory.StopListening()
	directory.ResetAll()
	status, body = r.reset(t, "?username=nobody")
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.Contains(t, body, "nothing is freed")

	off := start(t, ldaptest.NewServer(t, nil).URL())
	status, _ = off.reset(t, "?username=nobody")
	require.Equal(t, http.StatusNotFound, status)
}
