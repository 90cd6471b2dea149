// Package dialect says what one kind of directory defines beyond the RFCs: the defaults of
// settings, what the answer to a bind means, which attributes say that an account is disabled, and
// what the doctor looks for. Each kind is one file. A new kind is a new file and its line in [All].
package dialect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"authsvc/internal/ldapname"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// Dialect is one kind of directory. It is never changed.
type Dialect struct {
	Name     string // value of LDAP_PRESET
	Product  string // what such a directory is called
	Defaults Defaults
	Groups   Groups
	Advice   Advice

	// IDAttribute holds a value that identifies an entry for ever, whatever its DN.
	IDAttribute string
	// StateAttributes of a user's entry say what a successful bind does not say. Disabled and
	// Expiry read them.
	StateAttributes []string
	// BlockerAttributes of a user's entry say what would refuse a login. Blocker reads them.
	BlockerAttributes []string
	// LockoutAttribute holds the number of failures after which the directory locks an account.
	LockoutAttribute string
	// EchoesAttributeNames: an answer names an attribute as the request did, instead of as the
	// schema does.
	EchoesAttributeNames bool
	// HidesUnknownDNs: a bind as a DN without an entry is answered like a wrong password.
	HidesUnknownDNs bool
	// AccountAttribute, if not empty, holds an account's name within its domain: the directory
	// takes names with a domain in them, and a user principal name in place of a DN.
	AccountAttribute string

	recognize            func(RootDSE) bool
	refusal              func(ldappool.Result) (Answer, bool) // nil: the result code and the password policy control say all
	subCode              func(diagnostic string) string       // nil: there are none
	policyBeforePassword bool                                 // controls of a refused bind are made without a look at the password
	nameKey              func(string) string                  // nil: ldapname.CountKey
	machine              func(*ldap.Entry) bool               // nil: no entry is a machine's
	disabled             func(*ldap.Entry) (bool, error)      // nil: no attribute says so
	expiry               func(*ldap.Entry) (unix int64, ok bool)
	blocker              func(*ldap.Entry, time.Time) (Blocker, bool)

	indexed         func(ctx context.Context, r Reader, base, attribute string) Knowledge
	lockout         func(context.Context, Reader) Lockout
	entryPolicy     entryPolicy
	lockoutNote     func(context.Context, Reader) Note
	maxConnections  func(context.Context, Reader) (most int64, where string)
	openConnections place // of the number of connections that are open now
	clock           place // of the server's time, unless the root DSE has currentTime
}

// Defaults are the defaults of settings that are not the usual ones; an empty one is.
type Defaults struct {
	UserFilter         string
	UserNameAttribute  string
	GroupFilter        string
	GroupNameAttribute string
	BindRetry          string
	PasswordPolicy     string
}

// Groups says how the groups of a user are found where no group filter is set.
type Groups struct {
	// Attribute of the user's entry names the groups, nested ones too. Empty: groups are found by a
	// filter.
	Attribute string
	// KeyAttribute of a group holds what Attribute names it with. Empty: these are DNs.
	KeyAttribute string
	// Filter, where Attribute holds DNs, matches the groups among all that it names.
	Filter string
	// DirectFilter finds the groups that a user is a direct member of, if Attribute is for nested
	// groups only.
	DirectFilter string
	// InDomain: without a base DN for groups the whole domain is searched.
	InDomain bool
	// Below is the DN of the entry below the suffix that holds all groups, without the suffix.
	// Empty: it is anywhere.
	Below string
}

// Base returns the base DN of groups in a directory with that suffix, or "" if they may be
// anywhere.
func (g Groups) Base(suffix string) string {
	if g.Below == "" || suffix == "" {
		return ""
	}
	return g.Below + "," + suffix
}

// Advice is what the doctor advises, in words of the directory's own; each may be empty.
type Advice struct {
	Filter        string // about a user filter that finds nobody
	WrongPassword string // what a wrong password may be as well
	Index         string // how an index is made; %s is for the attributes
}

// All returns every kind of directory, the default first.
func All() []*Dialect { return []*Dialect{&openLDAP, &ds389, &ad, &freeIPA, &lldap} }

// Default is the kind of directory that follows the standards.
func Default() *Dialect { return &openLDAP }

// Names returns the names of all kinds of directories, the default first.
func Names() (names []string) {
	for _, d := range All() {
		names = append(names, d.Name)
	}
	return names
}

// Named returns the kind of directory of that name.
func Named(name string) (*Dialect, error) {
	for _, d := range All() {
		if d.Name == name {
			return d, nil
		}
	}
	return nil, fmt.Errorf("unknown preset %q", name)
}

// Recognize returns the kind of directory that a root DSE is of, or nil if none knows it.
func Recognize(root RootDSE) *Dialect {
	all := All()
	if i := slices.IndexFunc(all, func(d *Dialect) bool { return d.recognize(root) }); i >= 0 {
		return all[i]
	}
	return nil
}

// String is the name.
func (d *Dialect) String() string { return d.Name }

// NameKey returns the same key for all names that the directory may take for one.
func (d *Dialect) NameKey(name string) string {
	if d.nameKey == nil {
		return ldapname.CountKey(name)
	}
	return d.nameKey(name)
}

// IsMachine reports whether an entry that a user filter found is that of a machine. Its password is
// no person's.
func (d *Dialect) IsMachine(e *ldap.Entry) bool { return d.machine != nil && d.machine(e) }

// Disabled reports whether the entry says that its account is disabled. The attribute says nothing
// of the password, so it counts after a bind that succeeded, and not before.
func (d *Dialect) Disabled(e *ldap.Entry) (bool, error) {
	if d.disabled == nil {
		return false, nil
	}
	return d.disabled(e)
}

// expiryNotice is how long before a password expires its user is warned by the entry. Windows' own
// prompt came 14 days before up to Windows 7, and comes 5 days before since. The earlier one is for
// users who log in once a week.
const expiryNotice = 14 * 24 * time.Hour

// Expiry warns of a password that expires soon, if the entry says so.
func (d *Dialect) Expiry(e *ldap.Entry, now time.Time) Warning {
	if d.expiry == nil {
		return Warning{}
	}
	at, ok := d.expiry(e)
	left := at - now.Unix()
	if !ok || left > int64(expiryNotice/time.Second) {
		return Warning{}
	}
	return Warning{Kind: PasswordExpires, Count: max(0, left)}
}
