package auth

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// windowsTexts are diagnostic messages of refused simple binds as servers of each generation send them, %s for the sub-code. The
// version is the build's number in hexadecimal; the DSID, the place in the source, differs by build.
func windowsTexts() map[string]string {
	const text = "80090308: LdapErr: DSID-%s, comment: AcceptSecurityContext error, data %%s, %s"
	all := map[string]string{}
	for server, parts := range map[string][2]string{
		"Windows 2000":             {"0C09030B", "v893"},
		"Windows Server 2003":      {"0C090334", "vece"},
		"Windows Server 2008":      {"0C0903AA", "v1771"},
		"Windows Server 2008 R2":   {"0C0903A9", "v1db1"},
		"Windows Server 2012":      {"0C0903C5", "v23f0"},
		"Windows Server 2012 R2":   {"0C0903D3", "v2580"},
		"Windows Server 2016":      {"0C090446", "v3839"},
		"Windows Server 2019":      {"0C090447", "v4563"},
		"Windows Server 2022":      {"0C090569", "v4f7c"},
		"Windows Server 2025":      {"0C09058A", "v65f4"},
		"Samba (ldapsrv_bind_err)": {"0C0903A9", "v1db1"},
	} {
		all[server] = fmt.Sprintf(text, parts[0], parts[1])
		all[server+", with the NUL that ends it in C"] = all[server] + "\x00"
	}
	all["a SASL bind"] = "8009030C: LdapErr: DSID-0C0904DC, comment: AcceptSecurityContext error, data %s, v1db1"
	return all
}

func TestContract_SubCodesOfAD(t *testing.T) {
	t.Parallel()
	for server, text := range windowsTexts() {
		for code, want := range map[string]verdict{
			"525": {outcome: InvalidUser},
			"52e": {outcome: InvalidPassword},
			"52E": {outcome: InvalidPassword},
			"52f": {outcome: NotPermitted},
			"530": {outcome: NotPermitted},
			"531": {outcome: NotPermitted},
			"532": {outcome: PasswordExpired},
			"533": {outcome: AccountDisabled},
			"569": {outcome: NotPermitted},
			"701": {outcome: AccountExpired},
			"773": {outcome: MustChangePassword},
			"775": {outcome: AccountLocked, early: true},
			"51f": {outcome: DirectoryUnavailable},
			// Others: AD LDS' "no such object", invalid parameter, a disabled guest, nothing at all.
			"2030":     {outcome: InvalidPassword, notice: "AD refused a bind with the unknown sub-code 2030"},
			"57":       {outcome: InvalidPassword, notice: "AD refused a bind with the unknown sub-code 57"},
			"0":        {outcome: InvalidPassword, notice: "AD refused a bind with the unknown sub-code 0"},
			"80090308": {outcome: InvalidPassword, notice: "AD refused a bind with the unknown sub-code 80090308"},
		} {
			r := judgeBind(AD, ldappool.Result{Code: 49, Diagnostic: fmt.Sprintf(text, code)}, InvalidUser)
			require.Equal(t, want.outcome, r.Outcome, "%s of %s", code, server)
			require.Equal(t, want.notice, r.Notice)
			require.Equal(t, want.seen(), r.PasswordSeen)
			require.Equal(t, strings.ToLower(code), r.Bind.SubCode)
			require.Equal(t, want.outcome == DirectoryUnavailable, r.RetryAfter > 0)
			require.ErrorContains(t, r.Cause, "data "+code)
		}
		r := judgeBind(AD, ldappool.Result{Code: 49, Diagnostic: fmt.Sprintf(text, "525")}, InvalidPassword)
		require.Equal(t, InvalidPassword, r.Outcome, "where a template makes the name")
	}
}

func TestATextOfADWithoutASubCodeIsAWrongPasswordAndANotice(t *testing.T) {
	t.Parallel()
	const start = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data "
	for _, diagnostic := range []string{
		"", "\x00", "data 775", "data 775,", "Invalid credentials", strings.TrimSuffix(start, " "), start, start + "775", start + ",", start + " 775,",
		start + "0x775,", start + "+775,", start + "-775,", start + "7_75,", start + "77g,", start + "100000775,", start + "775 ,",
		"acceptsecuritycontext error, data 775,", "NT_STATUS_ACCOUNT_LOCKED_OUT",
	} {
		r := judgeBind(AD, ldappool.Result{Code: 49, Diagnostic: diagnostic}, InvalidUser)
		require.Equal(t, InvalidPassword, r.Outcome, "%q", diagnostic)
		require.Equal(t, "AD refused a bind without a sub-code", r.Notice, "%q", diagnostic)
		require.Empty(t, r.Bind.SubCode)
	}
}

// TestOtherCodesOfADAreVerdictsOnlyWithASubCode: a proxy before AD passes it on with a code of its own.
func TestOtherCodesOfADAreVerdictsOnlyWithASubCode(t *testing.T) {
	t.Parallel()
	const text = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data %s, v3839"
	for _, code := range resultCodes() {
		r := judgeBind(AD, ldappool.Result{Code: code, Diagnostic: fmt.Sprintf(text, "533")}, InvalidUser)
		switch code {
		case 19, 49, 50, 53:
			require.Equal(t, AccountDisabled, r.Outcome, "%d", code)
			r = judgeBind(AD, ldappool.Result{Code: code, Diagnostic: fmt.Sprintf(text, "57")}, InvalidUser)
			require.Equal(t, code != 49, r.Outcome.IsFault(), "%d with an unknown one", code)
			r = judgeBind(AD, ldappool.Result{Code: code, Diagnostic: "00002035: LdapErr: DSID-0C09075A, comment: The server is unwilling"}, InvalidUser)
			require.Equal(t, code != 49, r.Outcome.IsFault(), "%d without", code)
		default:
			require.Equal(t, judgeBind(OpenLDAP, ldappool.Result{Code: code}, InvalidUser).Outcome, r.Outcome, "%d", code)
		}
	}
}

func FuzzADDiagnostic(f *testing.F) {
	for _, text := range windowsTexts() {
		f.Add(fmt.Sprintf(text, "52e"))
	}
	f.Add("data 775,")
	f.Add(adMark + "775,")
	f.Add(adMark + "fffffffff,")
	f.Add(adMark + adMark + "775,")
	f.Fuzz(func(t *testing.T, diagnostic string) {
		code, ok := adSubcode(diagnostic)
		if ok {
			_, rest, found := strings.Cut(diagnostic, adMark)
			require.True(t, found)
			digits, _, found := strings.Cut(rest, ",")
			require.True(t, found)
			require.Equal(t, strconv.FormatUint(uint64(code), 16), max(strings.TrimLeft(strings.ToLower(digits), "0"), "0"), "%q", diagnostic)
		}
		for _, p := range Presets() {
			r := judgeBind(p, ldappool.Result{Code: ldap.LDAPResultInvalidCredentials, Diagnostic: diagnostic}, InvalidUser)
			require.NotEqual(t, OK, r.Outcome)
			require.True(t, r.Outcome.IsVerdict() || p == AD && code == adNoLogonServers, "%v: %q is %v", p, diagnostic, r.Outcome)
			require.Equal(t, p == AD && ok, r.Bind.SubCode != "")
		}
	})
}

func TestGUIDsAndSIDsHaveTheirUsualText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ attribute, value, want string }{
		"a GUID":                      {"objectGUID", "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", "00112233-4455-6677-8899-aabbccddeeff"},
		"a GUID that is UTF-8":        {"objectguid", "abcdefghijklmnop", "64636261-6665-6867-696a-6b6c6d6e6f70"},
		"a GUID that is too short":    {"objectGUID", "\xff", "/w=="},
		"a user's SID":                {"objectSid", "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff\xf4\x01\x00\x00", "S-1-5-21-1-2-4294967295-500"},
		"everyone's SID":              {"OBJECTSID", "\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", "S-1-1-0"},
		"a SID without sub-authority": {"objectSid", "\x01\x00\x00\x00\x00\x00\x00\x05", "S-1-5"},
		"a SID of a large authority":  {"objectSid", "\x01\x00\xff\x00\x00\x00\x00\x05", "S-1-0xff0000000005"},
		"a SID of another revision":   {"objectSid", "\x02\x00\x00\x00\x00\x00\x00\x05", "\x02\x00\x00\x00\x00\x00\x00\x05"},
		"a SID that is too short":     {"objectSid", "\x01\x01\x00\x00\x00\x00\x00\x05\xff", "AQEAAAAAAAX/"},
		"a SID that is too long":      {"objectSid", "\x01\x00\x00\x00\x00\x00\x00\x05\xff", "AQAAAAAAAAX/"},
		"another attribute":           {"otherGUID", "abcdefghijklmnop", "abcdefghijklmnop"},
	} {
		require.Equal(t, c.want, text(c.attribute, c.value), name)
	}
}

func TestAPasswordOfADThatExpiresSoonIsWarnedOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return strconv.FormatInt((now.Add(d).Unix()+11644473600)*1e7, 10) }
	warning := func(seconds int64) []Warning { return []Warning{{PasswordExpiring, seconds}} }
	for name, c := range map[string]struct {
		value string
		want  []Warning
	}{
		"in 3 days":                     {in(72 * time.Hour), warning(3 * 24 * 3600)},
		"in 14 days":                    {in(expiryNotice), warning(14 * 24 * 3600)},
		"in 14 days and a second":       {in(expiryNotice + time.Second), nil},
		"in a second":                   {in(time.Second), warning(1)},
		"a second ago by our clock":     {in(-time.Second), warning(0)},
		"never":                         {strconv.FormatInt(math.MaxInt64, 10), nil},
		"must be changed":               {"0", nil},
		"negative":                      {"-9223372036854775808", nil},
		"in 1601":                       {"1", warning(0)},
		"not for the service to see":    {"", nil},
		"not a number":                  {"soon", nil},
		"the largest but one is a time": {strconv.FormatInt(math.MaxInt64-1, 10), nil},
	} {
		e := ldap.NewEntry("CN=x", map[string][]string{"msds-userpasswordexpirytimecomputed": {c.value}})
		require.Equal(t, c.want, AD.expiry(e, now), name)
		require.Nil(t, OpenLDAP.expiry(e, now), name)
	}
}

func TestAPasswordOfFreeIPAThatExpiresSoonIsWarnedOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string][]Warning{
		"20260103000000Z":     {{PasswordExpiring, 2 * 24 * 3600}},
		"20260115000000Z":     {{PasswordExpiring, 14 * 24 * 3600}},
		"20260115000001Z":     nil,
		"20251231235959Z":     {{PasswordExpiring, 0}}, // FreeIPA let in nevertheless
		"20380119031407Z":     nil,
		"":                    nil,
		"20260103":            nil,
		"20260103000000+0100": nil,
		"20261303000000Z":     nil,
	} {
		e := ldap.NewEntry("uid=x", map[string][]string{"krbPasswordExpiration": {value}})
		require.Equal(t, want, FreeIPA.expiry(e, now), "%q", value)
		require.Nil(t, DS389.expiry(e, now), "%q", value)
	}
}
