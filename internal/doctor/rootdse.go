package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// ask searches for one entry, or for those below one.
func (s *target) ask(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) (entries []*ldap.Entry, code uint16, matched string, err error) {
	r, err := s.conn.Search(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, 0, false, filter, attributes, nil))
	if err != nil {
		return nil, 0, "", err
	}
	return r.Entries, r.Code, r.MatchedDN, nil
}

// read reads an entry that may not be there, or not for us: nil then.
func (s *target) read(ctx context.Context, dn string, attributes ...string) *ldap.Entry {
	entries, _, _, err := s.ask(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, attributes...)
	if err != nil || len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// rootDSE asks the server what it is (RFC 4512 section 5.1).
func (s *target) rootDSE(ctx context.Context) finding {
	e := s.read(ctx, "", "*", "+")
	if e == nil {
		f := warn("allow everyone to read the root DSE (OpenLDAP: access to dn.base=\"\" by * read)", "the server's root DSE cannot be read, so the kind of directory is unknown")
		if s.Pool.OnlyListedControls && !s.Logins.NoPasswordPolicy {
			f.Remedy += "; or set LDAP_PASSWORD_POLICY=on if it has password policies: otherwise authsvc does not request them"
		}
		return f
	}
	for _, a := range e.Attributes {
		s.root[strings.ToLower(a.Name)] = a.Values
	}
	f := s.product()
	f.Details = []string{
		"naming contexts: " + list(s.root["namingcontexts"]),
		"SASL mechanisms: " + list(s.root["supportedsaslmechanisms"]),
		fmt.Sprintf("controls: %d, password policy %s", len(s.root["supportedcontrol"]), among(s.root["supportedcontrol"], dialect.PolicyOID)),
	}
	return f
}

// product says what kind of directory a root DSE is of, and whether the preset fits.
func (s *target) product() finding {
	preset, fits := s.Logins.Dialect, dialect.Recognize(s.root)
	if fits == nil {
		return pass("unknown kind of directory; preset %s cannot be checked", preset)
	}
	product := fits.Product
	if vendor := s.root.Vendor(); vendor != "" {
		product += " (" + vendor + ")"
	}
	if fits != preset {
		return warn(fmt.Sprintf("set LDAP_PRESET=%s", fits),
			"%s; preset %s does not fit: its answers about locked, disabled and expired accounts are not understood", product, preset)
	}
	return pass("%s; preset %s fits", product, preset)
}

// reader reads a server for its dialect.
type reader struct{ s *target }

// Search is as dialect.Reader has it.
func (r reader) Search(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) ([]*ldap.Entry, bool, error) {
	entries, code, _, err := r.s.ask(ctx, base, scope, filter, limit, attributes...)
	return entries, code == ldap.LDAPResultSuccess, err
}

// RootDSE is as dialect.Reader has it.
func (r reader) RootDSE() dialect.RootDSE { return r.s.root }

// NamesAny is as dialect.Reader has it.
func (r reader) NamesAny(ctx context.Context, names []string, attribute string) bool {
	return r.s.namesAny(ctx, names, attribute)
}

func list(values []string) string {
	if len(values) == 0 {
		return "none listed"
	}
	return strings.Join(values, ", ")
}

func among(values []string, value string) string {
	if slices.Contains(values, value) {
		return "included"
	}
	return "not included"
}

// ping is the smallest question there is.
func ping() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}
