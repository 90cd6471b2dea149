package doctor_test

import (
	"testing"
	"time"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

// TestAttributes_MissingInTheSchemaAreNamedWithTheLikelyOne, wherever the configuration names
// them.
func TestAttributes_MissingInTheSchemaAreNamedWithTheLikelyOne(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	groups := func(o *doctor.Options) {
		o.Logins.Groups.Enabled, o.Logins.Groups.BaseDNs, o.Logins.Groups.NameAttribute = true, []string{ldaptest.GroupsDN}, "cn"
		o.Logins.Groups.Filter = "(member={dn})"
	}
	for name, c := range map[string]struct {
		change          func(*doctor.Options)
		mark            doctor.Mark
		finding, remedy string
	}{
		"none": {func(*doctor.Options) {}, doctor.OK, "has every configured attribute", ""},
		"good ones": {func(o *doctor.Options) {
			o.Logins.Attributes = []string{"mail", "surname", "2.5.4.3", "cn;lang-en", "jpegPhoto:base64"}
		}, doctor.OK, "has every configured attribute", ""},
		"mial": {func(o *doctor.Options) { o.Logins.Attributes = []string{"cn", "mial"} }, doctor.Warn,
			"has no attribute mial (LDAP_ATTRIBUTES)", "correct mial in LDAP_ATTRIBUTES: did you mean mail?"},
		"with a form": {func(o *doctor.Options) { o.Logins.Attributes = []string{"jpegFoto:base64"} }, doctor.Warn, "jpegFoto (LDAP_ATTRIBUTES)",
			"did you mean jpegPhoto?"},
		"with an option": {func(o *doctor.Options) { o.Logins.Attributes = []string{"tilte;lang-en"} }, doctor.Warn, "tilte;lang-en (LDAP_ATTRIBUTES)",
			"did you mean title?"},
		"an OID": {func(o *doctor.Options) { o.Logins.Attributes = []string{"1.2.3.4.5"} }, doctor.Warn, "1.2.3.4.5 (LDAP_ATTRIBUTES)",
			"correct 1.2.3.4.5 in LDAP_ATTRIBUTES"},
		"nothing like it": {func(o *doctor.Options) { o.Logins.Attributes = []string{"sAMAccountName"} }, doctor.Warn,
			"sAMAccountName (LDAP_ATTRIBUTES)", "correct sAMAccountName in LDAP_ATTRIBUTES"},
		"the name attribute": {func(o *doctor.Options) { o.Logins.NameAttribute = "uidd" }, doctor.Warn, "uidd (LDAP_USER_NAME_ATTRIBUTE)", "did you mean uid?"},
		"the groups' name": {func(o *doctor.Options) {
			groups(o)
			o.Logins.Groups.NameAttribute = "comonName"
		}, doctor.Warn, "comonName (LDAP_GROUP_NAME_ATTRIBUTE)", "did you mean commonName?"},
		"the groups' filter": {func(o *doctor.Options) {
			groups(o)
			o.Logins.Groups.Filter = "(membr={dn})"
		}, doctor.Warn, "membr (LDAP_GROUP_FILTER)", "did you mean member?"},
		"the usual groups' filter": {groups, doctor.OK, "has every configured attribute", ""},
		"by another name than the directory's": {func(o *doctor.Options) {
			o.Logins.Attributes = []string{"pkcs9email", "labeledURI", "1.3.6.1.4.1.250.1.57"}
		}, doctor.Warn,
			"has another name in the directory's answers", "use the directory's own name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := find(t, examine(t, c.change, s.URL()), "attributes")
			assert.Equal(t, c.mark, step.Mark)
			assert.Contains(t, step.Finding, c.finding)
			assert.Contains(t, step.Remedy, c.remedy)
		})
	}
}

// TestAttributes_AreUnknownIfTheSchemaIsHidden: nothing is said of them.
func TestAttributes_AreUnknownIfTheSchemaIsHidden(t *testing.T) {
	t.Parallel()
	s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle)
	step := find(t, examine(t, func(o *doctor.Options) { o.Logins.Attributes = []string{"mial"} }, s.URL()), "attributes")
	assert.Equal(t, doctor.Skipped, step.Mark)
	assert.Contains(t, step.Finding, "does not show its schema")
}

// TestUserFilter_IsNotBlamedForThePlace: no remedy proposes what is set already.
func TestUserFilter_IsNotBlamedForThePlace(t *testing.T) {
	t.Parallel()
	const deep = "ou=deep," + ldaptest.PeopleDN
	const empty = "ou=empty," + ldaptest.BaseDN
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{LDIF: "dn: " + deep + "\nobjectClass: organizationalUnit\nou: deep\n\n" +
		"dn: " + empty + "\nobjectClass: organizationalUnit\nou: empty\n\n" +
		"dn: uid=user0," + deep + "\nobjectClass: inetOrgPerson\nuid: user0\ncn: x\nsn: x\n\n"})
	for name, c := range map[string]struct {
		change          func(*doctor.Options)
		finding, remedy string
	}{
		"the scope": {func(o *doctor.Options) { o.Logins.OneLevel = true },
			"(uid={username}) finds users below " + ldaptest.PeopleDN + ", but none directly below it, and LDAP_USER_SCOPE=one searches only that level; for example " +
				"uid=user0," + deep,
			"set LDAP_USER_SCOPE=sub, or LDAP_BASE_DN=" + deep},
		"the base": {func(o *doctor.Options) { o.Logins.BaseDNs = []string{empty} },
			"(uid={username}) finds no user below " + empty + "; it finds users elsewhere, for example uid=user0," + deep,
			"set LDAP_BASE_DN to the entry above the users: LDAP_BASE_DN=" + deep},
		"the filter, though": {func(o *doctor.Options) { o.Logins.Filter = "(employeeNumber={username})" },
			"no entry below " + ldaptest.PeopleDN + " matches (employeeNumber=*)", "LDAP_USER_FILTER=(uid={username}) finds users, for example " +
				"uid=user0," + deep},
		"the filter and the scope": {func(o *doctor.Options) { o.Logins.Filter, o.Logins.OneLevel = "(employeeNumber={username})", true },
			"no entry below " + ldaptest.PeopleDN + " matches (employeeNumber=*)", "LDAP_USER_FILTER=(uid={username}) is usual"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := find(t, examine(t, c.change, s.URL()), "user filter")
			assert.Equal(t, doctor.Failed, step.Mark)
			assert.Contains(t, step.Finding, c.finding)
			assert.Contains(t, step.Remedy, c.remedy)
		})
	}
}

// TestUserFilter_ProposalOmitsTheCurrentOne where nobody has what it compares.
func TestUserFilter_ProposalOmitsTheCurrentOne(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	for _, oneLevel := range []bool{false, true} {
		step := find(t, examine(t, func(o *doctor.Options) { o.Logins.OneLevel = oneLevel }, s.URL()), "user filter")
		assert.Equal(t, doctor.Failed, step.Mark)
		assert.NotContains(t, step.Remedy, "(uid={username})")
	}
}

// TestLockout_AdviceHasItsPrice, and the better cure first where a directory locks after a few
// failures.
func TestLockout_AdviceHasItsPrice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		max    string
		window time.Duration
		remedy string
	}{
		"few failures": {"3", 5 * time.Minute, "configure the directory to lock after 20 failures or more (pwdMaxFailure), and to unlock automatically after " +
			"some minutes; or " +
			"set AUTH_THROTTLE_FAILURES=1 and AUTH_THROTTLE_ACCOUNT_FAILURES=2 (then after one wrong password a user waits up to 5m0s for the next " +
			"attempt)"},
		"some failures": {"20", 5 * time.Minute, "set AUTH_THROTTLE_FAILURES=10 and AUTH_THROTTLE_ACCOUNT_FAILURES=19 (then after 10 wrong passwords " +
			"a user waits up to 30s for the next attempt), or configure the directory to lock after more failures (pwdMaxFailure)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := ldaptest.NewDirectory()
			tree.RootDSE.Attributes["supportedControl"] = []string{"1.3.6.1.4.1.42.2.27.8.5.1"}
			tree.RootDSE.Attributes["namingContexts"] = []string{ldaptest.BaseDN}
			tree.Entries = append(tree.Entries, ldaptest.Entry{DN: "cn=policy," + ldaptest.BaseDN, Attributes: map[string][]string{
				"objectClass": {"pwdPolicy"}, "pwdLockout": {"TRUE"}, "pwdMaxFailure": {c.max},
			}})
			s := ldaptest.NewServer(t, tree.Handle)
			step := find(t, examine(t, func(o *doctor.Options) { o.ClientFailures, o.AccountFailures, o.Window = 100, 100, c.window }, s.URL()), "lockout")
			assert.Equal(t, doctor.Warn, step.Mark)
			assert.Contains(t, step.Remedy, c.remedy)
		})
	}
}
