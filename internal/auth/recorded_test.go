package auth_test

import (
	"maps"
	"strconv"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
)

// reply is a directory's answer to a bind, as it was recorded.
type reply struct {
	code       uint16
	diagnostic string
	controls   []ldaptest.Control
}

// record is an account of a directory that cannot run here, with its entry and its answers.
type record struct {
	attributes   map[string][]string
	right, wrong reply
}

// startRecorded runs a server that has an entry for each record, and one of the same with -w at the
// end of its name, and answers their binds as recorded.
func startRecorded(t *testing.T, records map[string]record) string {
	t.Helper()
	directory := ldaptest.NewDirectory()
	answers := map[string]record{}
	for name, r := range records {
		for _, name := range []string{name, name + "-w"} {
			dn := "CN=" + name + "," + ldaptest.PeopleDN
			e := ldaptest.Entry{DN: dn, Attributes: map[string][]string{"uid": {name}, "sAMAccountName": {name}}}
			for a, values := range r.attributes {
				e.Attributes[a] = values
			}
			directory.Entries = append(directory.Entries, e)
			answers[dn] = r
		}
	}
	return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		r, ok := answers[req.DN]
		if !isLogin(req) || !ok {
			directory.Handle(c, req)
			return
		}
		answer := r.wrong
		if req.Password == rightPassword {
			answer = r.right
		}
		c.WriteRaw(ldaptest.BindResponse(req.MessageID, answer.code, answer.diagnostic, answer.controls...))
	}).URL()
}

// netscapeExpired is 389 DS' control for a password that has expired or must be changed.
var netscapeExpired = ldaptest.Control{OID: ldap.ControlTypeVChuPasswordMustChange, Value: []byte("0")}

// ppolicy is a password policy response control with this value.
func ppolicy(value string) ldaptest.Control {
	return ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte(value)}
}

// freeIPAStates are FreeIPA's. Its plugins check the account before the password. So an account
// that they refuse is refused in the same way with a wrong password, except for must-change.
func freeIPAStates() []accountState {
	wrong := says(auth.InvalidPassword)
	return []accountState{
		{stateGood, "good", says(auth.OK), wrong},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
		{stateFailures, "failed", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateAdmin, "admin", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateDisabled, "disabled", early(auth.AccountDisabled), early(auth.AccountDisabled)},
		{stateAttribute, "attribute", says(auth.AccountDisabled), wrong},
		{stateEnded, "ended", early(auth.AccountExpired), early(auth.AccountExpired)},
		{stateGrace, "grace", says(auth.OK, auth.GraceLogins), wrong},
		{stateGraceless, "graceless", early(auth.PasswordExpired), early(auth.PasswordExpired)},
		{stateMustChange, "reset", says(auth.MustChangePassword), wrong},
		{stateExpiring, "expiring", says(auth.OK, auth.PasswordExpiring), wrong},
	}
}

// freeIPARecords are what the sources of FreeIPA's plugins answer (daemons/ipa-slapi-plugins:
// ipa-lockout, ipa-pwd-extop, ipa-graceperiod), and 389 DS below them.
func freeIPARecords() map[string]record {
	person := func(more map[string][]string) map[string][]string {
		a := map[string][]string{"objectClass": {"top", "person", "inetOrgPerson", "posixAccount", "ipaObject", "krbPrincipalAux"}}
		maps.Copy(a, more)
		return a
	}
	ok, wrong := reply{}, reply{code: 49}
	always := func(r reply) record { return record{person(nil), r, r} }
	return map[string]record{
		"good":     {person(nil), ok, wrong},
		"failed":   always(reply{code: 53, diagnostic: "Too many failed logins.\n"}),
		"admin":    always(reply{code: 53, diagnostic: "Entry permanently locked.\n"}),
		"disabled": always(reply{53, "Account inactivated. Contact system administrator.", []ldaptest.Control{ppolicy("\x30\x03\x81\x01\x01")}}),
		// The service identity sees the attribute, and a server that does not know of it yet let
		// the bind pass.
		"attribute": {person(map[string][]string{"nsAccountLock": {"TRUE"}}), ok, wrong},
		"ended":     always(reply{code: 53, diagnostic: "Account (Kerberos principal) is expired"}),
		// The plugin counts a grace login and attaches both controls before the password is looked
		// at.
		"grace": {
			person(nil),
			reply{controls: []ldaptest.Control{ppolicy("\x30\x05\xa0\x03\x81\x01\x02"), netscapeExpired}},
			reply{49, "", []ldaptest.Control{ppolicy("\x30\x05\xa0\x03\x81\x01\x01"), netscapeExpired}},
		},
		"graceless": always(reply{49, "Password is expired.\n", []ldaptest.Control{ppolicy("\x30\x08\xa0\x03\x81\x01\x00\x81\x01\x00")}}),
		"expiring":  {person(map[string][]string{"krbPasswordExpiration": {generalized(days(5))}}), ok, wrong},
		// passwordGraceLimit 0: expired, which in FreeIPA is what a reset does, and no grace.
		"reset": {person(nil), reply{controls: []ldaptest.Control{netscapeExpired}}, reply{49, "", []ldaptest.Control{netscapeExpired}}},
	}
}

// adStates are Active Directory's. AD reports every state but the locked one only if the password
// is right.
func adStates() []accountState {
	wrong := says(auth.InvalidPassword)
	return []accountState{
		{stateGood, "good", says(auth.OK), wrong},
		{stateUnknown, "nobody", says(auth.InvalidUser), says(auth.InvalidUser)},
		{stateFailures, "failed", early(auth.AccountLocked), early(auth.AccountLocked)},
		{stateDisabled, "disabled", says(auth.AccountDisabled), wrong},
		{stateAttribute, "attribute", says(auth.AccountDisabled), wrong},
		{stateEnded, "ended", says(auth.AccountExpired), wrong},
		{stateExpired, "expired", says(auth.PasswordExpired), wrong},
		{stateMustChange, "reset", says(auth.MustChangePassword), wrong},
		{stateExpiring, "expiring", says(auth.OK, auth.PasswordExpiring), wrong},
		{stateHours, "hours", says(auth.NotPermitted), wrong},
		{stateComputer, "pc1$", says(auth.InvalidUser), says(auth.InvalidUser)},
	}
}

// adRecords are what Windows Server 2016 answers.
func adRecords() map[string]record {
	user := func(control int, more map[string][]string) map[string][]string {
		a := map[string][]string{
			"objectClass": {"top", "person", "organizationalPerson", "user"}, "objectCategory": {"person"},
			"userAccountControl": {strconv.Itoa(control)}, "msDS-UserPasswordExpiryTimeComputed": {"9223372036854775807"},
		}
		maps.Copy(a, more)
		return a
	}
	data := func(code string) reply {
		return reply{code: 49, diagnostic: "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data " + code + ", v3839\x00"}
	}
	const normal = 512
	wrong := data("52e")
	return map[string]record{
		"good":      {user(normal, nil), reply{}, wrong},
		"failed":    {user(normal, nil), data("775"), data("775")},
		"disabled":  {user(normal+2, nil), data("533"), wrong},
		"attribute": {user(normal+2, nil), reply{}, wrong},
		"ended":     {user(normal, nil), data("701"), wrong},
		"expired":   {user(normal, nil), data("532"), wrong},
		"reset":     {user(normal, map[string][]string{"msDS-UserPasswordExpiryTimeComputed": {"0"}}), data("773"), wrong},
		"expiring":  {user(normal, map[string][]string{"msDS-UserPasswordExpiryTimeComputed": {filetime(days(5))}}), reply{}, wrong},
		"hours":     {user(normal, nil), data("530"), wrong},
		"pc1$":      {user(4096, nil), reply{}, wrong},
	}
}

// filetime is a time as AD stores it: 100 ns since 1601 ([MS-DTYP] section 2.3.3).
func filetime(at time.Time) string { return strconv.FormatInt((at.Unix()+11644473600)*10_000_000, 10) }
