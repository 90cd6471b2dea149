package auth_test

import (
	"context"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// answering is a directory in memory that finds the same entry for every filter and takes every
// password but one.
type answering struct{ entries map[string][]*ldap.Entry }

const refusedPassword = "refused"

func (a *answering) SearchWithFilter(_ context.Context, req *ldap.SearchRequest, _ ldapconn.Filter) (*ldappool.SearchResult, error) {
	return &ldappool.SearchResult{Entries: a.entries[req.BaseDN]}, nil
}

func (a *answering) Bind(_ context.Context, _, password string, _ ...ldappool.Control) (*ldappool.BindResult, error) {
	r := &ldappool.BindResult{}
	if password == refusedPassword {
		r.Code = ldap.LDAPResultInvalidCredentials
	}
	return r, nil
}

// BenchmarkLogin runs logins without a network: what is left is the work of the login itself.
func BenchmarkLogin(b *testing.B) {
	const people, groups = "ou=people,dc=example,dc=org", "ou=groups,dc=example,dc=org"
	directory := &answering{entries: map[string][]*ldap.Entry{
		people: {ldap.NewEntry("uid=user1,"+people, map[string][]string{"uid": {"user1"}, "mail": {"user1@example.org"}})},
		groups: {ldap.NewEntry("cn=staff,"+groups, map[string][]string{"cn": {"staff"}})},
	}}
	search := auth.Config{BaseDNs: []string{people}, Filter: "(uid={username})", NameAttribute: "uid", Attributes: []string{"mail"}, Timeout: patience}
	inGroup := search
	inGroup.Groups = auth.GroupConfig{Enabled: true, BaseDNs: []string{groups}, Filter: "(member={dn})", NameAttribute: "cn", Required: []string{"staff"}}
	nobody := search
	nobody.BaseDNs = []string{"ou=empty,dc=example,dc=org"}
	for _, c := range []struct {
		name     string
		cfg      auth.Config
		password string
		want     auth.Outcome
	}{
		{"accepted", search, "right", auth.OK},
		{"refused", search, refusedPassword, auth.InvalidPassword},
		{"unknown", nobody, "right", auth.InvalidUser},
		{"group", inGroup, "right", auth.OK},
	} {
		b.Run(c.name, func(b *testing.B) {
			limits, err := throttle.New(throttle.Config{Failures: 1 << 20, AccountFailures: 1 << 20, Window: patience, MaxWait: patience})
			require.NoError(b, err)
			c.cfg.Throttle = limits
			a, err := auth.New(c.cfg, directory, &discarding{})
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				r := a.Authenticate(context.Background(), auth.Credentials{Username: "user1", Password: c.password, Client: "192.0.2.1"})
				if r.Outcome != c.want {
					b.Fatal(r.Outcome, r.Cause)
				}
			}
		})
	}
}

// discarding observes nothing.
type discarding struct{}

func (discarding) LoginDone(context.Context, auth.Credentials, auth.Result) {}
