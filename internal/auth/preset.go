package auth

import (
	"fmt"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// Preset is a kind of directory: it says how that tells its verdicts. What RFC 4511 leaves open, each fills in its own way.
type Preset uint8

// The presets. docs/presets.md has what each of them says of which account.
const (
	// OpenLDAP tells by result codes and the password policy control (draft-behera-ldap-password-policy-10).
	OpenLDAP Preset = iota
	// AD is Active Directory and Samba's: it tells by a sub-code in the diagnostic message of result 49.
	AD
	// DS389 is 389 Directory Server: as OpenLDAP, and 53 and 19 with words of its own.
	DS389
	// FreeIPA is a 389 DS with plugins that look at an account before its password was seen.
	FreeIPA
)

// presetNames are the values of LDAP_PRESET.
var presetNames = [...]string{OpenLDAP: "openldap", AD: "ad", DS389: "389ds", FreeIPA: "freeipa"}

// Presets returns all of them.
func Presets() []Preset { return []Preset{OpenLDAP, AD, DS389, FreeIPA} }

// ParsePreset gives the preset of a name: openldap, ad, 389ds or freeipa.
func ParsePreset(name string) (Preset, error) {
	for _, p := range Presets() {
		if presetNames[p] == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("auth: there is no preset %q", name)
}

// String is the preset's name in LDAP_PRESET.
func (p Preset) String() string {
	if int(p) >= len(presetNames) {
		return fmt.Sprintf("preset_%d", uint8(p))
	}
	return presetNames[p]
}

// verdict is an outcome that the directory's own words say. The zero verdict is none.
type verdict struct {
	outcome Outcome
	early   bool   // the directory tells it to one who does not know the password too
	notice  string // see Result.Notice
}

// seen tells whether the directory gives the verdict only to one who knows the password: of AccountLocked to NotPermitted.
func (v verdict) seen() bool {
	return v.outcome >= AccountLocked && v.outcome <= NotPermitted && !v.early
}

// refusal reads the verdict in a bind that did not succeed, beyond what RFC 4511 and the password policy control say. false
// where the directory's words are none that are known: then the result code alone counts.
func (p Preset) refusal(r ldappool.Result, unknown Outcome) (verdict, bool) {
	switch p {
	case AD:
		return judgeAD(r, unknown)
	case DS389, FreeIPA:
		return judge389(p, r)
	}
	return verdict{}, false
}

// speaksOfAccounts tells whether a result code may come with the password policy control's verdict on an account. The draft
// has invalidCredentials (section 8.1); 389 DS tells 53 and 19, and others 50.
func speaksOfAccounts(code uint16) bool {
	switch code {
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights:
		return true
	}
	return false
}
