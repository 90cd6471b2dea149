package dialect

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// Reader reads a directory for the doctor, as the service identity.
type Reader interface {
	// Search returns the entries that were found, and whether the directory answered with success.
	Search(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) (entries []*ldap.Entry, ok bool, err error)
	// RootDSE is that of the server.
	RootDSE() RootDSE
	// NamesAny reports whether one of names is an attribute's, by any of the names that the schema
	// has for it.
	NamesAny(ctx context.Context, names []string, attribute string) bool
}

// RootDSE is a server's root DSE (RFC 4512 section 5.1): values by attribute names in lower case.
type RootDSE map[string][]string

// First is an attribute's first value, or "".
func (r RootDSE) First(name string) string {
	if v := r[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Vendor is the vendor and the version that the server names.
func (r RootDSE) Vendor() string {
	return strings.TrimSpace(r.First("vendorname") + " " + r.First("vendorversion"))
}

// read reads an entry; nil if it is not there, or not shown.
func read(ctx context.Context, r Reader, dn string, attributes ...string) *ldap.Entry {
	entries, _, err := r.Search(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, attributes...)
	if err != nil || len(entries) == 0 {
		return nil
	}
	return entries[0]
}

// number reads an attribute that is one.
func number(e *ldap.Entry, attribute string) (int64, bool) {
	n, err := strconv.ParseInt(e.GetEqualFoldAttributeValue(attribute), 10, 64)
	return n, err == nil
}

// isTrue reports whether a Boolean (RFC 4517 section 3.3.3) is TRUE, in whatever case, as 389 DS
// reads it.
func isTrue(e *ldap.Entry, name string) bool {
	return slices.ContainsFunc(e.GetEqualFoldAttributeValues(name), func(v string) bool { return strings.EqualFold(v, "TRUE") })
}

// generalizedTime is the form of GeneralizedTime (RFC 4517 section 3.3.13) that directories write.
const generalizedTime = "20060102150405Z"

// date is a time in a finding.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Knowledge is what a directory shows of something: that it is so, that it is not, or nothing.
type Knowledge int

// The states of knowledge.
const (
	Unknown Knowledge = iota
	Yes
	No
)

func known(so bool) Knowledge {
	if so {
		return Yes
	}
	return No
}

// Indexed reports whether equality of an attribute has an index at a base DN.
func (d *Dialect) Indexed(ctx context.Context, r Reader, base, attribute string) Knowledge {
	if d.indexed == nil {
		return Unknown
	}
	return d.indexed(ctx, r, base, attribute)
}

// Blocker is what an entry says against a login, whatever the password.
type Blocker struct {
	Verdict Verdict
	Why     string
	Perhaps bool // it may be over
}

// Blocker reads what a user's entry says against a login.
func (d *Dialect) Blocker(e *ldap.Entry, now time.Time) (Blocker, bool) {
	if d.blocker == nil {
		return Blocker{}, false
	}
	return d.blocker(e, now)
}

// Lockout is when a directory locks accounts.
type Lockout struct {
	After  int64         // that many failures; 0: it locks none
	Window time.Duration // of the failures; 0: not shown
	Where  string        // what says so; empty: the directory does not show it
}

// Lockout reads when the directory locks accounts that have no policy of their own.
func (d *Dialect) Lockout(ctx context.Context, r Reader) Lockout {
	if d.lockout == nil {
		return Lockout{}
	}
	return d.lockout(ctx, r)
}

// entryPolicy says how a user's entry names the policy by which it is locked.
type entryPolicy struct {
	pointer string // attribute of the user's entry with the policy's DN
	after   string // attribute of the policy with the number of failures
	on      string // attribute of the policy that says whether it locks at all; empty: After says so
}

// PolicyAttribute of a user's entry names the policy by which the account is locked; "" if there
// are no such policies.
func (d *Dialect) PolicyAttribute() string { return d.entryPolicy.pointer }

// EntryLockout reads when the directory locks one account.
func (d *Dialect) EntryLockout(ctx context.Context, r Reader, entry *ldap.Entry) Lockout {
	p := d.entryPolicy
	policy := ""
	if p.pointer != "" {
		policy = entry.GetEqualFoldAttributeValue(p.pointer)
	}
	if policy == "" {
		return d.Lockout(ctx, r)
	}
	attributes := []string{p.after}
	if p.on != "" {
		attributes = append(attributes, p.on)
	}
	e := read(ctx, r, policy, attributes...)
	if e == nil {
		return Lockout{}
	}
	if on := e.GetEqualFoldAttributeValue(p.on); p.on != "" && !strings.EqualFold(on, "TRUE") && !strings.EqualFold(on, "on") {
		return Lockout{Where: e.DN}
	}
	after, _ := number(e, p.after)
	return Lockout{After: after, Where: e.DN}
}

// Note is something that the doctor adds to a finding.
type Note struct {
	Detail string
	Remedy string // what to do; empty: nothing is wrong
}

// LockoutNote reads whether callers learn that an account is locked. Its Detail is empty if that
// needs no word.
func (d *Dialect) LockoutNote(ctx context.Context, r Reader) Note {
	if d.lockoutNote == nil {
		return Note{}
	}
	return d.lockoutNote(ctx, r)
}

// MaxConnections reads how many connections the directory accepts. where is what says so, or empty
// if the directory does not show it.
func (d *Dialect) MaxConnections(ctx context.Context, r Reader) (most int64, where string) {
	if d.maxConnections == nil {
		return 0, ""
	}
	return d.maxConnections(ctx, r)
}

// OpenConnections reads how many connections the directory has now, the one that asks included. ok
// is false if the directory does not show it.
func (d *Dialect) OpenConnections(ctx context.Context, r Reader) (n int64, ok bool) {
	if d.openConnections.dn == "" {
		return 0, false
	}
	n, where := counter(d.openConnections.dn, d.openConnections.attribute)(ctx, r)
	return n, where != ""
}

// ServerTime reads the server's clock. where is what shows it, or empty. Directories of every kind
// are asked alike: the preset may be wrong.
func ServerTime(ctx context.Context, r Reader) (at time.Time, where string) {
	if at, err := time.Parse(generalizedTime, r.RootDSE().First("currenttime")); err == nil {
		return at, "currentTime of the root DSE"
	}
	for _, d := range All() {
		if d.clock.dn == "" {
			continue
		}
		e := read(ctx, r, d.clock.dn, d.clock.attribute)
		if e == nil {
			continue
		}
		if at, err := time.Parse(generalizedTime, e.GetEqualFoldAttributeValue(d.clock.attribute)); err == nil {
			return at, d.clock.dn
		}
	}
	return time.Time{}, ""
}

// place is an attribute of an entry of the directory's own.
type place struct{ dn, attribute string }

// counter reads a positive number as MaxConnections does.
func counter(dn, attribute string) func(context.Context, Reader) (int64, string) {
	return func(ctx context.Context, r Reader) (int64, string) {
		if e := read(ctx, r, dn, attribute); e != nil {
			if n, ok := number(e, attribute); ok && n > 0 {
				return n, attribute + " of " + dn
			}
		}
		return 0, ""
	}
}

// database is the configuration of the database that holds a base DN, the one with the longest
// suffix; nil if it is not shown.
func database(ctx context.Context, r Reader, config, suffix, base string, attributes ...string) (db *ldap.Entry) {
	entries, _, err := r.Search(ctx, config, ldap.ScopeWholeSubtree, "("+suffix+"=*)", 0, append(attributes, suffix)...)
	if err != nil {
		return nil
	}
	longest := -1
	for _, e := range entries {
		for _, top := range e.GetEqualFoldAttributeValues(suffix) {
			if ldapname.IsBelow(base, top) && len(top) > longest {
				db, longest = e, len(top)
			}
		}
	}
	return db
}
