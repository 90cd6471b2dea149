package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// add adds an entry, and remove removes it, as the root DN.
func add(t *testing.T, url, dn string, attributes map[string][]string) {
	t.Helper()
	change(t, url, func(c *ldap.Conn) error {
		request := ldap.NewAddRequest(dn, nil)
		for name, values := range attributes {
			request.Attribute(name, values)
		}
		return c.Add(request)
	})
}

func remove(t *testing.T, url, dn string) {
	t.Helper()
	change(t, url, func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

func change(t *testing.T, url string, do func(*ldap.Conn) error) {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(ldaptest.RootDN, ldaptest.RootPassword))
	require.NoError(t, do(c))
}

// probes waits until the probes answer with these HTTP statuses.
func (r *running) probes(t *testing.T, ready, healthy int) {
	t.Helper()
	ldaptest.Eventually(t, "the probes answer", func() bool {
		gotReady, _ := r.get(t, r.url+"/readyz")
		gotHealthy, _ := r.get(t, r.url+"/healthz")
		return gotReady == ready && gotHealthy == healthy
	})
}

// TestReadiness_WaitsForWhatEveryLoginNeedsOnce: the service is not ready until the directory has
// once had what the settings name. If that disappears later, only /healthz and the log report it.
func TestReadiness_WaitsForWhatEveryLoginNeedsOnce(t *testing.T) {
	t.Parallel()
	unit := map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"late"}}
	group := map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"late"}, "member": {ldaptest.UserDN(0)}}
	late, lateGroup := "ou=late,"+ldaptest.BaseDN, "cn=late,"+ldaptest.GroupsDN
	groups, none := "LDAP_GROUP_BASE_DN="+ldaptest.GroupsDN, "none of the required groups exists or is visible"
	for name, c := range map[string]struct {
		environ    []string
		dn         string
		attributes map[string][]string
		missing    string
	}{
		"a base of users":          {[]string{"LDAP_BASE_DN=" + late}, late, unit, `LDAP_BASE_DN: \"` + late},
		"the second of two":        {[]string{"LDAP_BASE_DN=" + ldaptest.PeopleDN + ";" + late}, late, unit, `LDAP_BASE_DN: \"` + late},
		"a base of groups":         {[]string{"LDAP_GROUP_BASE_DN=" + late}, late, unit, `LDAP_GROUP_BASE_DN: \"` + late},
		"a required group by name": {[]string{groups, "LDAP_REQUIRED_GROUPS=later;late"}, lateGroup, group, `LDAP_REQUIRED_GROUPS: \"later;late\": ` + none},
		"a required group by DN":   {[]string{groups, "LDAP_REQUIRED_GROUPS=" + lateGroup}, lateGroup, group, none},
		"with a template, its group": {
			[]string{"LDAP_BASE_DN=", "LDAP_USER_DN_TEMPLATE=uid={username}," + ldaptest.PeopleDN, groups, "LDAP_REQUIRED_GROUPS=late"}, lateGroup, group, none,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
			r := start(t, s.URL(), append(c.environ, "LDAP_POOL_HEALTH_CHECK_INTERVAL=100ms")...)
			const lost, again = `"logins cannot succeed"`, `"logins can succeed again"`
			logged := func(message string, n int) {
				t.Helper()
				ldaptest.Eventually(t, message, func() bool { return strings.Count(r.log.String(), message) == n })
			}
			logged(lost, 1)
			r.probes(t, http.StatusServiceUnavailable, http.StatusServiceUnavailable)
			_, told := r.get(t, r.admin+"/healthz")
			require.Contains(t, told, `"missing":"`)
			require.Contains(t, told, c.missing)
			_, told = r.get(t, r.url+"/healthz")
			require.JSONEq(t, `{"status":"unavailable"}`, told)

			add(t, s.URL(), c.dn, c.attributes)
			r.probes(t, http.StatusOK, http.StatusOK)
			logged(again, 1)

			remove(t, s.URL(), c.dn)
			r.probes(t, http.StatusOK, http.StatusServiceUnavailable)
			logged(lost, 2)
		})
	}
}

// TestReadiness_NeedsOneOfTheRequiredGroups: the others may be missing.
func TestReadiness_NeedsOneOfTheRequiredGroups(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1,
		LDIF: "dn: cn=staff," + ldaptest.GroupsDN + "\nobjectClass: groupOfNames\ncn: staff\nmember: " + ldaptest.UserDN(0) + "\n",
	})
	r := start(t, s.URL(), "LDAP_GROUP_BASE_DN="+ldaptest.GroupsDN, "LDAP_REQUIRED_GROUPS=gone;staff",
		"LDAP_GROUP_FILTER=(|(member={dn})(gidNumber={gidNumber}))")
	r.ready(t)
	status, body := r.login(t, ldaptest.Username(0), ldaptest.Password(0))
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `"status":0,`)
	require.NotContains(t, r.log.String(), "logins cannot succeed")
}

// readyPool has let the service in at once.
type readyPool struct{ usable bool }

func (p *readyPool) WaitReady(context.Context) error { return nil }

func (p *readyPool) Stat() *ldappool.Stat { return &ldappool.Stat{Usable: p.usable} }

// TestReadiness_IsNotHeldBackByADirectoryThatDoesNotSay: only an answer that something is missing
// holds it back for ever.
func TestReadiness_IsNotHeldBackByADirectoryThatDoesNotSay(t *testing.T) {
	t.Parallel()
	gone, silent := errors.New("gone"), errors.New("no answer")
	for name, c := range map[string]struct {
		usable bool
		looks  []error // gone, silent or nil; the last one holds on
		ready  time.Duration
		lost   bool
	}{
		"found at once":                        {true, []error{nil}, 0, false},
		"found later":                          {true, []error{silent, silent, nil}, 2 * soon, false},
		"no answer":                            {true, []error{silent}, undecided, false},
		"nobody to ask":                        {false, nil, undecided, false},
		"gone":                                 {true, []error{gone}, time.Hour, true},
		"gone, and then no answer":             {true, []error{gone, silent}, time.Hour, true},
		"gone, and then there":                 {true, []error{gone, silent, nil}, 2 * soon, false},
		"there, and then gone":                 {true, []error{nil, gone}, 0, true},
		"there, then gone, and then no answer": {true, []error{nil, gone, silent}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 0
				r := &readiness{pool: &readyPool{c.usable}, interval: time.Minute, log: slog.New(slog.DiscardHandler)}
				r.missing = func(context.Context) (missing, err error) {
					look := c.looks[min(n, len(c.looks)-1)]
					n++
					if errors.Is(look, gone) {
						return look, nil
					}
					return nil, look
				}
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { r.run(ctx) })
				defer running.Wait()
				defer cancel()
				began := time.Now()
				for time.Since(began) < time.Hour {
					synctest.Wait()
					if found, _ := r.state(); found {
						break
					}
					time.Sleep(soon / 2)
				}
				require.Equal(t, c.ready, time.Since(began))
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				_, problem := r.state()
				require.Equal(t, c.lost, problem != "")
			})
		})
	}
}
