package ldaptest

import (
	"slices"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Directory is a small, correct directory whose Handle is a [Handler]: simple
// binds, searches with and, or, not, equality and presence, and Who am I?. It
// compares names and values without regard to case, and DNs as strings.
// It must not be changed while it serves.
type Directory struct {
	// Passwords maps the DNs that can bind to their passwords. A DN need not have
	// an entry.
	Passwords map[string]string
	// Entries are what a search finds, the entry of its base included.
	Entries []Entry
	// RootDSE is the entry with the empty name, which anybody may read.
	RootDSE Entry
	// Reader is the identity that may search; the others get noSuchObject, as from slapd. Empty
	// lets anybody search.
	Reader string
}

// NewDirectory is the tree of [StartSlapd] with ten users.
func NewDirectory() *Directory {
	d := &Directory{
		Passwords: map[string]string{ServiceDN: ServicePassword, RootDN: RootPassword},
		RootDSE:   Entry{Attributes: map[string][]string{"namingContexts": {BaseDN}, "supportedLDAPVersion": {"3"}}},
		Reader:    ServiceDN,
		Entries: []Entry{
			{DN: BaseDN, Attributes: map[string][]string{"objectClass": {"dcObject", "organization"}, "dc": {"example"}, "o": {"Example"}}},
			{DN: PeopleDN, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"people"}}},
			{DN: GroupsDN, Attributes: map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"groups"}}},
			{DN: ServiceDN, Attributes: map[string][]string{"objectClass": {"organizationalRole"}, "cn": {"service"}}},
		},
	}
	for i := range 10 {
		d.Passwords[UserDN(i)] = Password(i)
		d.Entries = append(d.Entries, Entry{DN: UserDN(i), Attributes: map[string][]string{
			"objectClass": {"inetOrgPerson"},
			"uid":         {Username(i)},
			"cn":          {"User " + Username(i)[len("user"):]},
			"sn":          {"Number " + Username(i)[len("user"):]},
			"mail":        {Username(i) + "@example.org"},
		}})
	}
	return d
}

// Handle answers a request.
func (d *Directory) Handle(c *Conn, req Request) {
	switch req.Op {
	case OpBind:
		c.ReplyBind(req, d.bind(req), "")
	case OpSearch:
		code, found := d.search(c.Identity(), req)
		c.ReplySearch(req, code, found...)
	case OpExtended:
		if req.Extended == WhoAmIOID {
			c.ReplyExtended(req, ldap.LDAPResultSuccess, "", authzID(c.Identity()))
			return
		}
		c.ReplyExtended(req, ldap.LDAPResultProtocolError, "unsupported extended operation", nil)
	case OpUnbind:
		c.Close()
	case OpAbandon: // every request is answered before the next is read
	default:
		c.Notice(ldap.LDAPResultProtocolError, "unsupported operation")
		c.Close()
	}
}

// bind judges a simple bind: anonymous succeeds, and a name without password
// is refused as RFC 4513, section 5.1.2, recommends.
func (d *Directory) bind(req Request) uint16 {
	switch {
	case req.SASL != "":
		return ldap.LDAPResultAuthMethodNotSupported
	case req.DN == "" && req.Password == "":
		return ldap.LDAPResultSuccess
	case req.Password == "":
		return ldap.LDAPResultUnwillingToPerform
	}
	for dn, password := range d.Passwords {
		if strings.EqualFold(dn, req.DN) && password == req.Password {
			return ldap.LDAPResultSuccess
		}
	}
	return ldap.LDAPResultInvalidCredentials
}

// search finds entries on behalf of identity.
func (d *Directory) search(identity string, req Request) (uint16, []Entry) {
	if req.DN == "" && req.Scope == ldap.ScopeBaseObject {
		return ldap.LDAPResultSuccess, []Entry{pick(d.RootDSE, req)}
	}
	mayRead := d.Reader == "" || strings.EqualFold(identity, d.Reader)
	isBase := func(e Entry) bool { return strings.EqualFold(e.DN, req.DN) }
	if !mayRead || !slices.ContainsFunc(d.Entries, isBase) {
		return ldap.LDAPResultNoSuchObject, nil
	}
	var found []Entry
	for _, e := range d.Entries {
		if !within(e, req.DN, req.Scope) || !matches(e, req.FilterPacket) {
			continue
		}
		if req.SizeLimit > 0 && len(found) == req.SizeLimit {
			return ldap.LDAPResultSizeLimitExceeded, found
		}
		found = append(found, pick(e, req))
	}
	return ldap.LDAPResultSuccess, found
}

// within says whether the entry is in the scope of a search at base.
func within(e Entry, base string, scope int) bool {
	dn, base := strings.ToLower(e.DN), strings.ToLower(base)
	switch scope {
	case ldap.ScopeBaseObject:
		return dn == base
	case ldap.ScopeSingleLevel:
		_, parent, _ := strings.Cut(dn, ",")
		return parent == base
	}
	return dn == base || strings.HasSuffix(dn, ","+base)
}

// matches evaluates a filter (RFC 4511, section 4.5.1.7). Kinds of filter that
// it does not know match nothing.
func matches(e Entry, f *ber.Packet) bool {
	switch f.Tag {
	case ldap.FilterAnd:
		return !slices.ContainsFunc(f.Children, func(g *ber.Packet) bool { return !matches(e, g) })
	case ldap.FilterOr:
		return slices.ContainsFunc(f.Children, func(g *ber.Packet) bool { return matches(e, g) })
	case ldap.FilterNot:
		return !matches(e, f.Children[0])
	case ldap.FilterPresent:
		return len(values(e, f.Data.String())) > 0
	case ldap.FilterEqualityMatch:
		want := f.Children[1].Data.String()
		return slices.ContainsFunc(values(e, f.Children[0].Data.String()), func(v string) bool { return strings.EqualFold(v, want) })
	}
	return false
}

func values(e Entry, name string) []string {
	for n, all := range e.Attributes {
		if strings.EqualFold(n, name) {
			return all
		}
	}
	return nil
}

// pick is the entry with the attributes that a search asked for: all for none
// or "*", none for "1.1" (RFC 4511, section 4.5.1.8).
func pick(e Entry, req Request) Entry {
	out := Entry{DN: e.DN, Attributes: make(map[string][]string)}
	all := len(req.Attributes) == 0 || slices.Contains(req.Attributes, "*")
	for name, values := range e.Attributes {
		asked := func(a string) bool { return strings.EqualFold(a, name) }
		if !all && !slices.ContainsFunc(req.Attributes, asked) {
			continue
		}
		if req.TypesOnly {
			values = nil
		}
		out.Attributes[name] = values
	}
	return out
}

// authzID is the form in which Who am I? names an identity (RFC 4513,
// section 5.2.1.8).
func authzID(dn string) []byte {
	if dn == "" {
		return []byte{}
	}
	return []byte("dn:" + dn)
}
