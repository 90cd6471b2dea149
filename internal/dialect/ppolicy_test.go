package dialect

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"testing"

	"authsvc/internal/memtest"
	"authsvc/ldappool"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// decoded is what comes of a control with that value.
func decoded(oid string, value []byte) (policy, error) {
	return readPolicy([]ldappool.Control{{OID: oid, Value: value}})
}

// strict reads PasswordPolicyResponseValue (draft-behera-ldap-password-policy-10 section 6.2) byte
// by byte, as short as DER has it:
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
		if err != nil || len(rest) > 0 || len(number) < 1 || len(number) > 4 || number[0] > 0x7f ||
			len(number) > 1 && number[0] == 0 && number[1] < 0x80 {
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
	"\x81\x01\x00", "\x05\x00", "\x30\x00\xff\xff", "\x30\x00\x00", "\x30\x03\x81\x01\x00\x30\x00", "\x31\x00", "\xa0\x03\x80\x01\x05",
	"\x30\x81\x03\x81\x01\x00", "\x30\x84\x00\x00\x00\x00", "\x30\x03\x0a\x01\x00", "\x30\x03\xa1\x01\x00", "\x30\x06\x81\x01\x00\x82\x01\x00",
	"\x30\x08\x81\x01\x00\xa0\x03\x80\x01\x00", "\x30\x08\xa0\x06\x80\x01\x00\x81\x01\x00", "\x30\x05\xa0\x03\x82\x01\x00", "\x30\x05\x80\x03\x80\x01\x00",
}

func TestPolicy_EmptyControlSaysNothingAndErrorZeroDoes(t *testing.T) {
	t.Parallel()
	p, err := decoded(PolicyOID, []byte("\x30\x00"))
	require.NoError(t, err)
	require.Equal(t, policy{err: noPolicyError, expires: none, grace: none}, p)
	p, err = decoded(PolicyOID, []byte("\x30\x03\x81\x01\x00"))
	require.NoError(t, err)
	require.Equal(t, passwordExpired, p.err)
	p, err = decoded(PolicyOID, []byte("\x30\x0a\xa0\x05\x80\x03\x01\x51\x80\x81\x01\x02"))
	require.NoError(t, err)
	require.Equal(t, policy{err: changeAfterReset, expires: 86400, grace: none}, p)
}

// encodePolicy encodes a control's value (draft-behera-ldap-password-policy-10 section 6.2).
func encodePolicy(e policyError, expires, grace int64) []byte {
	sequence := ber.NewSequence("")
	if expires != none || grace != none {
		warning := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		if expires != none {
			warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 0, expires, ""))
		}
		if grace != none {
			warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, grace, ""))
		}
		sequence.AppendChild(warning)
	}
	if e != noPolicyError {
		sequence.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, int64(e), ""))
	}
	return sequence.Bytes()
}

// FuzzPolicyEncoded encodes policies, good ones and bad, and reads them.
func FuzzPolicyEncoded(f *testing.F) {
	f.Add(int8(-1), int64(-1), int64(-1))
	f.Add(int8(0), int64(0), int64(-1))
	f.Add(int8(8), int64(-1), int64(1<<31-1))
	f.Add(int8(9), int64(5), int64(1<<31))
	f.Add(int8(1), int64(5), int64(5))
	f.Fuzz(func(t *testing.T, e int8, expires, grace int64) {
		got, err := decoded(PolicyOID, encodePolicy(policyError(e), expires, grace))
		good := e >= -1 && e <= 8 && isCount(expires) && isCount(grace) && (expires == none || grace == none)
		require.Equal(t, good, err == nil, "error %d, expires %d, grace %d: %v", e, expires, grace, err)
		if good {
			require.Equal(t, policy{err: policyError(e), expires: expires, grace: grace}, got)
		}
	})
}

// isCount reports whether n is none or what an INTEGER (0 .. maxInt) can be.
func isCount(n int64) bool { return n >= none && n <= math.MaxInt32 }

// FuzzPolicyControl reads arbitrary values. One that is taken is what an encoder makes of its
// meaning, but for the form of its lengths.
func FuzzPolicyControl(f *testing.F) {
	for _, v := range policyValues {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var got policy
		var err error
		memtest.Bound(t, len(value), 64<<10, 16, func() { got, err = decoded(PolicyOID, value) })
		want, wrong := strict(value)
		switch {
		case len(value) == 0:
			require.NoError(t, err)
			require.Equal(t, policy{err: noPolicyError, expires: none, grace: none}, got)
		case wrong == nil:
			require.NoError(t, err, "%x", value)
			require.Equal(t, want, got, "%x", value)
		case err == nil:
			require.Equal(t, encodePolicy(got.err, got.expires, got.grace), shortened(t, value), "%x", value)
		default:
			require.Equal(t, ErrControl, err, "it repeats something of the value")
		}
	})
}

// shortened writes the lengths of a value in their shortest form.
func shortened(t *testing.T, value []byte) []byte {
	t.Helper()
	p, err := ber.DecodePacketErr(value)
	require.NoError(t, err)
	return recoded(p).Bytes()
}

func recoded(p *ber.Packet) *ber.Packet {
	r := ber.Encode(p.ClassType, p.TagType, p.Tag, nil, "")
	if p.TagType == ber.TypePrimitive {
		r.Data.Write(p.Data.Bytes())
	}
	for _, c := range p.Children {
		r.AppendChild(recoded(c))
	}
	return r
}

func FuzzNetscapeExpiringControl(f *testing.F) {
	for _, v := range []string{"0", "86400", "-1", "", "2147483647", "2147483648", "+5", " 5", "5 ", "1e3", "0x5", "99999999999999999999", "\x00", "００"} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		got, err := decoded(ldap.ControlTypeVChuPasswordWarning, value)
		switch n, wrong := strconv.ParseUint(string(value), 10, 31); {
		case len(value) == 0:
			require.NoError(t, err)
			require.Equal(t, int64(none), got.expires)
		case wrong == nil:
			require.NoError(t, err, "%q", value)
			require.Equal(t, Warning{PasswordExpires, int64(n)}, got.warning())
		default:
			require.Equal(t, ErrControl, err, "%q is %d", value, got.expires)
		}
	})
}

// behera is a password policy control.
func behera(e policyError, expires, grace int64) ldappool.Control {
	return ldappool.Control{OID: PolicyOID, Value: encodePolicy(e, expires, grace)}
}

var (
	expiredControl = ldappool.Control{OID: ldap.ControlTypeVChuPasswordMustChange, Value: []byte("0")}
	unrelated      = ldappool.Control{OID: "1.2.3.4", Value: []byte("x")}
)

func expiringControl(seconds int64) ldappool.Control {
	return ldappool.Control{OID: ldap.ControlTypeVChuPasswordWarning, Value: strconv.AppendInt(nil, seconds, 10)}
}

// TestPolicy_ControlWithoutAValueSaysNothing, nor does one with an empty value, and however many
// there are.
func TestPolicy_ControlWithoutAValueSaysNothing(t *testing.T) {
	t.Parallel()
	for _, oid := range []string{PolicyOID, ldap.ControlTypeVChuPasswordMustChange, ldap.ControlTypeVChuPasswordWarning} {
		for _, value := range [][]byte{nil, {}} {
			c := ldappool.Control{OID: oid, Value: value}
			for code, want := range map[uint16]Verdict{0: Accepted, 49: WrongPassword, 53: NoVerdict} {
				r := judged(t, &openLDAP, ldappool.Result{Code: code, Controls: []ldappool.Control{c, c}})
				require.Equal(t, want, r.Verdict, oid)
				require.Empty(t, r.Warning)
				require.Empty(t, r.Policy)
			}
			r := judged(t, &openLDAP, ldappool.Result{Controls: []ldappool.Control{c, behera(2, -1, -1), expiringControl(5), c}})
			require.Equal(t, MustChange, r.Verdict)
		}
	}
}

func TestPolicy_MalformedControlIsAFaultWithAnyCode(t *testing.T) {
	t.Parallel()
	for name, controls := range map[string][]ldappool.Control{
		"two policy controls":             {behera(-1, -1, -1), behera(-1, -1, -1)},
		"an unknown error":                {behera(9, -1, -1)},
		"an error below none":             {behera(-2, -1, -1)},
		"two warnings in one":             {behera(-1, 5, 5)},
		"seconds below none":              {behera(-1, -2, -1)},
		"logins below none":               {behera(-1, -1, -2)},
		"seconds beyond maxInt":           {behera(-1, 1<<31, -1)},
		"two of Netscape's":               {expiringControl(5), expiringControl(6)},
		"Netscape's below none":           {expiringControl(-1)},
		"Netscape's beyond maxInt":        {expiringControl(1 << 31)},
		"one that is right and another":   {behera(-1, 5, -1), expiringControl(-5)},
		"Netscape's expired, with a text": {{OID: ldap.ControlTypeVChuPasswordMustChange, Value: []byte("1")}},
		"Netscape's with a space":         {{OID: ldap.ControlTypeVChuPasswordWarning, Value: []byte(" 5")}},
		"bytes behind the value":          {{OID: PolicyOID, Value: append(encodePolicy(-1, 5, -1), 0)}},
		"another tag":                     {{OID: PolicyOID, Value: []byte{0x31, 0}}},
		"an element that is not known":    {{OID: PolicyOID, Value: []byte{0x30, 2, 0x82, 0}}},
	} {
		for _, p := range All() {
			for _, code := range []uint16{0, 49, 53} {
				r, err := p.Judge(ldappool.Result{Code: code, Controls: controls})
				require.Equal(t, ErrControl, err, name)
				require.Equal(t, Answer{}, r, name)
			}
		}
	}
}

func TestPolicy_ControlsDecideASuccess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		controls []ldappool.Control
		want     Verdict
		warning  Warning
	}{
		"none":                               {nil, Accepted, Warning{}},
		"one that nobody asked for":          {[]ldappool.Control{unrelated}, Accepted, Warning{}},
		"an empty one":                       {[]ldappool.Control{behera(-1, -1, -1)}, Accepted, Warning{}},
		"expiring":                           {[]ldappool.Control{behera(-1, 86400, -1)}, Accepted, Warning{PasswordExpires, 86400}},
		"expiring now":                       {[]ldappool.Control{behera(-1, 0, -1)}, Accepted, Warning{PasswordExpires, 0}},
		"grace":                              {[]ldappool.Control{behera(-1, -1, 2)}, Accepted, Warning{GraceLogins, 2}},
		"the last grace login":               {[]ldappool.Control{behera(-1, -1, 0)}, Accepted, Warning{GraceLogins, 0}},
		"grace and Netscape's expired":       {[]ldappool.Control{expiredControl, behera(-1, -1, 2)}, Accepted, Warning{GraceLogins, 2}},
		"Netscape's expiring":                {[]ldappool.Control{expiringControl(5)}, Accepted, Warning{PasswordExpires, 5}},
		"both kinds of expiring":             {[]ldappool.Control{expiringControl(5), behera(-1, 6, -1)}, Accepted, Warning{PasswordExpires, 6}},
		"passwordExpired":                    {[]ldappool.Control{behera(0, -1, -1)}, PasswordExpired, Warning{}},
		"accountLocked":                      {[]ldappool.Control{behera(1, -1, -1)}, Locked, Warning{}},
		"changeAfterReset":                   {[]ldappool.Control{behera(2, -1, -1)}, MustChange, Warning{}},
		"changeAfterReset, and expiring":     {[]ldappool.Control{behera(2, 86400, -1)}, MustChange, Warning{}},
		"changeAfterReset, and Netscape's":   {[]ldappool.Control{behera(2, -1, -1), expiredControl}, MustChange, Warning{}},
		"Netscape's expired alone":           {[]ldappool.Control{expiredControl}, MustChange, Warning{}},
		"Netscape's beside an empty one":     {[]ldappool.Control{expiredControl, behera(-1, -1, -1)}, MustChange, Warning{}},
		"an error of a password's change":    {[]ldappool.Control{behera(5, -1, -1)}, NoVerdict, Warning{}},
		"another error of a password change": {[]ldappool.Control{behera(8, -1, -1)}, NoVerdict, Warning{}},
	} {
		for _, p := range All() {
			r := judged(t, p, ldappool.Result{Controls: c.controls})
			require.Equal(t, c.want, r.Verdict, name)
			require.Equal(t, c.warning, r.Warning, name)
		}
	}
}

// TestPolicy_ErrorOfTheControlComesBeforeTheCode, where the code may speak of an account at all.
func TestPolicy_ErrorOfTheControlComesBeforeTheCode(t *testing.T) {
	t.Parallel()
	for e, want := range map[policyError]Verdict{0: PasswordExpired, 1: Locked, 2: MustChange} {
		for _, code := range resultCodes() {
			if code == 0 {
				continue
			}
			r := judged(t, &openLDAP, ldappool.Result{Code: code, Controls: []ldappool.Control{behera(e, -1, -1)}})
			switch code {
			case 49, 53, 19, 50:
				require.Equal(t, want, r.Verdict)
			default:
				require.Equal(t, judged(t, &openLDAP, ldappool.Result{Code: code}).Verdict, r.Verdict, "%d", code)
			}
			require.Equal(t, e.String(), r.Policy)
		}
	}
	for e := policyError(3); e <= 8; e++ { // about changing a password
		r := judged(t, &openLDAP, ldappool.Result{Code: 49, Controls: []ldappool.Control{behera(e, -1, -1)}})
		require.Equal(t, WrongPassword, r.Verdict)
		r = judged(t, &openLDAP, ldappool.Result{Code: 53, Controls: []ldappool.Control{behera(e, -1, -1)}})
		require.Equal(t, NoVerdict, r.Verdict)
	}
}

// TestPolicy_NetscapeControlOnARejectionMeansExpiredExceptAtFreeIPA, whose plugin attaches it to a
// wrong password too.
func TestPolicy_NetscapeControlOnARejectionMeansExpiredExceptAtFreeIPA(t *testing.T) {
	t.Parallel()
	for p, want := range map[*Dialect]Verdict{&openLDAP: PasswordExpired, &ds389: PasswordExpired, &ad: WrongPassword, &freeIPA: WrongPassword} {
		r := judged(t, p, ldappool.Result{Code: 49, Controls: []ldappool.Control{expiredControl}})
		require.Equal(t, want, r.Verdict, "%v", p)
	}
}

// TestPolicy_TextCountsOnlyWithItsCodeAtItsDirectory, and other words are a fault.
func TestPolicy_TextCountsOnlyWithItsCodeAtItsDirectory(t *testing.T) {
	t.Parallel()
	for _, w := range slices.Concat(words389, wordsFreeIPA) {
		for _, p := range All() {
			for _, code := range []uint16{19, 49, 50, 53} {
				r := judged(t, p, ldappool.Result{Code: code, Diagnostic: w.words + " And more."})
				switch known := code == w.code && (p == &freeIPA || p == &ds389 && slices.Contains(words389, w)); {
				case known:
					require.Equal(t, w.answer.Verdict, r.Verdict, "%v: %s", p, w.words)
					require.Equal(t, !w.answer.BeforePassword, r.PasswordSeen())
				case code == 49:
					require.Equal(t, WrongPassword, r.Verdict, "%v: %s", p, w.words)
				default:
					require.Equal(t, NoVerdict, r.Verdict, "%v %d: %s", p, code, w.words)
				}
			}
			r := judged(t, p, ldappool.Result{Code: w.code, Diagnostic: "They say: " + w.words})
			require.Equal(t, w.code != 49, r.Verdict == NoVerdict, "%v: words in the middle", p)
		}
	}
	// 389 DS reports it as locked in the control, and as disabled in its words.
	inactivated := ldappool.Result{Code: 53, Diagnostic: "Account inactivated. Contact system administrator.", Controls: []ldappool.Control{behera(1, -1, -1)}}
	require.Equal(t, Disabled, judged(t, &ds389, inactivated).Verdict)
	require.Equal(t, Locked, judged(t, &openLDAP, inactivated).Verdict)
}

// TestPolicy_AValueThatTheDraftDoesNotDefineIsAFault with every result code: nothing else in the
// same answer counts, least of all a success.
func TestPolicy_AValueThatTheDraftDoesNotDefineIsAFault(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"a bare passwordExpired":          "\x81\x01\x00",
		"a NULL":                          "\x05\x00",
		"bytes behind it":                 "\x30\x00\xff\xff",
		"another sequence behind it":      "\x30\x00\x30\x00",
		"a set":                           "\x31\x00",
		"a bare warning":                  "\xa0\x03\x80\x01\x05",
		"an octet string":                 "\x04\x00",
		"an unknown element":              "\x30\x03\x82\x01\x00",
		"an unknown element behind error": "\x30\x06\x81\x01\x00\x82\x01\x00",
		"the error first":                 "\x30\x08\x81\x01\x00\xa0\x03\x80\x01\x00",
		"a universal ENUMERATED":          "\x30\x03\x0a\x01\x00",
		"two warnings in one":             "\x30\x08\xa0\x06\x80\x01\x00\x81\x01\x00",
		"an unknown warning":              "\x30\x05\xa0\x03\x82\x01\x00",
		"an empty warning":                "\x30\x02\xa0\x00",
		"an error that there is not":      "\x30\x03\x81\x01\x09",
		"an error without a number":       "\x30\x02\x81\x00",
		"an indefinite length":            "\x30\x80\x00\x00",
		"a length that is not there":      "\x30\x03\x81\x01",
		"one byte":                        "\x30",
	} {
		for _, code := range []uint16{0, 49, 50, 53} {
			control := ldappool.Control{OID: PolicyOID, Value: []byte(value)}
			r, err := openLDAP.Judge(ldappool.Result{Code: code, Controls: []ldappool.Control{control}})
			require.Equal(t, ErrControl, err, "%s, code %d", name, code)
			require.Equal(t, Answer{}, r)
		}
	}
	for name, value := range map[string][]byte{"no value": nil, "an empty value": {}, "an empty sequence": []byte("\x30\x00")} {
		control := ldappool.Control{OID: PolicyOID, Value: value}
		for code, want := range map[uint16]Verdict{0: Accepted, 49: WrongPassword} {
			require.Equal(t, want, judged(t, &openLDAP, ldappool.Result{Code: code, Controls: []ldappool.Control{control}}).Verdict, name)
		}
	}
}
