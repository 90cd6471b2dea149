package doctor_test

import (
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

// TestGroups_SaysHowRequiredOnesAreFound: a name may fit more than its writer knows, and a DN may
// be found in another spelling only.
func TestGroups_SaysHowRequiredOnesAreFound(t *testing.T) {
	t.Parallel()
	const deep = "ou=deep," + ldaptest.GroupsDN
	group := func(cn, parent string) string {
		return "dn: cn=" + cn + "," + parent + "\nobjectClass: groupOfNames\ncn: " + cn + "\nmember: " + ldaptest.UserDN(0) + "\n\n"
	}
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: "dn: " + deep + "\nobjectClass: organizationalUnit\nou: deep\n\n" +
		group("staff", ldaptest.GroupsDN) + group("twin", ldaptest.GroupsDN) + group("twin", deep) + group("𝐒taff", deep)})
	for name, c := range map[string]struct {
		required        []string
		mark            doctor.Mark
		finding, remedy string
		details         []string
	}{
		"as they are written":    {[]string{"staff", "CN=Staff, " + ldaptest.GroupsDN, "𝐒taff"}, doctor.OK, "every required group exists: staff; CN=Staff, " + ldaptest.GroupsDN + "; 𝐒taff", "", nil},
		"a look-alike elsewhere": {[]string{"cn=𝐒taff," + ldaptest.GroupsDN}, doctor.Failed, "none of the required groups exists or is visible, so no user may log in: cn=𝐒taff," + ldaptest.GroupsDN, "correct LDAP_REQUIRED_GROUPS", nil},
		"one of them only":       {[]string{"stuff", "staff"}, doctor.Warn, "a required group does not exist or is not visible: stuff", "remove it from LDAP_REQUIRED_GROUPS", nil},
		"a name of two":          {[]string{"twin", "staff"}, doctor.Warn, "the name of a required group matches several entries", "write the DN", []string{"twin: cn=twin," + deep + "; cn=twin," + ldaptest.GroupsDN}},
		"another spelling": {[]string{"commonName=ｓtaff," + ldaptest.GroupsDN}, doctor.Warn, "has another spelling in the directory", "as the directory does",
			[]string{"commonName=ｓtaff," + ldaptest.GroupsDN + " is cn=staff," + ldaptest.GroupsDN + " in the directory"}},
		"all of these": {[]string{"stuff", "twin", "commonName=staff," + ldaptest.GroupsDN}, doctor.Warn, "a required group does not exist or is not visible: stuff", "remove it",
			[]string{"twin: cn=twin," + deep + "; cn=twin," + ldaptest.GroupsDN, "commonName=staff," + ldaptest.GroupsDN + " is cn=staff," + ldaptest.GroupsDN + " in the directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := examine(t, func(o *doctor.Options) {
				o.Logins.Groups = auth.GroupConfig{Enabled: true, BaseDNs: []string{ldaptest.GroupsDN}, Filter: "(member={dn})", NameAttribute: "cn", Required: c.required}
			}, s.URL())
			step := find(t, steps, "groups")
			assert.Equal(t, c.mark, step.Mark)
			assert.Contains(t, step.Finding, c.finding)
			assert.Contains(t, step.Remedy, c.remedy)
			assert.Equal(t, c.details, step.Details)
		})
	}
}
