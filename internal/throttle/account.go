package throttle

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Account is whose failures are counted together: half a SHA-256, so that a name costs the same memory whatever its
// length, and nobody finds two that share one.
type Account [16]byte

// The kinds of what is hashed, so that a name is never a DN.
const (
	kindEntry    = 'e'
	kindName     = 'n'
	kindClient   = 'c'
	kindSpelling = 's'
)

func digest(kind byte, parts ...string) Account {
	buf := make([]byte, 0, 256)
	buf = append(buf, kind)
	for _, p := range parts {
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return Account(sum[:len(Account{})])
}

// ByEntry is the account of an entry, by its DN however spelt (RFC 4514): by whatever name it was found.
func ByEntry(dn string) Account { return digest(kindEntry, normalDN(dn)) }

// ByName is the account of a name for which there is no entry, or none is looked for. Spellings that a directory takes
// for one are one.
func ByName(name string) Account { return digest(kindName, Fold(name)) }

// from is the account as one client tries it.
func (a Account) from(client string) Account {
	return digest(kindClient, string(a[:]), network(client))
}

// Fold makes one name of what directories take for the same: NFKC and case folding, what RFC 4518 section 2.2 maps to
// nothing left out, and white space within counted once (section 2.6.1).
func Fold(name string) string {
	if plain(name) {
		return strings.ToLower(name)
	}
	name = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector) || r == '\u034f' || r == '\ufffc' {
			return -1
		}
		return r
	}, name)
	// cases.Fold has Cherokee capitals become small and small ones capital: all of them small, then.
	name = norm.NFKC.String(strings.ToLower(cases.Fold().String(norm.NFKC.String(name))))
	return strings.Join(strings.Fields(name), " ")
}

// plain tells whether a name is of printable ASCII without a space: that is folded by its case alone.
func plain(name string) bool {
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

// normalDN is one spelling for all of a DN. A DN that cannot be read is folded as it is.
func normalDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return Fold(dn)
	}
	var b strings.Builder
	for _, rdn := range parsed.RDNs {
		values := make([]string, len(rdn.Attributes))
		for i, a := range rdn.Attributes {
			values[i] = (&ldap.AttributeTypeAndValue{Type: strings.ToLower(a.Type), Value: Fold(a.Value)}).String()
		}
		slices.Sort(values) // the values of one RDN are a set
		b.WriteString(strings.Join(values, "+"))
		b.WriteByte(',')
	}
	return b.String()
}

// network is the client that counts as one: an IPv4 address, or the 64 bits of an IPv6 address that say where it is
// (RFC 4291 section 2.5.1): the rest are the client's own to choose.
func network(client string) string {
	addr, err := netip.ParseAddr(client)
	if err != nil || !addr.Unmap().Is6() {
		return client
	}
	p, _ := addr.WithZone("").Prefix(64) // never fails for IPv6
	return p.String()
}
