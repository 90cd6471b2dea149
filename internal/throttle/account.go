package throttle

import (
	"crypto/sha256"

	"authsvc/internal/clientaddr"
	"authsvc/internal/ldapname"
)

// Account is whose failures are counted together: half a SHA-256, so that a name costs the same
// memory whatever its length, and nobody finds two that share one.
type Account [16]byte

// AnyAccount stands for all accounts together. An attempt on it takes from the client's budget over
// all accounts.
var AnyAccount Account

// The kinds of what is hashed, so that a name is never a DN.
const (
	kindEntry    = 'e'
	kindName     = 'n'
	kindOddName  = 'o'
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

// ByEntry returns the account of the entry that the directory returned under this DN. It is never
// folded: an entry that looks like another's shares no count with it.
func ByEntry(dn string) Account { return digest(kindEntry, ldapname.PermitDNKey(dn)) }

// ByName returns the account of a name without an entry, or of one that is not looked up. All
// spellings that a directory may take for one share it. key is the ldapname.CountKey of the name,
// or its CountKeyAD.
func ByName(key string) Account { return digest(kindName, key) }

// ByOddName returns the account of all spellings of a name in letters beyond ASCII. It is counted
// in addition to that of [ByName] if a success under the plain spelling may be another entry's.
func ByOddName(key string) Account { return digest(kindOddName, key) }

// from is the account as one client tries it.
func (a Account) from(client string) Account {
	return digest(kindClient, string(a[:]), clientaddr.Network(client))
}

// fromSite is the account as all clients of one site try it; clients that are not of IPv6 have no
// site.
func (a Account) fromSite(client string) (Account, bool) {
	site, ok := clientaddr.Site(client)
	return digest(kindClient, string(a[:]), site), ok
}
