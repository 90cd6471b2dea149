package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// OIDs that tell directories apart.
const (
	oidAD      = "1.2.840.113556.1.4.800"    // capability: Active Directory (MS-ADTS 3.1.1.3.4.3.1)
	oidPPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // control: password policy (draft-behera-ldap-password-policy)
	oidIPA     = "2.16.840.1.113730.3.8.10"  // arc of FreeIPA's extended operations
)

// ask searches for one entry, or for those below one.
func (s *patient) ask(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) (entries []*ldap.Entry, code uint16, matched string, err error) {
	r, err := s.conn.Search(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, 0, false, filter, attributes, nil))
	if err != nil {
		return nil, 0, "", err
	}
	return r.Entries, r.Code, r.MatchedDN, nil
}

// read reads an entry that may not be there, or not for us: nil then.
func (s *patient) read(ctx context.Context, dn string, attributes ...string) *ldap.Entry {
	entries, _, _, err := s.ask(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, attributes...)
	if err != nil || len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// rootDSE asks the server what it is (RFC 4512 section 5.1).
func (s *patient) rootDSE(ctx context.Context) finding {
	e := s.read(ctx, "", "*", "+")
	if e == nil {
		return unwise("let everybody read the root DSE: OpenLDAP: access to dn.base=\"\" by * read", "the server does not tell what it is: its root DSE cannot be read")
	}
	for _, a := range e.Attributes {
		s.root[strings.ToLower(a.Name)] = a.Values
	}
	fits, product := s.product()
	f := well("%s; preset %s fits", product, s.Logins.Preset)
	switch {
	case fits < 0:
		f.Finding = "a directory of a kind that is not known; preset " + s.Logins.Preset.String() + " is taken as it is"
	case auth.Preset(fits) != s.Logins.Preset: //nolint:gosec // one of the presets
		f = unwise(fmt.Sprintf("set LDAP_PRESET=%s", auth.Preset(fits)), //nolint:gosec // as above
			"%s; preset %s does not fit: what it says of locked, disabled and expired accounts is not understood", product, s.Logins.Preset)
	}
	f.Details = []string{
		"naming contexts: " + list(s.root["namingcontexts"]),
		"SASL mechanisms: " + list(s.root["supportedsaslmechanisms"]),
		fmt.Sprintf("controls: %d, password policy %s", len(s.root["supportedcontrol"]), among(s.root["supportedcontrol"], oidPPolicy)),
	}
	return f
}

// product says what a root DSE is of, and the preset that fits; -1 where none is known.
func (s *patient) product() (preset int, name string) {
	vendor := strings.TrimSpace(s.first("vendorname") + " " + s.first("vendorversion"))
	is := func(p auth.Preset, name string) (int, string) {
		if vendor != "" {
			name += " (" + vendor + ")"
		}
		return int(p), name
	}
	ipa := slices.ContainsFunc(s.root["supportedextension"], func(oid string) bool { return strings.HasPrefix(oid, oidIPA+".") }) ||
		s.first("ipatopologypluginversion") != "" || s.first("ipadomainlevel") != ""
	switch {
	case slices.Contains(s.root["supportedcapabilities"], oidAD):
		return is(auth.AD, "Active Directory or Samba")
	case ipa:
		return is(auth.FreeIPA, "FreeIPA")
	case strings.Contains(vendor, "389"), strings.Contains(vendor, "Red Hat"):
		return is(auth.DS389, "389 DS")
	case slices.ContainsFunc(s.root["objectclass"], func(c string) bool { return strings.EqualFold(c, "OpenLDAProotDSE") }):
		return is(auth.OpenLDAP, "OpenLDAP")
	}
	return -1, vendor
}

func list(values []string) string {
	if len(values) == 0 {
		return "none told"
	}
	return strings.Join(values, ", ")
}

func among(values []string, value string) string {
	if slices.Contains(values, value) {
		return "among them"
	}
	return "not among them"
}

// ping is the smallest question there is.
func ping() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}
