package doctor_test

import (
	"sync/atomic"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// closesAfterErrors answers like a directory, refuses to show strangers the root DSE, and ends a
// connection after a search that failed, as glauth does.
func closesAfterErrors(t *testing.T) *ldaptest.Server {
	t.Helper()
	directory := ldaptest.NewDirectory()
	return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		switch {
		case req.Op == ldaptest.OpSearch && req.DN == "" && c.Identity() == "":
			c.ReplySearch(req, ldap.LDAPResultInsufficientAccessRights)
			c.Close()
		case req.Op == ldaptest.OpSearch && req.DN != "" && !known(directory, req.DN):
			c.ReplySearch(req, ldap.LDAPResultInsufficientAccessRights)
			c.Close()
		case req.Op == ldaptest.OpBind && len(req.Controls) > 0: // which it does not list
			c.Close()
		default:
			directory.Handle(c, req)
		}
	})
}

func known(d *ldaptest.Directory, dn string) bool {
	for _, e := range d.Entries {
		if e.DN == dn {
			return true
		}
	}
	return false
}

// TestHangUp_TheStepsGoOnWithAnotherConnection: what a step before made the server do is no sign of
// its load.
func TestHangUp_TheStepsGoOnWithAnotherConnection(t *testing.T) {
	t.Parallel()
	s := closesAfterErrors(t)
	steps := examine(t, func(o *doctor.Options) {
		o.User, o.Password, o.Pool.OnlyListedControls = ldaptest.Username(1), ldaptest.Password(1), true
		o.Logins.Groups = auth.GroupConfig{}
	}, s.URL())
	for _, step := range steps {
		assert.NotEqual(t, doctor.Failed, step.Mark, "%+v", step)
	}
	assert.Contains(t, find(t, steps, "base DN").Finding, "exists")
	assert.Contains(t, find(t, steps, "user").Finding, "only a wrong password would prevent a login")
	assert.Contains(t, find(t, steps, "password").Finding, "may log in as")
	after := find(t, steps, "after errors")
	assert.Contains(t, after.Finding, "closes the connection")
	assert.Contains(t, after.Details[0], "docs/directories.md")
}

// TestHangUp_FirstStepOfAStrangerSucceeds where logins have no service identity.
func TestHangUp_FirstStepOfAStrangerSucceeds(t *testing.T) {
	t.Parallel()
	steps := examine(t, func(o *doctor.Options) {
		o.Pool.BindOnly, o.Pool.BindDN, o.Pool.BindPassword = true, "", ""
		o.Pool.OnlyListedControls = true
		o.Logins = auth.Config{DNTemplate: "uid={username}," + ldaptest.PeopleDN, Timeout: o.Logins.Timeout}
		o.User, o.Password = ldaptest.Username(1), ldaptest.Password(1)
	}, closesAfterErrors(t).URL())
	assert.Contains(t, find(t, steps, "ldap").Finding, "it answers an anonymous read of its root DSE with Insufficient Access Rights (50) and closes the connection")
	assert.Contains(t, find(t, steps, "password").Finding, "may log in as")
	for _, step := range steps {
		assert.NotEqual(t, doctor.Failed, step.Mark, "%+v", step)
	}
}

// TestHangUp_WhatAlwaysClosesFails after one more try for each step, and no more.
func TestHangUp_WhatAlwaysClosesFails(t *testing.T) {
	t.Parallel()
	var searches atomic.Int64
	directory := ldaptest.NewDirectory()
	s := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op == ldaptest.OpSearch {
			searches.Add(1)
			c.Close()
			return
		}
		directory.Handle(c, req)
	})
	steps := examine(t, func(*doctor.Options) {}, s.URL())
	require.Equal(t, doctor.Failed, find(t, steps, "base DN").Mark)
	assert.LessOrEqual(t, searches.Load(), int64(40))
}

// TestBan_DiffersFromAnAccountThatMayNotBind, by asking as nobody.
func TestBan_DiffersFromAnAccountThatMayNotBind(t *testing.T) {
	t.Parallel()
	for _, banned := range []bool{true, false} {
		directory := ldaptest.NewDirectory()
		s := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
			switch {
			case req.Op == ldaptest.OpBind:
				c.ReplyBind(req, ldap.LDAPResultUnwillingToPerform, "")
			case req.Op == ldaptest.OpSearch && banned:
				c.ReplySearch(req, ldap.LDAPResultUnwillingToPerform)
				c.Close()
			default:
				directory.Handle(c, req)
			}
		})
		steps := examine(t, func(*doctor.Options) {}, s.URL())
		step := find(t, steps, "service bind")
		assert.Equal(t, doctor.Failed, step.Mark)
		if banned {
			assert.Contains(t, step.Finding, "it may have banned this address after users' wrong passwords")
			assert.Contains(t, step.Remedy, "docs/directories.md")
			assert.Contains(t, step.Remedy, "AUTH_THROTTLE_FAILURES")
		} else {
			assert.Contains(t, step.Finding, "is unwilling to perform the bind of")
		}
	}
}

// TestPasswordPolicy_AServerThatClosesOnTheControlIsExplained where the control is always sent.
func TestPasswordPolicy_AServerThatClosesOnTheControlIsExplained(t *testing.T) {
	t.Parallel()
	steps := examine(t, func(o *doctor.Options) {
		o.User, o.Password, o.Pool.OnlyListedControls = ldaptest.Username(1), ldaptest.Password(1), false
	}, closesAfterErrors(t).URL())
	step := find(t, steps, "password")
	assert.Equal(t, doctor.Failed, step.Mark)
	assert.Contains(t, step.Remedy, "LDAP_PASSWORD_POLICY=off")
}
