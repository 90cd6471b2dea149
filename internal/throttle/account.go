package throttle

import (
	"crypto/sha256"

	"authsvc/internal/clientaddr"
	"authsvc/internal/ldapname"
)

// Account identifies the attempts whose failures are counted together. It is half a SHA-256, so
// that names of any length take the same memory, and collisions cannot be found.
type Account [16]byte

// AnyAccount stands for all accounts together. An attempt on it takes from the client's budget over
// all accounts.
var AnyAccount Account

// The kinds of hashed values, so that a name and a DN never have the same hash.
const (
	kindEntry         = 'e'
	kindName          = 'n'
	kindAmbiguousName = 'o'
	kindClient        = 'c'
	kindSpelling      = 's'
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

// ByEntry returns the account of the entry that the directory returned under this DN. It is never
// folded, so that entries with similar names have separate counts.
func ByEntry(dn string) Account { return digest(kindEntry, ldapname.PermitDNKey(dn)) }

// ByName returns the account of a name without an entry, or of one that is not looked up. All
// spellings that a directory may take for one share it. key is the ldapname.CountKey of the name,
// or its CountKeyAD.
func ByName(key string) Account { return digest(kindName, key) }

// ByAmbiguousName returns the account of all spellings of a name in letters beyond ASCII. It is
// counted in addition to that of [ByName] if a success under the plain spelling may be another
// entry's.
func ByAmbiguousName(key string) Account { return digest(kindAmbiguousName, key) }

// byClient returns the key of the account's attempts from one client.
func (a Account) byClient(client string) Account {
	return digest(kindClient, string(a[:]), clientaddr.Network(client))
}

// bySite returns the key of the account's attempts from one site. Only IPv6 clients have a site.
func (a Account) bySite(client string) (Account, bool) {
	site, ok := clientaddr.Site(client)
	return digest(kindClient, string(a[:]), site), ok
}
