package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// ask does a search.
func (s *target) ask(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) (entries []*ldap.Entry, code uint16, matched string, err error) {
	r, err := s.conn.Search(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, 0, false, filter, attributes, nil))
	if err != nil {
		return nil, 0, "", err
	}
	return r.Entries, r.Code, r.MatchedDN, nil
}

// read reads an entry. It returns nil if the entry does not exist or is not visible.
func (s *target) read(ctx context.Context, dn string, attributes ...string) *ldap.Entry {
	entries, _, _, err := s.ask(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, attributes...)
	if err != nil || len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// checkRootDSE reads the server's root DSE (RFC 4512 section 5.1).
func (s *target) checkRootDSE(ctx context.Context) finding {
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

// product reports the kind of directory by its root DSE, and whether the preset fits.
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

// reader is the dialect.Reader of a server.
type reader struct{ s *target }

// Search implements dialect.Reader.
func (r reader) Search(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) ([]*ldap.Entry, bool, error) {
	entries, code, _, err := r.s.ask(ctx, base, scope, filter, limit, attributes...)
	return entries, code == ldap.LDAPResultSuccess, err
}

// RootDSE implements dialect.Reader.
func (r reader) RootDSE() dialect.RootDSE { return r.s.root }

// NamesAny implements dialect.Reader.
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

// ping returns the request of a ping: a read of the root DSE without attributes.
func ping() *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil)
}
