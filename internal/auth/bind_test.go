package auth

import (
	"testing"

	"authsvc/internal/dialect"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// TestJudgeBind_MakesAResultOfEachVerdict that a directory has a word for.
func TestJudgeBind_MakesAResultOfEachVerdict(t *testing.T) {
	t.Parallel()
	ad, err := dialect.Named("ad")
	require.NoError(t, err)
	for code, want := range map[string]struct {
		outcome Outcome
		seen    bool
		notice  string
	}{
		"525": {InvalidUser, false, ""},
		"52e": {InvalidPassword, false, ""},
		"775": {AccountLocked, false, ""},
		"533": {AccountDisabled, true, ""},
		"701": {AccountExpired, true, ""},
		"532": {PasswordExpired, true, ""},
		"773": {MustChangePassword, true, ""},
		"530": {NotPermitted, true, ""},
		"51f": {DirectoryUnavailable, false, ""},
		"6fe": {DirectoryUnavailable, false, ""},
		"57":  {InvalidPassword, false, "AD rejected a bind with the unknown sub-code 57"},
	} {
		answer := ldappool.Result{Code: 49, Server: "ldap://here", Diagnostic: "comment: AcceptSecurityContext error, data " + code + ", v3839"}
		r := judgeBind(ad, answer, InvalidUser)
		requireJudged(t, want.outcome, r, "bind ldap://here", "data "+code)
		require.Equal(t, want.seen, r.PasswordSeen, code)
		require.Equal(t, want.notice, r.Notice)
		require.Equal(t, BindAnswer{Answered: true, Code: 49, SubCode: code, NotCompared: code == "525"}, r.Bind)
	}
	unknown := ldappool.Result{Code: 49, Diagnostic: "AcceptSecurityContext error, data 525,"}
	require.Equal(t, InvalidPassword, judgeBind(ad, unknown, InvalidPassword).Outcome, "where a template makes the name")
}

func TestJudgeBind_NamesThePolicysErrorAndTakesItsWarnings(t *testing.T) {
	t.Parallel()
	policy := func(value string) []ldappool.Control {
		return []ldappool.Control{{OID: dialect.PolicyOID, Value: []byte(value)}}
	}
	for _, d := range dialect.All() {
		r := judgeBind(d, ldappool.Result{Controls: policy("\x30\x05\xa0\x03\x80\x01\x05")}, InvalidUser)
		requireJudged(t, OK, r)
		require.Equal(t, []Warning{{PasswordExpiring, 5}}, r.Warnings)
		r = judgeBind(d, ldappool.Result{Controls: policy("\x30\x05\xa0\x03\x81\x01\x02")}, InvalidUser)
		requireJudged(t, OK, r)
		require.Equal(t, []Warning{{GraceLogins, 2}}, r.Warnings)
		r = judgeBind(d, ldappool.Result{Controls: policy("\x30\x03\x81\x01\x02")}, InvalidUser)
		requireJudged(t, MustChangePassword, r, "password policy: changeAfterReset")
		require.Equal(t, "changeAfterReset", r.Bind.Policy)
		for _, code := range []uint16{0, 49, 53} {
			r = judgeBind(d, ldappool.Result{Code: code, Controls: policy("\x31\x00"), Server: "ldap://here"}, InvalidUser)
			requireJudged(t, DirectoryUnavailable, r, "bind ldap://here", dialect.ErrControl.Error())
			require.False(t, r.PasswordSeen)
			require.Empty(t, r.Bind.Policy)
		}
	}
}

// TestText_IsBase64IfTheValueIsBinary and if the directory has no text form for it.
func TestText_IsBase64IfTheValueIsBinary(t *testing.T) {
	t.Parallel()
	for value, want := range map[[2]string]string{
		{"objectGUID", "abcdefghijklmnop"}:                    "64636261-6665-6867-696a-6b6c6d6e6f70",
		{"objectGUID", "\xff"}:                                "/w==",
		{"objectSid", "\x02\x00\x00\x00\x00\x00\x00\x05"}:     "\x02\x00\x00\x00\x00\x00\x00\x05",
		{"objectSid", "\x01\x00\x00\x00\x00\x00\x00\x05\xff"}: "AQAAAAAAAAX/",
		{"otherGUID", "abcdefghijklmnop"}:                     "abcdefghijklmnop",
	} {
		require.Equal(t, want, text(value[0], value[1]), value[0])
	}
}

func TestWarnings_OfNoWarningAreNone(t *testing.T) {
	t.Parallel()
	require.Nil(t, warnings(dialect.Warning{}))
}
