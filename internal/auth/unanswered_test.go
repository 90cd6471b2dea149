package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// shortDeadline gives up a bind after timeout, each on a connection of its own. Unlike the pool it
// never stops asking a directory that does not answer.
type shortDeadline struct {
	auth.Directory
	url     string
	timeout time.Duration
}

func (d *shortDeadline) Bind(_ context.Context, dn, password string, _ ...ldappool.Control) (*ldappool.BindResult, error) {
	c, err := ldap.DialURL(d.url)
	if err != nil {
		return nil, ldappool.ErrUnavailable
	}
	defer c.Close()
	c.SetTimeout(d.timeout)
	began := time.Now()
	switch err = c.Bind(dn, password); {
	case time.Since(began) >= d.timeout:
		return nil, &ldappool.OpError{Op: "bind", Kind: ldappool.ErrTimeout, Err: err}
	case err == nil:
		return &ldappool.BindResult{}, nil
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials):
		return &ldappool.BindResult{Result: ldappool.Result{Code: ldap.LDAPResultInvalidCredentials}}, nil
	}
	return nil, &ldappool.OpError{Op: "bind", Kind: ldappool.ErrConnLost, Err: err}
}

// failuresCounted is how many failures of a user slapd's ppolicy overlay has counted.
func failuresCounted(t *testing.T, s *ldaptest.Slapd, dn string) int {
	t.Helper()
	c, err := ldap.DialURL(s.URL())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Bind(ldaptest.RootDN, ldaptest.RootPassword))
	r, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)",
		[]string{"pwdFailureTime"}, nil))
	require.NoError(t, err)
	return len(r.Entries[0].GetAttributeValues("pwdFailureTime"))
}

// TestThrottle_UnansweredBindsStayWithinTheLimits: slapd counts a wrong password whose bind was
// given up and its connection closed. So as many binds as the limit leave at once, and one at a
// time from then on; and none of them counts against the user, who is let in as soon as the
// directory answers.
func TestThrottle_UnansweredBindsStayWithinTheLimits(t *testing.T) {
	t.Parallel()
	const limit, flood, timeout, wait = 3, 60, 400 * time.Millisecond, 500 * time.Millisecond
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 2, ExtraGlobal: "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\n",
		LDIF:          strings.ReplaceAll(slapdPolicies, "pwdMaxFailure: 3", "pwdMaxFailure: 1000"),
	})
	px := ldaptest.NewProxy(t, s.Addr())
	m, err := throttle.New(throttle.Config{Failures: limit, AccountFailures: 2 * limit, Window: time.Hour, MaxWait: wait})
	require.NoError(t, err)
	cfg := byFilter()
	cfg.Throttle, cfg.ThrottleWait = m, wait
	d := &shortDeadline{newPool(t, s.URL()), px.URL(), timeout}
	a, _ := newAuthenticator(t, cfg, d)

	px.SetFaults(ldaptest.Faults{Delay: 250 * time.Millisecond}) // of the request, and of the answer
	began := time.Now()
	var all sync.WaitGroup
	for i := range flood {
		all.Go(func() {
			r := from(a, "192.0.2.1", "user0", fmt.Sprint("wrong", i))
			if r.Outcome != auth.TooManyAttempts && r.Outcome != auth.DirectoryTimeout {
				t.Errorf("a slow directory gave %v", r.Outcome)
			}
		})
	}
	all.Wait()
	most := limit + 1 + int(time.Since(began)/timeout) // one after the other, each after the timeout of the one before it
	counted := 0
	ldaptest.Eventually(t, "slapd counts what nobody waited for", func() bool {
		counted = failuresCounted(t, s, ldaptest.UserDN(0))
		return counted >= limit
	})
	t.Logf("%d tries at once: slapd saw %d binds, and counted %d failures", flood, binds(s, ldaptest.UserDN(0)), counted)
	require.LessOrEqual(t, binds(s, ldaptest.UserDN(0)), most)

	px.SetFaults(ldaptest.Faults{})
	d.timeout = patience
	requireOutcome(t, auth.OK, from(a, "192.0.2.1", "user0", "password0"))
}
