package ldaptest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// SambaState is an account in a state that a directory has an opinion about.
type SambaState struct {
	Name string // of the state: "must change"
	User string // sAMAccountName
	DN   string
}

// AddStates makes an account in each state, with this password and with suffix at the end of its
// name. The domain must have been started with a LockoutThreshold of at least 1.
func (s *Samba) AddStates(password, suffix string) []SambaState {
	s.t.Helper()
	yesterday := FileTime(time.Now().Add(-24 * time.Hour))
	never := strings.Repeat("\x00", 21) // a bit for each hour of the week in which one may log in
	var all []SambaState
	state := func(name, user string, attributes ...string) string {
		dn := s.AddUser(user+suffix, password, attributes...)
		all = append(all, SambaState{name, user + suffix, dn})
		return dn
	}
	state("good", "good")
	all = append(all, SambaState{"unknown", "nobody" + suffix, "CN=nobody" + suffix + "," + SambaUsersDN})
	state("disabled", "disabled", "userAccountControl", "514")
	state("account expired", "expired", "accountExpires", yesterday)
	s.AgePassword(state("password expires soon", "expiring"), 42*24*time.Hour-5*24*time.Hour) // of the 42 days that it may live
	state("must change", "mustchange", "pwdLastSet", "0")
	state("logon hours", "hours", "logonHours", never)
	state("workstation", "elsewhere", "userWorkstations", "OTHERPC")
	s.AgePassword(state("password expired", "oldpassword"), 100*24*time.Hour)
	s.Lock(state("locked", "locked"))
	disabled := state("locked and disabled", "lockeddisabled")
	s.Lock(disabled)
	s.Modify(disabled, "userAccountControl", "514")
	state("expired and must change", "expiredmustchange", "accountExpires", yesterday, "pwdLastSet", "0")
	all = append(all, SambaState{"computer", "pc1" + suffix + "$", s.AddComputer("pc1"+suffix, password)})
	return all
}

// Lock tries wrong passwords until the account is locked.
func (s *Samba) Lock(dn string) {
	s.t.Helper()
	for range 100 {
		if _, diagnostic := s.Bind(dn, "wrong"); strings.Contains(diagnostic, "data 775") {
			return
		}
	}
	s.t.Fatalf("%s is not locked by wrong passwords", dn)
}

// Bind does one simple bind on a connection of its own, and returns the result code and the
// diagnostic message.
func (s *Samba) Bind(name, password string) (code uint16, diagnostic string) {
	s.t.Helper()
	c, err := ldap.DialURL(s.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	c.SetTimeout(patience)
	return resultOf(s.t, c.Bind(name, password))
}

// resultOf takes a result out of go-ldap's error.
func resultOf(tb testing.TB, err error) (code uint16, diagnostic string) {
	tb.Helper()
	if err == nil {
		return ldap.LDAPResultSuccess, ""
	}
	e, ok := err.(*ldap.Error) //nolint:errorlint // go-ldap does not wrap it
	if !ok || e.ResultCode >= 200 {
		tb.Fatalf("no answer: %v", err)
	}
	return e.ResultCode, e.Err.Error()
}

// AgePassword makes a password so old. No client may say when a password was set, nor the
// administrator: this goes to the database, past the rule (dsdb's control
// DSDB_CONTROL_BYPASS_PASSWORD_HASH_OID).
func (s *Samba) AgePassword(dn string, age time.Duration) {
	s.t.Helper()
	cmd := exec.Command(findSamba(s.t, "ldbmodify"), "-H", filepath.Join(s.dir, "private", "sam.ldb"), "--controls=local_oid:1.3.6.1.4.1.7165.4.3.12:0")
	cmd.Stdin = strings.NewReader(fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: %s\n", dn, FileTime(time.Now().Add(-age))))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("ldbmodify: %v\n%s", err, out)
	}
}

// FileTime is a time as AD writes it: in units of 100 ns since 1601 (MS-DTYP 2.3.3).
func FileTime(at time.Time) string {
	const unixEpoch = 116444736000000000
	return strconv.FormatInt(at.Unix()*1e7+unixEpoch, 10)
}
