package auth

import (
	"errors"
	"fmt"
	"testing"

	"authsvc/ldappool"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// decoded is what comes of a control's value on its way: go-ldap's decoder, and then readPolicy. A panic is an error, as the pool
// has it.
func decoded(oid string, value []byte) (p policy, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	packet := ber.NewSequence("")
	packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, oid, ""))
	packet.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, string(value), ""))
	packet, err = ber.DecodePacketErr(packet.Bytes())
	if err != nil {
		return policy{}, err
	}
	control, err := ldap.DecodeControl(packet)
	if err != nil {
		return policy{}, err
	}
	return readPolicy([]ldap.Control{control})
}

// strict reads PasswordPolicyResponseValue (draft-behera-ldap-password-policy-10 section 6.2) byte by byte, as short as DER has it:
//
//	SEQUENCE { warning [0] CHOICE { timeBeforeExpiration [0] INTEGER, graceAuthNsRemaining [1] INTEGER } OPTIONAL,
//	           error [1] ENUMERATED OPTIONAL }
func strict(b []byte) (policy, error) {
	p := policy{err: noPolicyError, expires: none, grace: none}
	body, rest, err := element(b, 0x30)
	if err != nil || len(rest) > 0 {
		return p, errors.New("no sequence")
	}
	if len(body) > 0 && body[0] == 0xa0 {
		var warning []byte
		if warning, body, err = element(body, 0xa0); err != nil || len(warning) == 0 {
			return p, errors.New("no warning")
		}
		target := &p.expires
		if warning[0] == 0x81 {
			target = &p.grace
		}
		number, rest, err := element(warning, 0x80|warning[0]&1)
		if err != nil || len(rest) > 0 || len(number) < 1 || len(number) > 4 || number[0] > 0x7f {
			return p, errors.New("no number")
		}
		*target = 0
		for _, c := range number {
			*target = *target<<8 | int64(c)
		}
	}
	if len(body) == 0 {
		return p, nil
	}
	number, rest, err := element(body, 0x81)
	if err != nil || len(rest) > 0 || len(number) != 1 || number[0] > 8 {
		return p, errors.New("no error")
	}
	p.err = policyError(number[0])
	return p, nil
}

// element takes an element with this tag and a short length off b.
func element(b []byte, tag byte) (content, rest []byte, err error) {
	if len(b) < 2 || b[0] != tag || b[1] > 0x7f || len(b) < 2+int(b[1]) {
		return nil, nil, errors.New("another element")
	}
	return b[2 : 2+b[1]], b[2+b[1]:], nil
}

// policyValues are values of the control, good ones and bad.
var policyValues = []string{
	"\x30\x00",
	"\x30\x03\x81\x01\x00", "\x30\x03\x81\x01\x01", "\x30\x03\x81\x01\x02", "\x30\x03\x81\x01\x08", "\x30\x03\x81\x01\x09", "\x30\x03\x81\x01\xff",
	"\x30\x05\xa0\x03\x80\x01\x00", "\x30\x05\xa0\x03\x80\x01\x7f", "\x30\x07\xa0\x05\x80\x03\x01\x51\x80", "\x30\x08\xa0\x06\x80\x04\x7f\xff\xff\xff",
	"\x30\x09\xa0\x07\x80\x05\x00\x80\x00\x00\x00", "\x30\x05\xa0\x03\x80\x01\xff", "\x30\x05\xa0\x03\x80\x01\x80", "\x30\x0d\xa0\x0b\x80\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x30\x05\xa0\x03\x81\x01\x03", "\x30\x08\xa0\x03\x81\x01\x00\x81\x01\x00", "\x30\x0a\xa0\x05\x80\x03\x01\x51\x80\x81\x01\x02",
	"\x30\x0a\xa0\x03\x80\x01\x05\xa0\x03\x81\x01\x05", "\x30\x06\x81\x01\x01\x81\x01\x02", "", "\x30", "\x30\x80\x00\x00", "\x81\x01\x01", "\x30\x02\xa0\x00", "\x30\x02\x81\x00",
	"\x30\x04\x81\x02\x00\x01", "\x30\x03\x81\x01\x01\x00", "\x30\x04\xa0\x02\x80\x00", "\x30\x03\x82\x01\x01", "\x04\x00", "\x30\x06\xa0\x01\x80\x81\x01\x01",
}

func TestAnEmptyPolicyControlSaysNothingAndErrorZeroDoes(t *testing.T) {
	t.Parallel()
	p, err := decoded(ldap.ControlTypeBeheraPasswordPolicy, []byte("\x30\x00"))
	require.NoError(t, err)
	require.Equal(t, policy{err: noPolicyError, expires: none, grace: none}, p)
	p, err = decoded(ldap.ControlTypeBeheraPasswordPolicy, []byte("\x30\x03\x81\x01\x00"))
	require.NoError(t, err)
	require.Equal(t, passwordExpired, p.err)
	p, err = decoded(ldap.ControlTypeBeheraPasswordPolicy, []byte("\x30\x0a\xa0\x05\x80\x03\x01\x51\x80\x81\x01\x02"))
	require.NoError(t, err)
	require.Equal(t, policy{err: changeAfterReset, expires: 86400, grace: none}, p)
}

func FuzzPolicyControl(f *testing.F) {
	for _, v := range policyValues {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := decoded(ldap.ControlTypeBeheraPasswordPolicy, value)
		if want, wrong := strict(value); wrong == nil {
			require.NoError(t, err, "%x", value)
			require.Equal(t, want, got, "%x", value)
		}
		if err == nil {
			require.True(t, got.err >= noPolicyError && got.err <= lastPolicyError && isCount(got.expires) && isCount(got.grace))
			for _, w := range got.warnings() {
				require.GreaterOrEqual(t, w.Count, int64(0))
			}
		}
	})
}

func FuzzNetscapeExpiringControl(f *testing.F) {
	for _, v := range []string{"0", "86400", "-1", "", "2147483647", "2147483648", "+5", " 5", "5 ", "1e3", "0x5", "99999999999999999999", "\x00", "００"} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := decoded(ldap.ControlTypeVChuPasswordWarning, value)
		if err == nil {
			require.True(t, got.expires >= 0 && isCount(got.expires), "%q is %d", value, got.expires)
			require.Equal(t, []Warning{{PasswordExpiring, got.expires}}, got.warnings())
		}
	})
}

// behera is go-ldap's idea of a password policy control.
func behera(e int8, expire, grace int64) ldap.Control {
	return &ldap.ControlBeheraPasswordPolicy{Error: e, Expire: expire, Grace: grace}
}

var (
	expiredControl = &ldap.ControlVChuPasswordMustChange{MustChange: true}
	unrelated      = ldap.NewControlString("1.2.3.4", false, "x")
)

func expiringControl(seconds int64) ldap.Control {
	return &ldap.ControlVChuPasswordWarning{Expire: seconds}
}

func TestControlsThatCannotBeAreAFaultWhateverTheCodeSays(t *testing.T) {
	t.Parallel()
	for name, controls := range map[string][]ldap.Control{
		"two policy controls":           {behera(-1, -1, -1), behera(-1, -1, -1)},
		"an unknown error":              {behera(9, -1, -1)},
		"an error below none":           {behera(-2, -1, -1)},
		"two warnings in one":           {behera(-1, 5, 5)},
		"seconds below none":            {behera(-1, -2, -1)},
		"logins below none":             {behera(-1, -1, -2)},
		"seconds beyond maxInt":         {behera(-1, 1<<31, -1)},
		"two of Netscape's":             {expiringControl(5), expiringControl(6)},
		"Netscape's below none":         {expiringControl(-1)},
		"Netscape's beyond maxInt":      {expiringControl(1 << 31)},
		"one that is right and another": {behera(-1, 5, -1), expiringControl(-5)},
	} {
		for _, p := range Presets() {
			for _, code := range []uint16{0, 49, 53} {
				r := judgeBind(p, ldappool.Result{Code: code, Controls: controls, Server: "ldap://here"}, InvalidUser)
				requireJudged(t, DirectoryUnavailable, r, "bind ldap://here", errPolicy.Error())
				require.Empty(t, r.Bind.Policy, name)
			}
		}
	}
}

func TestASuccessIsWhatItsControlsMakeOfIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		controls []ldap.Control
		want     Outcome
		warnings []Warning
	}{
		"none":                               {nil, OK, nil},
		"one that nobody asked for":          {[]ldap.Control{unrelated}, OK, nil},
		"an empty one":                       {[]ldap.Control{behera(-1, -1, -1)}, OK, nil},
		"expiring":                           {[]ldap.Control{behera(-1, 86400, -1)}, OK, []Warning{{PasswordExpiring, 86400}}},
		"expiring now":                       {[]ldap.Control{behera(-1, 0, -1)}, OK, []Warning{{PasswordExpiring, 0}}},
		"grace":                              {[]ldap.Control{behera(-1, -1, 2)}, OK, []Warning{{GraceLogins, 2}}},
		"the last grace login":               {[]ldap.Control{behera(-1, -1, 0)}, OK, []Warning{{GraceLogins, 0}}},
		"grace and Netscape's expired":       {[]ldap.Control{expiredControl, behera(-1, -1, 2)}, OK, []Warning{{GraceLogins, 2}}},
		"Netscape's expiring":                {[]ldap.Control{expiringControl(5)}, OK, []Warning{{PasswordExpiring, 5}}},
		"both kinds of expiring":             {[]ldap.Control{expiringControl(5), behera(-1, 6, -1)}, OK, []Warning{{PasswordExpiring, 6}}},
		"passwordExpired":                    {[]ldap.Control{behera(0, -1, -1)}, PasswordExpired, nil},
		"accountLocked":                      {[]ldap.Control{behera(1, -1, -1)}, AccountLocked, nil},
		"changeAfterReset":                   {[]ldap.Control{behera(2, -1, -1)}, MustChangePassword, nil},
		"changeAfterReset, and expiring":     {[]ldap.Control{behera(2, 86400, -1)}, MustChangePassword, nil},
		"changeAfterReset, and Netscape's":   {[]ldap.Control{behera(2, -1, -1), expiredControl}, MustChangePassword, nil},
		"Netscape's expired alone":           {[]ldap.Control{expiredControl}, MustChangePassword, nil},
		"Netscape's beside an empty one":     {[]ldap.Control{expiredControl, behera(-1, -1, -1)}, MustChangePassword, nil},
		"an error of a password's change":    {[]ldap.Control{behera(5, -1, -1)}, DirectoryUnavailable, nil},
		"another error of a password change": {[]ldap.Control{behera(8, -1, -1)}, DirectoryUnavailable, nil},
	} {
		for _, p := range Presets() {
			r := judgeBind(p, ldappool.Result{Controls: c.controls}, InvalidUser)
			requireJudged(t, c.want, r)
			require.Equal(t, c.warnings, r.Warnings, name)
		}
	}
}

// TestTheControlsErrorComesBeforeTheCode, where the code may speak of an account at all.
func TestTheControlsErrorComesBeforeTheCode(t *testing.T) {
	t.Parallel()
	for e, want := range map[int8]Outcome{0: PasswordExpired, 1: AccountLocked, 2: MustChangePassword} {
		for _, code := range resultCodes() {
			if code == 0 {
				continue
			}
			r := judgeBind(OpenLDAP, ldappool.Result{Code: code, Controls: []ldap.Control{behera(e, -1, -1)}}, InvalidUser)
			switch code {
			case 49, 53, 19, 50:
				require.Equal(t, want, r.Outcome)
				require.ErrorContains(t, r.Cause, "password policy: "+policyError(e).String())
			default:
				require.Equal(t, judgeBind(OpenLDAP, ldappool.Result{Code: code}, InvalidUser).Outcome, r.Outcome, "%d", code)
			}
			require.Equal(t, policyError(e).String(), r.Bind.Policy)
		}
	}
	for e := int8(3); e <= 8; e++ { // about changing a password
		r := judgeBind(OpenLDAP, ldappool.Result{Code: 49, Controls: []ldap.Control{behera(e, -1, -1)}}, InvalidUser)
		require.Equal(t, InvalidPassword, r.Outcome)
		r = judgeBind(OpenLDAP, ldappool.Result{Code: 53, Controls: []ldap.Control{behera(e, -1, -1)}}, InvalidUser)
		require.Equal(t, DirectoryUnavailable, r.Outcome)
	}
}

// TestNetscapesControlOnARefusalIsAnExpiredPasswordButAtFreeIPA, whose plugin attaches it to a wrong password too.
func TestNetscapesControlOnARefusalIsAnExpiredPasswordButAtFreeIPA(t *testing.T) {
	t.Parallel()
	for p, want := range map[Preset]Outcome{OpenLDAP: PasswordExpired, DS389: PasswordExpired, AD: InvalidPassword, FreeIPA: InvalidPassword} {
		r := judgeBind(p, ldappool.Result{Code: 49, Controls: []ldap.Control{expiredControl}}, InvalidUser)
		require.Equal(t, want, r.Outcome, "%v", p)
	}
}

// TestWordsCountOnlyWithTheirCodeAtTheirDirectory, and other words are a fault.
func TestWordsCountOnlyWithTheirCodeAtTheirDirectory(t *testing.T) {
	t.Parallel()
	for _, w := range words389 {
		for _, p := range Presets() {
			for _, code := range []uint16{19, 49, 50, 53} {
				r := judgeBind(p, ldappool.Result{Code: code, Diagnostic: w.words + " And more."}, InvalidUser)
				switch known := code == w.code && (p == FreeIPA || p == DS389 && w.preset == DS389); {
				case known:
					require.Equal(t, w.verdict.outcome, r.Outcome, "%v: %s", p, w.words)
					require.Equal(t, !w.verdict.early, r.PasswordSeen)
				case code == 49:
					require.Equal(t, InvalidPassword, r.Outcome, "%v: %s", p, w.words)
				default:
					require.Equal(t, DirectoryUnavailable, r.Outcome, "%v %d: %s", p, code, w.words)
				}
			}
			r := judgeBind(p, ldappool.Result{Code: w.code, Diagnostic: "They say: " + w.words}, InvalidUser)
			require.Equal(t, w.code != 49, r.Outcome.IsFault(), "%v: words in the middle", p)
		}
	}
	// 389 DS tells it as locked by the control, as disabled by its words.
	inactivated := ldappool.Result{Code: 53, Diagnostic: "Account inactivated. Contact system administrator.", Controls: []ldap.Control{behera(1, -1, -1)}}
	require.Equal(t, AccountDisabled, judgeBind(DS389, inactivated, InvalidUser).Outcome)
	require.Equal(t, AccountLocked, judgeBind(OpenLDAP, inactivated, InvalidUser).Outcome)
}

func TestAPresetHasItsNameAndNoOther(t *testing.T) {
	t.Parallel()
	for _, p := range Presets() {
		got, err := ParsePreset(p.String())
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	for _, name := range []string{"", "AD", "activedirectory", "389DS", "preset_9"} {
		_, err := ParsePreset(name)
		require.EqualError(t, err, fmt.Sprintf("auth: there is no preset %q", name))
	}
	require.Equal(t, "preset_9", Preset(9).String())
}
