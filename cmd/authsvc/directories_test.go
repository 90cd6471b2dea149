package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
)

// Servers and gateways of docs/directories.md, scripted.

const policyOID = ldap.ControlTypeBeheraPasswordPolicy

// listing is a directory whose root DSE lists those controls.
func listing(controls ...string) *ldaptest.Directory {
	d := ldaptest.NewDirectory()
	d.RootDSE.Attributes["supportedControl"] = controls
	return d
}

// likeGlauth refuses a stranger's read of the root DSE, and ends a connection after a search that
// failed.
func likeGlauth(d *ldaptest.Directory) ldaptest.Handler {
	return func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op == ldaptest.OpSearch && c.Identity() == "" {
			c.ReplySearch(req, ldap.LDAPResultInsufficientAccessRights)
			c.Close()
			return
		}
		d.Handle(c, req)
	}
}

// closingOnControls ends a connection on which a bind with a control arrives, as lldap is reported
// to do.
func closingOnControls(d *ldaptest.Directory) ldaptest.Handler {
	return func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op == ldaptest.OpBind && len(req.Controls) > 0 {
			c.Close()
			return
		}
		d.Handle(c, req)
	}
}

// answeringControl answers every bind with the password policy control and that value, as Okta's
// LDAP interface is reported to do.
func answeringControl(d *ldaptest.Directory, value []byte) ldaptest.Handler {
	return func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op != ldaptest.OpBind {
			d.Handle(c, req)
			return
		}
		code := uint16(ldap.LDAPResultInvalidCredentials)
		if d.Passwords[req.DN] == req.Password {
			code = ldap.LDAPResultSuccess
		}
		c.ReplyBind(req, code, "", ldaptest.Control{OID: policyOID, Value: value})
	}
}

// TestDirectories_EachServesEveryLogin except those that reveal the habit.
func TestDirectories_EachServesEveryLogin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler ldaptest.Handler
		environ []string
		lost    int // at most
		log     string
	}{
		"refuses strangers and closes":                   {likeGlauth(listing()), nil, 0, `"quirk":"hangs_up"`},
		"refuses strangers and closes, no service binds": {likeGlauth(listing()), []string{"LDAP_BIND_LANE_SERVICE_BIND=false"}, 0, `"quirk":"hangs_up"`},
		"refuses strangers and closes, a service bind":   {likeGlauth(listing()), []string{"LDAP_BIND_LANE_SERVICE_BIND=true"}, 0, ""},
		"refuses strangers and closes, a template": {likeGlauth(listing()), []string{
			"LDAP_BASE_DN=", "LDAP_BIND_DN=", "LDAP_BIND_PASSWORD=", "LDAP_USER_DN_TEMPLATE=uid={username}," + ldaptest.PeopleDN}, 0, `"quirk":"hangs_up"`},
		"closes on the control, which it does not list": {closingOnControls(listing("1.2.3")), nil, 0, ""},
		"closes on the control, and lists nothing":      {closingOnControls(listing()), nil, 0, ""},
		"closes on the control, which is off":           {closingOnControls(listing(policyOID)), []string{"LDAP_PASSWORD_POLICY=off"}, 0, ""},
		"answers the control without a value":           {answeringControl(listing(policyOID), nil), nil, 0, ""},
		"answers the control with an empty value":       {answeringControl(listing(policyOID), []byte{}), []string{"LDAP_PASSWORD_POLICY=on"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProgram(t, ldaptest.NewServer(t, c.handler).URL(), c.environ...)
			p.ready(t)
			var answers []answer
			pause := time.NewTicker(1200 * time.Millisecond) // the silence after which connections are checked
			defer pause.Stop()
			for n := range 30 {
				if n%10 == 9 {
					<-pause.C
				}
				want := 2 * (n % 2)
				password := ldaptest.Password(1)
				if want != 0 {
					password = "wr0ng-w0rd"
				}
				answers = append(answers, login(client(t), p.url, ldaptest.Username(1), password, want))
			}
			lost := 0
			for _, a := range answers {
				assert.False(t, a.wrongVerdict())
				if a.status != a.want {
					lost++
				}
			}
			assert.LessOrEqual(t, lost, c.lost)
			assert.Contains(t, p.logged(), c.log)
			assert.Zero(t, p.end(t))
		})
	}
}

// TestDirectories_UndefinedPolicyAnswerAdmitsNobody, and keeps nobody out that it says
// nothing of.
func TestDirectories_UndefinedPolicyAnswerAdmitsNobody(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"\x81\x01\x00", "\x05\x00", "\x30\x00\xff\xff"} {
		p := startProgram(t, ldaptest.NewServer(t, answeringControl(listing(policyOID), []byte(value))).URL())
		p.ready(t)
		assert.Equal(t, 11, login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), 0).status, "%x", value)
		assert.Zero(t, p.end(t))
	}
}

// TestDirectories_PolicyVerdictNeedsTheControl: what is listed is asked for, and with off
// nothing is.
func TestDirectories_PolicyVerdictNeedsTheControl(t *testing.T) {
	t.Parallel()
	mustChange := func(c *ldaptest.Conn, req ldaptest.Request) {
		if req.Op == ldaptest.OpBind && req.HasControl(policyOID) {
			c.ReplyBind(req, ldap.LDAPResultSuccess, "", ldaptest.Control{OID: policyOID, Value: []byte("\x30\x03\x81\x01\x02")})
			return
		}
		listing(policyOID).Handle(c, req)
	}
	for rule, status := range map[string]int{"auto": 7, "on": 7, "off": 0} {
		p := startProgram(t, ldaptest.NewServer(t, mustChange).URL(), "LDAP_PASSWORD_POLICY="+rule)
		p.ready(t)
		assert.Equal(t, status, login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), status).status, rule)
		assert.Zero(t, p.end(t))
	}
}

// firstBinds is a gateway that lets a connection's first bind in without a second factor, as Duo's
// with exempt_primary_bind, and counts the users that it let in so.
type firstBinds struct {
	mu     sync.Mutex
	bound  map[*ldaptest.Conn]bool
	exempt int
}

func (g *firstBinds) handle(c *ldaptest.Conn, req ldaptest.Request) {
	if req.Op == ldaptest.OpBind {
		g.mu.Lock()
		if !g.bound[c] && req.DN != ldaptest.ServiceDN {
			g.exempt++
		}
		g.bound[c] = true
		g.mu.Unlock()
	}
	ldaptest.NewDirectory().Handle(c, req)
}

// TestDirectories_UsersBindFollowsAServiceBind with LDAP_BIND_LANE_SERVICE_BIND=true.
func TestDirectories_UsersBindFollowsAServiceBind(t *testing.T) {
	t.Parallel()
	g := &firstBinds{bound: map[*ldaptest.Conn]bool{}}
	server := ldaptest.NewServer(t, g.handle)
	p := startProgram(t, server.URL(), "LDAP_BIND_LANE_SERVICE_BIND=true", "LDAP_POOL_MAX_LIFETIME=1s", "LDAP_BIND_RETRY=unsent")
	p.ready(t)
	for range 5 {
		for _, a := range stream(t, p.url, 50, 500*time.Millisecond) {
			assert.Equal(t, a.want, a.status)
		}
		server.CloseAll()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	assert.Zero(t, g.exempt)
	assert.Zero(t, p.end(t))
}

// banning is like glauth: after three wrong passwords it refuses whatever comes, in no words or in
// these, and ends connections on which something is searched.
type banning struct {
	words  string
	mu     sync.Mutex
	wrong  int
	banned bool
}

func (b *banning) handle(c *ldaptest.Conn, req ldaptest.Request) {
	d := ldaptest.NewDirectory()
	b.mu.Lock()
	banned := b.banned
	if req.Op == ldaptest.OpBind && !banned && d.Passwords[req.DN] != req.Password {
		b.wrong++
		b.banned = b.wrong == 3
	}
	b.mu.Unlock()
	switch {
	case !banned:
		likeGlauth(d)(c, req)
	case req.Op == ldaptest.OpBind:
		c.ReplyBind(req, ldap.LDAPResultUnwillingToPerform, b.words)
	case req.Op == ldaptest.OpSearch:
		c.WriteRaw(ldaptest.SearchDone(req.MessageID, ldap.LDAPResultUnwillingToPerform, b.words))
		c.Close()
	}
}

func (b *banning) lift() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.banned, b.wrong = false, 0
}

// TestDirectories_BanIsReportedOnce in the log with the server's words, and by the doctor; and it
// is over when the server lifts it.
func TestDirectories_BanIsReportedOnce(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"", "Source is in a timeout"} {
		b := &banning{words: words}
		server := ldaptest.NewServer(t, b.handle)
		p := startProgram(t, server.URL())
		p.ready(t)
		for n := range 3 {
			assert.Equal(t, 0, login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), 0).status)
			assert.Equal(t, 2, login(client(t), p.url, ldaptest.Username(n), "wr0ng-w0rd", 2).status)
		}
		for range 5 {
			assert.Equal(t, 11, login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), 0).status)
		}
		const line = "directory server may ban this service after wrong passwords"
		ldaptest.Eventually(t, "the ban is told", func() bool { return strings.Contains(p.logged(), line) })
		b.lift()
		ldaptest.Eventually(t, "the server is usable again", func() bool {
			return login(client(t), p.url, ldaptest.Username(1), ldaptest.Password(1), 0).status == 0
		})
		told := 0
		for l := range strings.Lines(p.logged()) {
			if strings.Contains(l, line) {
				told++
				assert.Contains(t, l, "Unwilling To Perform")
				assert.Contains(t, l, words)
				assert.Contains(t, l, "docs/directories.md")
			}
		}
		assert.Equal(t, 1, told)
		assert.Zero(t, p.end(t))
	}
}

// TestDirectories_AHiddenRootDSEIsReadByTheService on a real slapd: what strangers may not read,
// the service identity may, and where nobody may the control must be set.
func TestDirectories_AHiddenRootDSEIsReadByTheService(t *testing.T) {
	t.Parallel()
	for access, byRule := range map[string]map[string]int{
		"by users read by * none": {"auto": 7, "off": 0},
		"by * none":               {"auto": 0, "on": 7},
	} {
		slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
			ExtraGlobal:   "moduleload ppolicy\naccess to dn.base=\"\" " + access + "\naccess to * by * read",
			ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"",
			LDIF:          strings.ReplaceAll(ldaptest.PolicyLDIF(), "userPassword: secret", "userPassword: r3set-w0rd"),
		})
		for rule, status := range byRule {
			p := startProgram(t, slapd.URL(), "LDAP_PASSWORD_POLICY="+rule)
			p.ready(t)
			assert.Equal(t, status, login(client(t), p.url, "reset", "r3set-w0rd", status).status, "%s, %s", access, rule)
			assert.Zero(t, p.end(t))
		}
	}
}
