package auth_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// blank are passwords that a reader might take for an empty one: white space, and what SASLprep
// (RFC 4013) maps to nothing.
var blank = []string{" ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u00ad", "\u200b", "\u2060", "\ufeff", "\u3000", "\u00ad\u200b"}

// TestPassword_OfWhiteSpaceIsSentUnchanged uses a directory that accepts a bind without a
// password (RFC 4513 section 5.1.2), as few still do. A login sends it blank passwords unchanged,
// and never an empty one.
func TestPassword_OfWhiteSpaceIsSentUnchanged(t *testing.T) {
	t.Parallel()
	var ldif strings.Builder
	name := func(i int) string { return "blank" + string(rune('a'+i)) }
	for i, password := range blank {
		ldif.WriteString(person(name(i), ldaptest.PeopleDN, attribute("userPassword", password)))
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: ldif.String(), ExtraGlobal: "allow bind_anon_cred bind_anon_dn\n"})
	c, err := ldap.DialURL(s.URL())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.UnauthenticatedBind(ldaptest.UserDN(0)), "this directory does let such in")
	p := newPool(t, s.URL())
	for _, cfg := range []auth.Config{byFilter(), byTemplate()} {
		a, _ := newAuthenticator(t, cfg, p)
		try := func(want auth.Outcome, username, password string) {
			requireOutcome(t, want, a.Authenticate(t.Context(), auth.Credentials{Username: username, Password: password}))
		}
		try(auth.BadRequest, "user0", "")
		for i, password := range blank {
			try(auth.InvalidPassword, "user0", password)
			try(auth.OK, name(i), password)
			try(auth.InvalidPassword, name(i), password+" ")
		}
	}
}

// replying is a directory that answers every search for a user with one entry named dn, and accepts
// every bind of a user. It records with which DN each password came.
func replying(t *testing.T, dn string) (*ldaptest.Server, *passwords) {
	t.Helper()
	return newServer(t, func(c *ldaptest.Conn, req ldaptest.Request) bool {
		switch {
		case isFind(req):
			c.ReplySearch(req, ldap.LDAPResultSuccess, ldaptest.Entry{DN: dn, Attributes: map[string][]string{"uid": {"user0"}}})
		case isLogin(req):
			c.ReplyBind(req, ldap.LDAPResultSuccess, "")
		default:
			return false
		}
		return true
	})
}

// TestLogin_EntryWithABlankDNIsAFault: a directory takes such a name for the empty one, and a
// bind with the empty name is anonymous.
func TestLogin_EntryWithABlankDNIsAFault(t *testing.T) {
	t.Parallel()
	for _, dn := range []string{"", " ", "  ", "\n", "\t ", "\u00a0"} {
		s, seen := replying(t, dn)
		r := authenticate(t, byFilter(), newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.InternalError, r)
		require.Empty(t, seen.all(), "%q", dn)
	}
}

// TestLogin_BindsWithTheDNExactlyAsReceived: parsing a DN and writing it again could change
// it into another DN.
func TestLogin_BindsWithTheDNExactlyAsReceived(t *testing.T) {
	t.Parallel()
	for _, dn := range []string{
		`uid=\75ser0,ou=people,dc=example,dc=org`, `UID = user0 , OU=People , dc=example,dc=org`, `2.5.4.3=user0,dc=org`, `OID.2.5.4.3=user0,dc=org`,
		`cn=#0405757365723 0,dc=org`, `cn=#04057573657230`, `cn="a, b",dc=org`, `cn=a\, b,dc=org`, `cn=a\2Cb`, `cn=a\0Ab`, `cn=\20`, `cn=\ a\ `, `cn=a\\`, `cn=a\`, `cn=a+sn=b,dc=org`,
		`cn=a;dc=org`, `cn=`, `=`, `cn=a,,dc=org`, `CN=user0\0ADEL:4f0c,CN=Deleted Objects,DC=org`, "cn=a\nb", "cn=a\x00b", "cn=\xff\xfe", "cn=ä,dc=org", `cn=\C3\A4`, `cn={username}`, "<GUID=4f0c>",
	} {
		s, seen := replying(t, dn)
		r := authenticate(t, byFilter(), newPool(t, s.URL()), "user0", "password0")
		requireOutcome(t, auth.OK, r)
		require.Equal(t, []string{dn + " password0"}, seen.all())
		require.Equal(t, dn, r.User.DN)
	}
}

// stranger is a server that nobody must ask.
func stranger(t *testing.T) (url string, asked func() int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var n atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "ldap://" + l.Addr().String(), n.Load
}

// TestLogin_IgnoresAliasesAndReferrals has a tree in which names stand for other entries and
// other servers.
func TestLogin_IgnoresAliasesAndReferrals(t *testing.T) {
	t.Parallel()
	url, asked := stranger(t)
	alias := func(uid, parent, to string, lines ...string) string {
		return "dn: uid=" + uid + "," + parent + "\nobjectClass: alias\nobjectClass: extensibleObject\nuid: " + uid + "\naliasedObjectName: " + to + "\n" + strings.Join(lines, "\n") + "\n\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1,
		LDIF: unit("staff", ldaptest.BaseDN) + person("staff0", staffDN, "userPassword: secret") +
			alias("ghost", ldaptest.PeopleDN, ldaptest.UserDN(0)) +
			alias("armed", ldaptest.PeopleDN, ldaptest.UserDN(0), "userPassword: secret") +
			alias("loop", ldaptest.PeopleDN, "uid=loop,"+ldaptest.PeopleDN) +
			alias("door", ldaptest.PeopleDN, staffDN) +
			"dn: uid=away," + ldaptest.PeopleDN + "\nobjectClass: referral\nobjectClass: extensibleObject\nuid: away\nref: " + url + "/uid=away,dc=example,dc=org\n\n",
	})
	p := newPool(t, s.URL())
	for name, c := range map[string]struct {
		cfg                auth.Config
		username, password string
		want               auth.Outcome
	}{
		"an alias is not the user that it stands for":        {byFilter(), "ghost", "password0", auth.InvalidPassword},
		"by a template neither":                              {byTemplate(), "ghost", "password0", auth.InvalidPassword},
		"nor has it a password of its own":                   {byFilter(), "armed", "secret", auth.InvalidPassword},
		"an alias of itself is nobody":                       {byFilter(), "loop", "password0", auth.InvalidPassword},
		"a branch is not entered through an alias":           {byFilter(), "staff0", "secret", auth.InvalidUser},
		"a base that is an alias has no users":               {byFilter("uid=door," + ldaptest.PeopleDN), "staff0", "secret", auth.InvalidUser},
		"an entry that is on another server is unknown here": {byFilter(), "away", "secret", auth.InvalidUser},
		"by a template it is a wrong password, says slapd":   {byTemplate(), "away", "secret", auth.InvalidPassword},
		"a base that is on another server is a fault":        {byFilter("uid=away," + ldaptest.PeopleDN), "user0", "password0", auth.DirectoryUnavailable},
		"others are found beside them":                       {byFilter(), "user0", "password0", auth.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireOutcome(t, c.want, authenticate(t, c.cfg, p, c.username, c.password))
			require.Zero(t, asked(), "the other server was asked")
		})
	}
}

// TestLogin_OversizedValueAffectsOnlyItsOwnLogin: what comes from the directory is bounded, at 4
// MiB an answer.
func TestLogin_OversizedValueAffectsOnlyItsOwnLogin(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1,
		LDIF: person("large", ldaptest.PeopleDN, "userPassword: secret", attribute("jpegPhoto", strings.Repeat("\xff", 1<<20))) +
			person("huge", ldaptest.PeopleDN, "userPassword: secret", attribute("jpegPhoto", strings.Repeat("\xff", 5<<20))),
	})
	p := newPool(t, s.URL())
	photos := byFilter()
	photos.Attributes = []string{"jpegPhoto"}
	r := authenticate(t, photos, p, "large", "secret")
	requireOutcome(t, auth.OK, r)
	require.Len(t, r.User.Attributes["jpegPhoto"][0], (1<<20+2)/3*4)
	for range 3 {
		r = authenticate(t, photos, p, "huge", "secret")
		require.True(t, r.Outcome.IsFault(), "%v: %v", r.Outcome, r.Cause)
		requireOutcome(t, auth.OK, authenticate(t, photos, p, "user0", "password0"))
	}
	requireOutcome(t, auth.OK, authenticate(t, byFilter(), p, "huge", "secret"))
}
