package ldapconn

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestSlapd_IsReachedInEveryWay(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 300, TLS: true})
	template, err := CompileTemplate("(&(objectClass=person)(uid={username}))")
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		url      string
		startTLS bool
	}{
		"ldap":     {slapd.URL(), false},
		"ldaps":    {slapd.TLSURL(), false},
		"StartTLS": {strings.Replace(slapd.URL(), "127.0.0.1", "localhost", 1), true},
		"ldapi":    {slapd.LDAPIURL(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Dial(soon(t), endpointOf(t, tt.url, tt.startTLS), Options{TLS: slapd.TLSConfig()})
			require.NoError(t, err)
			defer c.Close()

			r, err := c.Bind(soon(t), time.Time{}, ldaptest.ServiceDN, ldaptest.ServicePassword)
			require.NoError(t, err)
			require.Equal(t, &Result{}, r)
			req := ldap.NewSearchRequest(ldaptest.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "(uid=user7)", []string{"uid", "mail"}, nil)
			byText, err := c.Search(soon(t), time.Time{}, req, Filter{})
			require.NoError(t, err)
			require.Len(t, byText.Entries, 1)
			require.Equal(t, ldaptest.UserDN(7), byText.Entries[0].DN)
			require.Equal(t, []string{"user7"}, byText.Entries[0].GetAttributeValues("uid"))
			compiled, err := c.Search(soon(t), time.Time{}, req, template.Fill("user7"))
			require.NoError(t, err)
			require.Equal(t, byText, compiled)

			all := ldap.NewSearchRequest(ldaptest.PeopleDN, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil)
			many, err := c.Search(soon(t), time.Time{}, all, Filter{})
			require.NoError(t, err)
			require.Len(t, many.Entries, 300)
			req.SizeLimit, req.Filter = 2, "(uid=user1*)"
			limited, err := c.Search(soon(t), time.Time{}, req, Filter{})
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultSizeLimitExceeded, limited.Code)
			require.Len(t, limited.Entries, 2)
			req.BaseDN = "ou=nowhere," + ldaptest.BaseDN
			none, err := c.Search(soon(t), time.Time{}, req, Filter{})
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultNoSuchObject, none.Code)
			require.Equal(t, ldaptest.BaseDN, none.MatchedDN)
			paged := *all
			paged.Controls = []ldap.Control{ldap.NewControlPaging(10)}
			page, err := c.Search(soon(t), time.Time{}, &paged, Filter{})
			require.NoError(t, err)
			require.Len(t, page.Entries, 10)
			require.Len(t, page.Controls, 1)
			require.Equal(t, ldap.ControlTypePaging, page.Controls[0].OID)
			require.NotEmpty(t, page.Controls[0].Value)

			r, err = c.Bind(soon(t), time.Time{}, ldaptest.UserDN(7), "wrong", Control{OID: ldap.ControlTypeBeheraPasswordPolicy})
			require.NoError(t, err)
			require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
			r, err = c.Bind(soon(t), time.Time{}, ldaptest.UserDN(7), ldaptest.Password(7))
			require.NoError(t, err)
			require.Zero(t, r.Code)
			require.NoError(t, c.Err())
		})
	}
}

func TestSlapd_ItsEndIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*ldaptest.Slapd){"killed": (*ldaptest.Slapd).Kill, "stopped": (*ldaptest.Slapd).Stop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{TLS: true})
			var conns []*Conn
			for _, url := range []string{slapd.URL(), slapd.TLSURL(), slapd.LDAPIURL()} {
				c, err := Dial(soon(t), endpointOf(t, url, false), Options{TLS: slapd.TLSConfig()})
				require.NoError(t, err)
				defer c.Close()
				require.NoError(t, c.Err())
				conns = append(conns, c)
			}
			stop(slapd)
			for i, c := range conns {
				select {
				case <-c.Done():
				case <-time.After(10 * time.Second):
					require.FailNow(t, fmt.Sprint("not seen on connection ", i))
				}
				var end *EndError
				require.ErrorAs(t, c.Err(), &end)
				require.Contains(t, []Reason{PeerClosed, Notice}, end.Reason)
				require.True(t, end.Idle)
			}
		})
	}
}

func TestSlapd_ASilentServerCostsNoMoreThanTheDeadline(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{TLS: true})
	for _, url := range []string{slapd.URL(), slapd.TLSURL()} {
		c, err := Dial(soon(t), endpointOf(t, url, false), Options{TLS: slapd.TLSConfig()})
		require.NoError(t, err)
		slapd.Pause()
		began := time.Now()
		_, err = c.Search(context.Background(), began.Add(100*time.Millisecond), rootDSE(), Filter{})
		var f *Fault
		require.ErrorAs(t, err, &f)
		require.Equal(t, Timeout, f.End.Reason)
		require.True(t, f.Sent)
		require.False(t, f.Answered)
		require.Less(t, time.Since(began), 10*time.Second)
		slapd.Resume()
		c.Close()
	}
}
