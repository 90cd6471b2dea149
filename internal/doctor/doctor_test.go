package doctor_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServiceBind_EveryResultCodeIsExplained in words, with its number and what to do.
func TestServiceBind_EveryResultCodeIsExplained(t *testing.T) {
	t.Parallel()
	ad := func(data string) string {
		return "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data " + data + ", v3839"
	}
	for name, c := range map[string]struct {
		preset          string
		code            uint16
		text            string
		finding, remedy string
	}{
		"a wrong password":                {"openldap", 49, "", "(result code 49)", "correct LDAP_BIND_PASSWORD"},
		"a wrong password at AD":          {"ad", 49, ad("52e"), "the password is wrong (result code 49, data 52e)", "correct LDAP_BIND_PASSWORD"},
		"no such account at AD":           {"ad", 49, ad("525"), "the account cn=service,dc=example,dc=org does not exist", "correct LDAP_BIND_DN"},
		"an expired password at AD":       {"ad", 49, ad("532"), "has expired or must be changed", "set a new password"},
		"a disabled account at AD":        {"ad", 49, ad("533"), "is disabled", "enable the account"},
		"an expired account at AD":        {"ad", 49, ad("701"), "has expired", "extend the account's expiry date"},
		"a password to be changed at AD":  {"ad", 49, ad("773"), "must be changed", "set a new password"},
		"a locked account at AD":          {"ad", 49, ad("775"), "is locked", "unlock the account"},
		"a wrong hour at AD":              {"ad", 49, ad("530"), "may not log on at this hour", "at any hour"},
		"TLS is wanted":                   {"openldap", 8, "", "accepts no password without TLS", "LDAP_START_TLS=true"},
		"confidentiality is wanted":       {"openldap", 13, "", "accepts no password without TLS", "LDAP_START_TLS=true"},
		"the server is not willing":       {"openldap", 53, "", "is unwilling", "read the directory's log"},
		"there is no such entry":          {"openldap", 32, "", "the entry cn=service,dc=example,dc=org does not exist", "correct LDAP_BIND_DN"},
		"the name is no DN":               {"openldap", 34, "", "does not accept", "write LDAP_BIND_DN as a DN"},
		"the server is busy":              {"openldap", 51, "", "is busy", "wait"},
		"a code that nobody expects (80)": {"openldap", 80, "", "rejects the bind of", "read the directory's log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.NewServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) {
				if req.Op == ldaptest.OpBind {
					conn.ReplyBind(req, c.code, c.text)
				}
			})
			steps := examine(t, func(o *doctor.Options) { o.Logins.Dialect = named(c.preset) }, s.URL())
			bind := find(t, steps, "service bind")
			assert.Equal(t, doctor.Failed, bind.Mark)
			assert.Contains(t, bind.Finding, c.finding)
			assert.Contains(t, bind.Finding, "result code ")
			assert.Contains(t, bind.Remedy, c.remedy)
			assert.Equal(t, doctor.Skipped, find(t, steps, "directory").Mark)
		})
	}
}

// TestConnect_FirewallThatDropsIsDistinguished from a server that is not there: at once, and after
// it let the connection begin.
func TestConnect_FirewallThatDropsIsDistinguished(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	closed, swallows := ldaptest.NewProxy(t, s.Addr()), ldaptest.NewProxy(t, s.Addr())
	closed.HangDials()
	swallows.SetFaults(ldaptest.Faults{BlackHole: true})
	impatient := func(o *doctor.Options) { o.Pool.DialTimeout, o.Pool.RequestTimeout = time.Second, time.Second }
	steps := examine(t, impatient, closed.URL())
	assert.Contains(t, find(t, steps, "tcp").Finding, "a firewall drops the packets")
	steps = examine(t, impatient, swallows.URL())
	assert.Contains(t, find(t, steps, "service bind").Finding, "accepts the connection and does not answer within 1s")
}

// TestDNTemplate_NeedsNoServiceIdentity nor a base: the bind alone tells.
func TestDNTemplate_NeedsNoServiceIdentity(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	steps := examine(t, func(o *doctor.Options) {
		o.Pool.BindDN, o.Pool.BindPassword, o.Pool.BindOnly = "", "", true
		o.Logins = auth.Config{DNTemplate: "uid={username}," + ldaptest.PeopleDN, Timeout: time.Second}
		o.User, o.Password = "user0", ldaptest.Password(0)
	}, s.URL())
	for _, step := range steps {
		assert.NotEqual(t, doctor.Failed, step.Mark, "%+v", step)
	}
	assert.Contains(t, find(t, steps, "password").Finding, "may log in as "+ldaptest.UserDN(0))
	assert.Zero(t, s.LogCount(`BIND dn="`+ldaptest.ServiceDN))
}

// TestDoctor_ChangesNothing: all that it sends are binds, searches, and goodbyes.
func TestDoctor_ChangesNothing(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	examine(t, func(o *doctor.Options) { o.User, o.Idle = "user0", 50*time.Millisecond }, s.URL())
	require.NotZero(t, s.LogCount(" SRCH base="))
	for _, op := range []string{" MOD ", " ADD ", " DEL ", " MODRDN ", " PASSMOD", " CMP "} {
		assert.Zero(t, s.LogCount(op), op)
	}
	assert.Zero(t, s.LogCount(`BIND dn="`+ldaptest.UserDN(0)), "binds as a user whose password is not known")
}

// TestReport_EscapesWordsOfTheDirectory: they are in findings.
func TestReport_EscapesWordsOfTheDirectory(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := doctor.Text{W: &b}
	step := doctor.Step{Name: "base DN", Mark: doctor.Failed, Finding: "a\x1b[2Jb\nc", Remedy: "d\x07", Details: []string{"\u202ee"}}
	text.Write(step)
	var report doctor.Report
	report.Add(step)
	text.Summary(&report)
	assert.False(t, strings.ContainsAny(b.String(), "\x1b\x07\u202e"), "%q", b.String())
	assert.Contains(t, b.String(), `a\x1b[2Jb\nc`)
	assert.False(t, report.OK)
}

func TestReport_ColoursFollowTheOption(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	text := doctor.Text{W: &b, Colour: true}
	text.Write(doctor.Step{Name: "tcp", Mark: doctor.OK, Finding: "connected"})
	assert.Contains(t, b.String(), "\x1b[32mok ")
}

// TestIdleLimit_EndOnUseDiffersFromACut before: the pool sees only the second.
func TestIdleLimit_EndOnUseDiffersFromACut(t *testing.T) {
	t.Parallel()
	tree := ldaptest.NewDirectory()
	var mu sync.Mutex
	asked := map[*ldaptest.Conn]int{}
	s := ldaptest.NewServer(t, func(conn *ldaptest.Conn, req ldaptest.Request) {
		mu.Lock()
		asked[conn]++
		again := conn.Identity() == "" && asked[conn] > 1
		mu.Unlock()
		if again {
			conn.Close()
			return
		}
		tree.Handle(conn, req)
	})
	steps := examine(t, func(o *doctor.Options) { o.Idle = 500 * time.Millisecond }, s.URL())
	idle := find(t, steps, "idle")
	assert.Equal(t, doctor.Warn, idle.Mark)
	assert.Regexp(t, "idle for 0s to [0-9]+ms, and reports it only when they are used", idle.Finding)
	assert.Regexp(t, "set LDAP_POOL_MAX_IDLE_TIME=[0-9]+ms", idle.Remedy)
}

// TestReport_EndsWithASummary: what somebody looks at first.
func TestReport_EndsWithASummary(t *testing.T) {
	t.Parallel()
	const one, other = "ldap://one", "ldap://other"
	down := doctor.Step{Server: one, Name: "tcp", Mark: doctor.Failed, Finding: "nothing listens", Remedy: "start it"}
	up := doctor.Step{Server: other, Name: "root DSE", Mark: doctor.OK, Finding: "OpenLDAP"}
	odd := doctor.Step{Server: other, Name: "lockout", Mark: doctor.Warn, Finding: "odd"}
	for want, steps := range map[string][]doctor.Step{
		"\nno check failed\n":                                             {up},
		"\nno check failed\nwarnings: lockout\n":                          {up, odd, odd},
		"\nFAILED ldap://one tcp: nothing listens\n       do: start it\n": {down},
		"\nFAILED ldap://one tcp: nothing listens\n       do: start it\nno failures at ldap://other\nwarnings: lockout\n": {down, up, odd},
	} {
		var b bytes.Buffer
		report := &doctor.Report{}
		for _, s := range steps {
			report.Add(s)
		}
		(&doctor.Text{W: &b}).Summary(report)
		assert.Equal(t, want, b.String())
	}
}

// TestReport_WrappedLinesAreIndented, but for words that are longer than a line, which
// are to be copied.
func TestReport_WrappedLinesAreIndented(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	long := "uid=somebody,ou=people,dc=example,dc=org"
	(&doctor.Text{W: &b, Width: 76}).Write(doctor.Step{Name: "user", Mark: doctor.OK, TookMS: 61_000, Finding: "one two three four five six seven eight " + long, Details: []string{"a  b"}, Remedy: "nothing"})
	assert.Equal(t, "  ok       user                   1m1s  one two three four five six seven\n"+
		"                                        eight\n"+
		"                                        "+long+"\n"+
		"           - a  b\n           do: nothing\n", b.String())
}

// TestRootDSE_OfLLDAPFitsItsPreset and no other.
func TestRootDSE_OfLLDAPFitsItsPreset(t *testing.T) {
	t.Parallel()
	d := ldaptest.NewDirectory()
	d.RootDSE.Attributes["vendorName"], d.RootDSE.Attributes["vendorVersion"] = []string{"LLDAP"}, []string{"lldap_0.6.3"}
	s := ldaptest.NewServer(t, d.Handle)
	root := find(t, examine(t, func(o *doctor.Options) { o.Logins.Dialect = named("lldap") }, s.URL()), "root DSE")
	assert.Equal(t, "lldap (LLDAP lldap_0.6.3); preset lldap fits", root.Finding)
	root = find(t, examine(t, func(*doctor.Options) {}, s.URL()), "root DSE")
	assert.Equal(t, doctor.Warn, root.Mark)
	assert.Equal(t, "set LDAP_PRESET=lldap", root.Remedy)
}
