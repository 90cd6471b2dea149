package auth_test

import (
	"context"
	"errors"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestAPasswordThatTheDirectoryRepeatsIsWithheld: what it says of it counts all the same.
func TestAPasswordThatTheDirectoryRepeatsIsWithheld(t *testing.T) {
	t.Parallel()
	const mark = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data "
	for name, c := range map[string]struct {
		preset     auth.Preset
		code       uint16
		diagnostic string
		password   string
		want       auth.Outcome
	}{
		"beside a refused password": {auth.OpenLDAP, ldap.LDAPResultInvalidCredentials, "no: hunter2!", "hunter2", auth.InvalidPassword},
		"in a fault":                {auth.OpenLDAP, ldap.LDAPResultBusy, "cannot check hunter2", "hunter2", auth.DirectoryUnavailable},
		"as the sub-code":           {auth.AD, ldap.LDAPResultInvalidCredentials, mark + "533, v3839", "533", auth.AccountDisabled},
		"as the whole":              {auth.DS389, ldap.LDAPResultUnwillingToPerform, "Account inactivated.", "Account inactivated.", auth.AccountDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) bool {
				if isLogin(req) {
					conn.ReplyBind(req, c.code, c.diagnostic)
				}
				return isLogin(req)
			})
			cfg := byFilter()
			cfg.Preset = c.preset
			r := authenticate(t, cfg, newPool(t, s.URL()), "user0", c.password)
			requireOutcome(t, c.want, r)
			require.ErrorContains(t, r.Cause, "[withheld]")
			code, ok := r.ResultCode()
			require.True(t, ok)
			require.Equal(t, c.code, code)
		})
	}
	t.Run("in what the pool has to say of an answer", func(t *testing.T) {
		t.Parallel()
		s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
		d := &counting{Directory: newPool(t, s.URL()), bind: func() (*ldappool.BindResult, error) {
			return nil, &ldappool.OpError{Op: "bind", Server: s.URL(), Kind: ldappool.ErrTimeout, Err: errors.Join(context.DeadlineExceeded, errors.New("unreadable: hunter2"))}
		}}
		r := authenticate(t, byFilter(), d, "user0", "hunter2")
		requireOutcome(t, auth.DirectoryTimeout, r)
		require.ErrorIs(t, r.Cause, ldappool.ErrTimeout)
		require.Equal(t, s.URL(), r.Server)
	})
}
