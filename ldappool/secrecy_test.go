package ldappool

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestSecrecy_RepeatedPasswordStaysOutOfServerStates: what it says of a bind goes to that bind's
// caller and nowhere else.
func TestSecrecy_RepeatedPasswordStaysOutOfServerStates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code    uint16
		service bool // it refuses the service identity
		notice  bool // it says so in a notice of disconnection
	}{
		"a notice to a bind":      {ldap.LDAPResultUnavailable, false, true},
		"a service bind refused":  {ldap.LDAPResultInvalidCredentials, true, false},
		"a service bind declined": {ldap.LDAPResultBusy, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := ldaptest.NewDirectory()
			s := ldaptest.NewServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) {
				if req.Op == ldaptest.OpBind && (req.DN == ldaptest.ServiceDN) == c.service {
					if c.notice {
						conn.Notice(c.code, "cannot check "+req.Password)
					} else {
						conn.ReplyBind(req, c.code, "cannot check "+req.Password)
					}
					return
				}
				directory.Handle(conn, req)
			})
			var mu sync.Mutex
			var told []string
			tell := func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					told = append(told, err.Error())
				}
			}
			p, err := New(Config{
				Servers: []string{s.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword,
				Trace: Trace{
					Acquired:      func(_ context.Context, e AcquireEvent) { tell(e.Err) },
					Dialed:        func(e DialEvent) { tell(e.Err) },
					Pinged:        func(e PingEvent) { tell(e.Err) },
					Retired:       func(e RetireEvent) { tell(e.Err) },
					ServerChanged: func(e ServerEvent) { tell(e.Err) },
				},
			})
			require.NoError(t, err)
			for range 3 {
				_, err := p.Bind(soon(t), ldaptest.UserDN(0), "hunter2")
				tell(err)
			}
			tell(p.Stat().Servers[0].LastErr)
			require.NoError(t, p.Close(soon(t)))
			mu.Lock()
			defer mu.Unlock()
			all := strings.Join(told, "\n")
			require.NotContains(t, all, "hunter2")
			require.NotContains(t, all, ldaptest.ServicePassword)
			require.NotEmpty(t, all, fmt.Sprint("there is something to tell of ", name))
		})
	}
}

func TestSecrecy_ServerStateHidesTheTextOfABind(t *testing.T) {
	t.Parallel()
	busy := &Result{Code: ldap.LDAPResultBusy, Diagnostic: "cannot check hunter2"}
	require.EqualError(t, judge("bind", 0, busy, nil).Failed, "bind: Busy (51)")
	require.EqualError(t, judge("search", 0, busy, nil).Failed, "search: Busy (51)", "it may be the password of a bind before")
	require.EqualError(t, judge("search", 0, &Result{Code: ldap.LDAPResultBusy, Diagnostic: "Server is busy"}, nil).Failed, "search: Busy (51): Server is busy")
	require.Equal(t, "cannot check hunter2", busy.Diagnostic, "the bind's caller has it whole")
}
