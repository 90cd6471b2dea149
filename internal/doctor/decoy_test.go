package doctor_test

import (
	"fmt"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const decoyDN = "cn=decoy," + ldaptest.BaseDN

// decoyCase is a decoy and what the doctor says of it, however often it is asked.
type decoyCase struct {
	dn   string
	mark doctor.Mark
	want string
}

// requireDecoys asks the doctor about each decoy more often than the directories below lock after.
func requireDecoys(t *testing.T, change func(*doctor.Options), url string, cases map[string]decoyCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 {
				step := find(t, examine(t, func(o *doctor.Options) {
					o.Logins.DecoyDN = c.dn
					o.Pool.DialTimeout, o.Pool.RequestTimeout = time.Minute, time.Minute // a loaded machine
					o.Logins.Timeout = time.Minute
					change(o)
				}, url), "decoy")
				require.Equal(t, c.mark, step.Mark, "%s", step.Finding)
				require.Contains(t, step.Finding, c.want)
				require.Equal(t, c.mark == doctor.OK, step.Remedy == "", "%s", step.Remedy)
				if c.mark == doctor.Warn {
					return // one that is locked by wrong passwords is not asked again
				}
			}
		})
	}
}

func decoyEntry(cn, more string) string {
	return fmt.Sprintf("dn: cn=%s,%s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: %[1]s\nuserPassword: unguessable\n%[3]s\n\n", cn, ldaptest.BaseDN, more)
}

func ppolicyEntry(cn string, failures int) string {
	return fmt.Sprintf("dn: cn=%s,%s\nobjectClass: device\nobjectClass: pwdPolicy\ncn: %[1]s\npwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: %[3]d\npwdMaxRecordedFailure: 5\n\n", cn, ldaptest.BaseDN, failures)
}

// TestDecoy_AtOpenLDAP: the entry that docs/throttle.md describes cannot be locked, and slapd notes
// its failures as it notes a user's, so that the two cost it the same.
func TestDecoy_AtOpenLDAP(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users: 1, ExtraGlobal: "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\nppolicy_use_lockout",
		Access:        "access to dn.exact=\"cn=hidden," + ldaptest.BaseDN + "\" attrs=entry,objectClass,cn by * none\n",
		LDIF: ppolicyEntry("policy", 3) + ppolicyEntry("never", 0) +
			decoyEntry("decoy", "pwdPolicySubentry: cn=never,"+ldaptest.BaseDN) +
			decoyEntry("below", "") +
			decoyEntry("hidden", "pwdPolicySubentry: cn=never,"+ldaptest.BaseDN) +
			decoyEntry("locked", "pwdAccountLockedTime: 000001010000Z"),
	})
	t.Cleanup(func() {
		c, err := ldap.DialURL(s.URL())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.Bind(ldaptest.RootDN, ldaptest.RootPassword))
		r, err := c.Search(ldap.NewSearchRequest(decoyDN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"pwdFailureTime"}, nil))
		require.NoError(t, err)
		require.NotEmpty(t, r.Entries[0].GetAttributeValues("pwdFailureTime"), "the failures are noted")
	})
	requireDecoys(t, func(*doctor.Options) {}, s.URL(), map[string]decoyCase{
		"as documented":                {decoyDN, doctor.OK, "wrong passwords never lock it (cn=never," + ldaptest.BaseDN + ")"},
		"below a policy that locks":    {"cn=below," + ldaptest.BaseDN, doctor.Warn, "is locked after 3 failures (cn=policy," + ldaptest.BaseDN + ")"},
		"not to be seen":               {"cn=hidden," + ldaptest.BaseDN, doctor.Warn, "cannot see whether the entry exists"},
		"not there":                    {"cn=nobody," + ldaptest.BaseDN, doctor.Warn, "cannot see whether the entry exists"},
		"locked":                       {"cn=locked," + ldaptest.BaseDN, doctor.Failed, "compares no password"},
		"of an attribute that is not":  {"login=decoy," + ldaptest.BaseDN, doctor.Failed, "fails"},
		"the same in another spelling": {"CN=Decoy, " + ldaptest.BaseDN, doctor.OK, "wrong passwords never lock it"},
	})
}

// TestDecoy_At389DS with a policy of its own that does not lock.
func TestDecoy_At389DS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	s.Modify("cn=config", map[string][]string{"passwordLockout": {"on"}, "passwordMaxFailure": {"3"}, "nsslapd-pwpolicy-local": {"on"}})
	policy := "cn=never," + ldaptest.BaseDN
	s.Add(policy, map[string][]string{"objectClass": {"top", "ldapSubentry", "passwordPolicy", "extensibleObject"}, "cn": {"never"}, "passwordLockout": {"off"}})
	for _, cn := range []string{"decoy", "below"} {
		s.Add("cn="+cn+","+ldaptest.BaseDN, map[string][]string{
			"objectClass": {"organizationalRole", "simpleSecurityObject"}, "cn": {cn}, "userPassword": {"unguessable"},
		})
	}
	s.Modify(decoyDN, map[string][]string{"pwdpolicysubentry": {policy}})
	requireDecoys(t, func(o *doctor.Options) {
		o.Logins.Dialect = named("389ds")
		o.Pool.BindDN, o.Pool.BindPassword = ldaptest.DirectoryManagerDN, ldaptest.RootPassword
	}, s.URL(), map[string]decoyCase{
		"as documented":             {decoyDN, doctor.OK, "wrong passwords never lock it (" + policy + ")"},
		"below a policy that locks": {"cn=below," + ldaptest.BaseDN, doctor.Warn, "is locked after 3 failures"},
		"not there":                 {"cn=nobody," + ldaptest.BaseDN, doctor.Warn, "cannot see whether the entry exists"},
	})
}

// TestDecoy_AtActiveDirectory with a password settings object (PSO) that does not lock.
func TestDecoy_AtActiveDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{LockoutThreshold: 3})
	decoy, below := s.AddUser("decoy", "unguessable-1"), s.AddUser("below", "unguessable-1")
	pso := "CN=never,CN=Password Settings Container,CN=System," + ldaptest.SambaBaseDN
	s.Add(pso, "objectClass", "msDS-PasswordSettings", "msDS-PasswordSettingsPrecedence", "1", "msDS-PasswordReversibleEncryptionEnabled", "FALSE",
		"msDS-PasswordHistoryLength", "0", "msDS-PasswordComplexityEnabled", "FALSE", "msDS-MinimumPasswordLength", "0",
		"msDS-MinimumPasswordAge", "0", "msDS-MaximumPasswordAge", "-9223372036854775808", "msDS-LockoutThreshold", "0",
		"msDS-LockoutObservationWindow", "-18000000000", "msDS-LockoutDuration", "-18000000000", "msDS-PSOAppliesTo", decoy)
	cases := map[string]decoyCase{
		"as documented":             {decoy, doctor.OK, "wrong passwords never lock it"},
		"below a policy that locks": {below, doctor.Warn, "is locked after 3 failures"},
		"not there":                 {"CN=nobody," + ldaptest.SambaUsersDN, doctor.Warn, "cannot see whether the entry exists"},
	}
	if assert.NotEmpty(t, s.Get(decoy, "msDS-ResultantPSO")) {
		requireDecoys(t, func(o *doctor.Options) {
			o.Logins = auth.Config{Dialect: named("ad"), BaseDNs: []string{ldaptest.SambaBaseDN}, Filter: "(sAMAccountName={username})", NameAttribute: "sAMAccountName", DecoyDN: o.Logins.DecoyDN, Timeout: o.Logins.Timeout}
			o.Pool.BindDN, o.Pool.BindPassword = "service@"+ldaptest.SambaDNSName, ldaptest.SambaServicePassword
		}, s.URL(), cases)
	}
}
