package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// errHiddenGroup is the cause of a fault: membership in a group that cannot be read is unknown.
var errHiddenGroup = errors.New("the required group is not visible to the service identity")

// requiredGroup is one item of LDAP_REQUIRED_GROUPS.
type requiredGroup struct {
	text string // the DN as it was written, or the value of the groups' name attribute
	isDN bool
	key  string // of a name: its ldapname.CountKeyAD
}

// parseRequired parses one item of LDAP_REQUIRED_GROUPS. A valid DN (RFC 4514) is treated as a DN.
// In a name, a semicolon, which ends an item, and a backslash before one are escaped by a
// backslash; any other backslash stands for itself.
func parseRequired(item string) requiredGroup {
	if dn, err := ldapname.ParseDN(item); err == nil && len(dn.RDNs) > 0 {
		return requiredGroup{text: item, isDN: true}
	}
	name := strings.NewReplacer(`\;`, `;`, `\\`, `\`).Replace(item)
	return requiredGroup{text: name, key: ldapname.CountKeyAD(name)}
}

// isExactly reports whether g is the required group by byte comparison. Under every matching rule a
// value equals itself. The text forms of objectSid and objectGUID are defined by this service.
func (r requiredGroup) isExactly(g group, nameAttribute string) bool {
	if r.isDN {
		return r.text == g.dn
	}
	if dialect.HasText(nameAttribute) {
		return slices.ContainsFunc(g.names, func(n string) bool { return ldapname.PermitKey(n) == ldapname.PermitKey(r.text) })
	}
	return slices.Contains(g.names, r.text)
}

// mayEqual returns the names of g that the directory may consider equal to the required name.
func (r requiredGroup) mayEqual(g group, nameAttribute string) (names []string) {
	if dialect.HasText(nameAttribute) {
		return nil // isExactly has compared all names
	}
	for _, n := range g.names {
		if ldapname.CountKeyAD(n) == r.key {
			names = append(names, n)
		}
	}
	return names
}

// inRequired reports whether one of the groups found is a required one. Names that are equal byte
// for byte permit a login. Names that no directory considers equal do not. For all others the
// directory decides, and no answer is a fault.
func (l *login) inRequired(ctx context.Context, required []requiredGroup, found *groupSet) (permitted bool, err error) {
	for _, r := range required {
		if r.exact(found, l.groups.NameAttribute) != nil {
			return true, nil
		}
	}
	for _, r := range required {
		if g, err := l.equivalent(ctx, r, found); g != nil || err != nil {
			return g != nil, err
		}
	}
	return false, nil
}

// exact returns that of the groups found which is the required one by its spelling alone, or nil.
func (r requiredGroup) exact(found *groupSet, nameAttribute string) *group {
	for i := range found.groups {
		if r.isExactly(found.groups[i], nameAttribute) {
			return &found.groups[i]
		}
	}
	return nil
}

// equivalent returns that of the groups found which the directory takes for the required one, or
// nil.
func (l *login) equivalent(ctx context.Context, r requiredGroup, found *groupSet) (*group, error) {
	if r.isDN {
		return l.withDN(ctx, r, found)
	}
	return l.withName(ctx, r, found)
}

// withDN returns the group whose entry the directory returns for the DN of a required group, if it
// is among those found. A cached answer can permit a login, but not deny it: then the entry is read
// again.
func (l *login) withDN(ctx context.Context, r requiredGroup, found *groupSet) (*group, error) {
	var candidates []*group
	for i := range found.groups {
		if ldapname.MayBeSameDN(r.text, found.groups[i].dn) {
			candidates = append(candidates, &found.groups[i])
		}
	}
	if len(candidates) == 0 {
		return nil, nil
	}
	same := func(entry group) *group {
		if i := slices.IndexFunc(candidates, func(g *group) bool { return entry.is(*g) }); i >= 0 {
			return candidates[i]
		}
		return nil
	}
	if known, cached := l.groups.entries.get(r.text, time.Now()); cached {
		if g := same(known); g != nil {
			return g, nil
		}
	}
	entry, exists, err := l.readGroup(ctx, fmt.Sprintf("group %q", r.text), r.text)
	if err != nil || !exists {
		return nil, err
	}
	l.groups.entries.put(r.text, entry, entry.size(), time.Now())
	return same(entry), nil
}

// readGroup reads the entry of a DN as the service identity. exists is false if there is none.
// searched is as for lookup.
func (l *login) readGroup(ctx context.Context, searched, dn string) (entry group, exists bool, err error) {
	id := l.cfg.Dialect.IDAttribute
	entries, exists, err := l.lookupBase(ctx, searched, dn, "(objectClass=*)", id)
	if err != nil || !exists {
		return group{}, false, err
	}
	if len(entries) != 1 {
		return group{}, false, fault(fmt.Errorf("%s: %w", searched, errHiddenGroup))
	}
	return newGroup(entries[0], l.groups.NameAttribute, id), true, nil
}

// withName returns that of the groups found which has a required name by the directory's own
// equality match, or nil.
func (l *login) withName(ctx context.Context, r requiredGroup, found *groupSet) (*group, error) {
	attribute := l.groups.NameAttribute
	filter := "(" + attribute + "=" + ldap.EscapeFilter(r.text) + ")"
	for i := range found.groups {
		g := &found.groups[i]
		names := r.mayEqual(*g, attribute)
		if len(names) == 0 {
			continue
		}
		// The directory also compares values that are not returned as names, such as cn;lang-en for
		// cn (RFC 4512 section 2.5.2). So the answer is only valid for this group.
		question := g.dn + "\x00" + r.text + "\x00" + names[0]
		if equal, cached := l.groups.equalNames.get(question, time.Now()); cached && len(names) == 1 {
			if equal {
				return g, nil
			}
			continue
		}
		entries, exists, err := l.lookupBase(ctx, fmt.Sprintf("group with the required name %q", r.text), g.dn, filter, "1.1")
		if err != nil {
			return nil, err
		}
		equal := exists && len(entries) > 0
		if exists && len(names) == 1 {
			l.groups.equalNames.put(question, equal, 0, time.Now())
		}
		if equal {
			return g, nil
		}
	}
	return nil, nil
}

// lookupBase is lookup for one entry. exists is false if the directory has no such entry.
func (l *login) lookupBase(ctx context.Context, searched, dn, filter, attribute string) (entries []*ldap.Entry, exists bool, err error) {
	if err := l.countGroupSearch(); err != nil {
		return nil, false, err
	}
	req := ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, filter, []string{attribute}, nil)
	answer, err := l.doSearch(ctx, req)
	if err != nil {
		return nil, false, asError(judgeFault(err))
	}
	if canonical := ldapname.CanonicalDN(dn); answer.Code == ldap.LDAPResultInvalidDNSyntax && canonical != dn {
		return l.lookupBase(ctx, searched, canonical, filter, attribute)
	}
	if answer.Code == ldap.LDAPResultNoSuchObject {
		return nil, false, nil
	}
	if err := judgeLookup(answer.Result); err != nil {
		return nil, false, withContext(searched, err)
	}
	return answer.Entries, true, nil
}
