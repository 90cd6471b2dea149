package dialect

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

// windowsTexts are diagnostic messages of refused simple binds as servers of each generation send
// them, %s for the sub-code. The version is the build's number in hexadecimal; the DSID, the place
// in the source, differs by build.
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
		for code, want := range map[string]Answer{
			"525": {Verdict: NoSuchEntry, NotCompared: true},
			"52e": {Verdict: WrongPassword},
			"52E": {Verdict: WrongPassword},
			"52f": {Verdict: NotPermitted},
			"530": {Verdict: NotPermitted},
			"531": {Verdict: NotPermitted},
			"532": {Verdict: PasswordExpired},
			"533": {Verdict: Disabled},
			"569": {Verdict: NotPermitted},
			"701": {Verdict: AccountExpired},
			"773": {Verdict: MustChange},
			"775": {Verdict: Locked, BeforePassword: true},
			"8":   {Verdict: Unavailable},
			"e":   {Verdict: Unavailable},
			"51f": {Verdict: Unavailable},
			"54f": {Verdict: Unavailable},
			"5aa": {Verdict: Unavailable},
			"6ba": {Verdict: Unavailable},
			"6bb": {Verdict: Unavailable},
			"6fb": {Verdict: Unavailable},
			"6fc": {Verdict: Unavailable},
			"6fd": {Verdict: Unavailable},
			"6fe": {Verdict: Unavailable},
			"721": {Verdict: Unavailable},
			// Others: AD LDS' "no such object", invalid parameter, a disabled guest, nothing at
			// all.
			"2030":     {Verdict: WrongPassword, Notice: "AD rejected a bind with the unknown sub-code 2030"},
			"57":       {Verdict: WrongPassword, Notice: "AD rejected a bind with the unknown sub-code 57"},
			"0":        {Verdict: WrongPassword, Notice: "AD rejected a bind with the unknown sub-code 0"},
			"80090308": {Verdict: WrongPassword, Notice: "AD rejected a bind with the unknown sub-code 80090308"},
		} {
			r := judged(t, &ad, ldappool.Result{Code: 49, Diagnostic: fmt.Sprintf(text, code)})
			want.SubCode = strings.ToLower(code)
			require.Equal(t, want, r, "%s of %s", code, server)
			require.Equal(t, want.Verdict >= Locked && want.Verdict <= NotPermitted && code != "775", r.PasswordSeen())
		}
	}
}

func TestAD_TextWithoutASubCodeIsAWrongPasswordWithANotice(t *testing.T) {
	t.Parallel()
	const start = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data "
	for _, diagnostic := range []string{
		"", "\x00", "data 775", "data 775,", "Invalid credentials", strings.TrimSuffix(start, " "), start, start + "775", start + ",", start + " 775,",
		start + "0x775,", start + "+775,", start + "-775,", start + "7_75,", start + "77g,", start + "100000775,", start + "775 ,",
		"acceptsecuritycontext error, data 775,", "NT_STATUS_ACCOUNT_LOCKED_OUT",
	} {
		r := judged(t, &ad, ldappool.Result{Code: 49, Diagnostic: diagnostic})
		require.Equal(t, WrongPassword, r.Verdict, "%q", diagnostic)
		require.Equal(t, "AD rejected a bind without a sub-code", r.Notice, "%q", diagnostic)
		require.Empty(t, r.SubCode)
	}
}

// TestAD_OtherCodesAreVerdictsOnlyWithASubCode: a proxy before AD passes it on with a code of its
// own.
func TestAD_OtherCodesAreVerdictsOnlyWithASubCode(t *testing.T) {
	t.Parallel()
	const text = "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data %s, v3839"
	for _, code := range resultCodes() {
		r := judged(t, &ad, ldappool.Result{Code: code, Diagnostic: fmt.Sprintf(text, "533")})
		switch code {
		case 19, 49, 50, 53:
			require.Equal(t, Disabled, r.Verdict, "%d", code)
			r = judged(t, &ad, ldappool.Result{Code: code, Diagnostic: fmt.Sprintf(text, "57")})
			require.Equal(t, code != 49, r.Verdict == NoVerdict, "%d with an unknown one", code)
			r = judged(t, &ad, ldappool.Result{Code: code, Diagnostic: "00002035: LdapErr: DSID-0C09075A, comment: The server is unwilling"})
			require.Equal(t, code != 49, r.Verdict == NoVerdict, "%d without", code)
		default:
			require.Equal(t, judged(t, &openLDAP, ldappool.Result{Code: code}).Verdict, r.Verdict, "%d", code)
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
		for _, p := range All() {
			r := judged(t, p, ldappool.Result{Code: ldap.LDAPResultInvalidCredentials, Diagnostic: diagnostic})
			require.NotEqual(t, Accepted, r.Verdict)
			require.NotEqual(t, NoVerdict, r.Verdict)
			require.True(t, r.Verdict != Unavailable || p == &ad && code == adNoLogonServers, "%v: %q is %v", p, diagnostic, r.Verdict)
			require.Equal(t, p == &ad && ok, r.SubCode != "")
		}
	})
}

func TestAD_WarnsOfAPasswordThatExpiresSoon(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return strconv.FormatInt((now.Add(d).Unix()+11644473600)*1e7, 10) }
	warning := func(seconds int64) Warning { return Warning{PasswordExpires, seconds} }
	for name, c := range map[string]struct {
		value string
		want  Warning
	}{
		"in 3 days":                     {in(72 * time.Hour), warning(3 * 24 * 3600)},
		"in 14 days":                    {in(expiryNotice), warning(14 * 24 * 3600)},
		"in 14 days and a second":       {in(expiryNotice + time.Second), Warning{}},
		"in a second":                   {in(time.Second), warning(1)},
		"a second ago by our clock":     {in(-time.Second), warning(0)},
		"never":                         {strconv.FormatInt(math.MaxInt64, 10), Warning{}},
		"must be changed":               {"0", Warning{}},
		"negative":                      {"-9223372036854775808", Warning{}},
		"in 1601":                       {"1", warning(0)},
		"not for the service to see":    {"", Warning{}},
		"not a number":                  {"soon", Warning{}},
		"the largest but one is a time": {strconv.FormatInt(math.MaxInt64-1, 10), Warning{}},
	} {
		e := ldap.NewEntry("CN=x", map[string][]string{"msds-userpasswordexpirytimecomputed": {c.value}})
		require.Equal(t, c.want, ad.Expiry(e, now), name)
		require.Zero(t, openLDAP.Expiry(e, now), name)
	}
}

func TestFreeIPA_WarnsOfAPasswordThatExpiresSoon(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]Warning{
		"20260103000000Z":     {PasswordExpires, 2 * 24 * 3600},
		"20260115000000Z":     {PasswordExpires, 14 * 24 * 3600},
		"20260115000001Z":     {},
		"20251231235959Z":     {PasswordExpires, 0}, // FreeIPA let in nevertheless
		"20380119031407Z":     {},
		"":                    {},
		"20260103":            {},
		"20260103000000+0100": {},
		"20261303000000Z":     {},
	} {
		e := ldap.NewEntry("uid=x", map[string][]string{"krbPasswordExpiration": {value}})
		require.Equal(t, want, freeIPA.Expiry(e, now), "%q", value)
		require.Zero(t, ds389.Expiry(e, now), "%q", value)
	}
}
