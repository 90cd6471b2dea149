package ldaptest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestSlapd_BindsItsUsersAndRejectsAWrongPassword(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 3})
	c := dial(t, s.URL())
	for i := range 3 {
		require.NoError(t, c.Bind(UserDN(i), Password(i)))
	}
	require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind(UserDN(0), Password(1))))
	require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind(UserDN(3), Password(3))))
	require.NoError(t, c.Bind(RootDN, RootPassword))
}

func TestSlapd_ShowsItsTreeToTheServiceAlone(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 1})
	c := dial(t, s.URL())
	readsTree := func() int {
		_, err := find(c, BaseDN, "(uid=user0)")
		return code(err)
	}
	require.Equal(t, ldap.LDAPResultNoSuchObject, readsTree(), "anonymous")
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	require.Equal(t, ldap.LDAPResultNoSuchObject, readsTree(), "a user")
	require.NoError(t, c.Bind(ServiceDN, ServicePassword))
	res, err := find(c, BaseDN, "(uid=user0)")
	require.NoError(t, err)
	require.Len(t, res.Entries, 1)
	e := res.Entries[0]
	require.Equal(t, UserDN(0), e.DN)
	require.Equal(t, "user0@example.org", e.GetAttributeValue("mail"))
	require.NotEmpty(t, e.GetAttributeValue("cn"))
	require.NotEmpty(t, e.GetAttributeValue("sn"))
	require.Empty(t, e.GetAttributeValue("userPassword"), "a password can be read")
}

func TestSlapd_ShowsTheRootDSEToAnyone(t *testing.T) {
	t.Parallel()
	c := dial(t, StartSlapd(t, SlapdConfig{}).URL())
	res, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"namingContexts"}, nil))
	require.NoError(t, err)
	require.Equal(t, BaseDN, res.Entries[0].GetAttributeValue("namingContexts"))
}

func TestSlapd_SpeaksTLSOnBothListenersAndTheSocket(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 1, TLS: true})
	require.NoError(t, dial(t, s.TLSURL(), ldap.DialWithTLSConfig(s.TLSConfig())).Bind(UserDN(0), Password(0)))

	c := dial(t, s.URL())
	require.NoError(t, c.StartTLS(s.TLSConfig()))
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	_, ok := c.TLSConnectionState()
	require.True(t, ok)

	require.NoError(t, dial(t, s.LDAPIURL()).Bind(UserDN(0), Password(0)))

	_, err := ldap.DialURL(s.TLSURL(), ldap.DialWithTLSConfig(NewCA(t).ClientTLS("localhost")))
	require.Error(t, err, "a certificate of another authority was accepted")
}

func TestSlapd_RestartsOnTheSamePortWithItsData(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 1, TLS: true})
	url, tlsURL := s.URL(), s.TLSURL()
	for _, end := range []func(){s.Kill, s.Stop} {
		admin := dial(t, url)
		require.NoError(t, admin.Bind(RootDN, RootPassword))
		mail := fmt.Sprintf("new%d@example.org", time.Now().UnixNano())
		change := ldap.NewModifyRequest(UserDN(0), nil)
		change.Replace("mail", []string{mail})
		require.NoError(t, admin.Modify(change))

		first := s.PID()
		end()
		require.Zero(t, s.PID())
		_, err := net.Dial("tcp", s.Addr())
		require.Error(t, err, "something still listens")
		s.Start()
		require.NotEqual(t, first, s.PID())
		require.Equal(t, url, s.URL())
		require.Equal(t, tlsURL, s.TLSURL())

		c := dial(t, url)
		require.NoError(t, c.Bind(ServiceDN, ServicePassword))
		res, err := find(c, BaseDN, "(uid=user0)", "mail")
		require.NoError(t, err)
		require.Equal(t, mail, res.Entries[0].GetAttributeValue("mail"))
	}
	first := s.PID()
	s.Restart()
	require.NotEqual(t, first, s.PID())
}

func TestSlapd_PausedAcceptsAndAnswersWhenResumed(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 1})
	s.Pause()
	c := dial(t, s.URL())
	c.SetTimeout(100 * time.Millisecond)
	require.Error(t, c.Bind(UserDN(0), Password(0)))
	s.Resume()
	require.NoError(t, dial(t, s.URL()).Bind(UserDN(0), Password(0)))
	s.Pause()
	s.Kill()
	s.Start()
	s.Pause()
	s.Stop()
	require.Equal(t, 1, s.LogCount("slapd stopped."), "Stop killed it")
}

func TestSlapd_ClosesIdleConnectionsAndCountsThem(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{IdleTimeout: time.Second})
	before := s.ClosedIdle()
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorContains(t, err, "EOF")
	Eventually(t, "slapd's log of the cut", func() bool { return s.ClosedIdle() == before+1 })
}

func TestSlapd_TakesExtraConfigurationAndEntries(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{
		Users:         1,
		Hash:          SSHA,
		ExtraGlobal:   "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + BaseDN + "\"\nppolicy_use_lockout",
		LDIF: "dn: cn=policy," + BaseDN + "\nobjectClass: device\nobjectClass: pwdPolicy\ncn: policy\n" +
			"pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 1\n",
	})
	c := dial(t, s.URL())
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	require.Error(t, c.Bind(UserDN(0), "wrong"))
	// At the turn of a second, slapd takes some milliseconds until the lock is in effect.
	Eventually(t, "the lock", func() bool {
		res, err := c.SimpleBind(ldap.NewSimpleBindRequest(UserDN(0), "wrong", []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		require.Equal(t, ldap.LDAPResultInvalidCredentials, code(err))
		policy, ok := ldap.FindControl(res.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
		require.True(t, ok)
		return policy.Error == 1 // accountLocked
	})
	require.Equal(t, ldap.LDAPResultInvalidCredentials, code(c.Bind(UserDN(0), Password(0))))
}

func TestSlapd_ExtraAccessRulesWinOverTheStandardOnes(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{Users: 1, Access: "access to attrs=entry,uid,mail by users read"})
	c := dial(t, s.URL())
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	res, err := find(c, UserDN(0), "(uid=user0)")
	require.NoError(t, err)
	require.Len(t, res.Entries, 1)
	require.NotEmpty(t, res.Entries[0].GetAttributeValue("mail"))
	require.Empty(t, res.Entries[0].GetAttributeValue("sn"))
}

func TestSlapd_RunsTheConfiguredNumberOfThreads(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{
		Threads:       5,
		ExtraGlobal:   "moduleload back_monitor",
		ExtraDatabase: "database monitor\naccess to * by * read",
	})
	res, err := find(dial(t, s.URL()), "cn=Max,cn=Threads,cn=Monitor", "(objectClass=*)", "monitoredInfo")
	require.NoError(t, err)
	require.Equal(t, "5", res.Entries[0].GetAttributeValue("monitoredInfo"))
}

func TestSlapd_KeepsItsPort(t *testing.T) {
	t.Parallel()
	p, err := claimPort(0)
	require.NoError(t, err)
	p.release()
	s := StartSlapd(t, SlapdConfig{Port: p.number})
	require.Equal(t, "ldap://127.0.0.1:"+strconv.Itoa(p.number), s.URL())
}

func TestSlapd_ManyStartAtOnce(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			s := StartSlapd(t, SlapdConfig{Users: 1, TLS: true})
			require.NoError(t, dial(t, s.URL()).Bind(UserDN(0), Password(0)))
		})
	}
}

func TestSlapd_EndsWithItsTest(t *testing.T) { //nolint:tparallel // the inner test must end first
	t.Parallel()
	var pid int
	t.Run("inner", func(t *testing.T) {
		s := StartSlapd(t, SlapdConfig{})
		pid = s.PID()
		s.Pause()
	})
	_, err := os.Stat("/proc/" + strconv.Itoa(pid))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// helperEnv marks the process that TestSlapd_DiesWithTheProcessOfTheTest starts.
const helperEnv = "LDAPTEST_HELPER"

// TestHelperProcess is no test: it starts a slapd, says which, and waits to be
// killed.
func TestHelperProcess(t *testing.T) {
	if os.Getenv(helperEnv) == "" {
		t.Skip("runs in a process of its own")
	}
	fmt.Println("pid", StartSlapd(t, SlapdConfig{}).PID())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestSlapd_DiesWithTheProcessOfTheTest(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$") //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), helperEnv+"=1", "TMPDIR="+shortDir(t))
	_, err := cmd.StdinPipe() // held open, so that the helper waits
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pid int
	_, err = fmt.Fscanf(out, "pid %d\n", &pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	Eventually(t, "slapd's end", func() bool {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err != nil || len(command) == 0 // gone, or dead and not yet waited for
	})
}

func TestSlapd_ReportsThatItsPortIsTaken(t *testing.T) {
	t.Parallel()
	s := StartSlapd(t, SlapdConfig{})
	s.Stop()
	stranger, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err)
	require.ErrorIs(t, s.launch(), errPortTaken)
	require.NoError(t, stranger.Close())
	s.Start()
}

func TestSlapd_ServesTenThousandUsers(t *testing.T) {
	if testing.Short() {
		t.Skip("loads 10,000 entries")
	}
	t.Parallel()
	begin := time.Now()
	s := StartSlapd(t, SlapdConfig{Users: 10_000})
	t.Logf("started in %v", time.Since(begin))
	require.NoError(t, dial(t, s.URL()).Bind(UserDN(9_999), Password(9_999)))
}
