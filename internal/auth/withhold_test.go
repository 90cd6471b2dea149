package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// TestPassword_RepeatedByTheDirectoryIsWithheld: what it says of it counts all the same.
func TestPassword_RepeatedByTheDirectoryIsWithheld(t *testing.T) {
	t.Parallel()
	const mark = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data "
	for name, c := range map[string]struct {
		preset     *dialect.Dialect
		code       uint16
		diagnostic string
		password   string
		want       auth.Outcome
	}{
		"beside a refused password": {named("openldap"), ldap.LDAPResultInvalidCredentials, "no: hunter2!", "hunter2", auth.InvalidPassword},
		"in a fault":                {named("openldap"), ldap.LDAPResultBusy, "cannot check hunter2", "hunter2", auth.DirectoryUnavailable},
		"quoted, in another case":   {named("openldap"), ldap.LDAPResultInvalidCredentials, `no: "HUNTER2"`, "hunter2", auth.InvalidPassword},
		"in base64":                 {named("openldap"), ldap.LDAPResultInvalidCredentials, "no: aHVudGVyMg==", "hunter2", auth.InvalidPassword},
		"in base64 behind a colon":  {named("389ds"), ldap.LDAPResultBusy, "cannot check Omh1bnRlcjI", "hunter2", auth.DirectoryUnavailable},
		"for a URL":                 {named("openldap"), ldap.LDAPResultInvalidCredentials, "no: p=h%75nter2", "hunter2", auth.InvalidPassword},
		"shortened":                 {named("openldap"), ldap.LDAPResultInvalidCredentials, "no: hun****", "hunter2", auth.InvalidPassword},
		"beside known words":        {named("389ds"), ldap.LDAPResultUnwillingToPerform, "Account inactivated. (hunter2)", "hunter2", auth.AccountDisabled},
		"in AD's comment": {named("ad"), ldap.LDAPResultInvalidCredentials,
			"80090308: LdapErr: DSID-0C090446, comment: hunter, AcceptSecurityContext error, data 533, v3839", "hunter2", auth.AccountDisabled},
		"too long to be looked through": {named("openldap"), ldap.LDAPResultInvalidCredentials, strings.Repeat("no ", 1000), "hunter2", auth.InvalidPassword},
		"a password too short to find":  {named("openldap"), ldap.LDAPResultInvalidCredentials, "said so", "p4", auth.InvalidPassword},
		"as the sub-code":               {named("ad"), ldap.LDAPResultInvalidCredentials, mark + "533, v3839", "533", auth.AccountDisabled},
		"as the whole":                  {named("389ds"), ldap.LDAPResultUnwillingToPerform, "Account inactivated.", "Account inactivated.", auth.AccountDisabled},
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
			cfg.Dialect = c.preset
			r := authenticate(t, cfg, newPool(t, s.URL()), "user0", c.password)
			requireOutcome(t, c.want, r)
			require.ErrorContains(t, r.Cause, "[withheld]")
			code, ok := r.ResultCode()
			require.True(t, ok)
			require.Equal(t, c.code, code)
		})
	}
	t.Run("in the answer to a search after the bind", func(t *testing.T) {
		t.Parallel()
		s, _ := newServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) bool {
			isGroups := req.Op == ldaptest.OpSearch && strings.Contains(req.Filter, "member")
			if isGroups {
				conn.WriteRaw(ldaptest.SearchDone(req.MessageID, ldap.LDAPResultOther, "state of PASSWORD0 lost"))
			}
			return isGroups
		})
		cfg := byFilter()
		cfg.Groups = auth.GroupConfig{Enabled: true, BaseDNs: []string{ldaptest.BaseDN}, Filter: "(member={dn})", NameAttribute: "cn"}
		r := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.DirectoryUnavailable, r)
		require.ErrorContains(t, r.Cause, "[withheld]")
	})
	t.Run("what directories are known to say is shown", func(t *testing.T) {
		t.Parallel()
		for preset, words := range map[*dialect.Dialect]string{
			named("ad"):    "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data 775, v3839",
			named("389ds"): "Exceed password retry limit. Please try later.",
		} {
			s, _ := newServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) bool {
				if isLogin(req) {
					conn.ReplyBind(req, map[*dialect.Dialect]uint16{named("ad"): 49, named("389ds"): 19}[preset], words)
				}
				return isLogin(req)
			})
			cfg := byFilter()
			cfg.Dialect = preset
			r := authenticate(t, cfg, newPool(t, s.URL()), "user0", "password0")
			requireOutcome(t, auth.AccountLocked, r)
			require.ErrorContains(t, r.Cause, words)
		}
	})
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
