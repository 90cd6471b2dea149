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

// GroupConfig says how a user's groups are found after a successful bind. The zero value finds no
// groups.
type GroupConfig struct {
	Enabled bool
	BaseDNs []string // where groups live; with AD, empty is the whole domain
	// RFC 4515, with {dn} or {username}: finds the groups of the user. Empty: the user's entry
	// names them, as dialect.Groups says.
	Filter        string
	NameAttribute string   // the attribute for User.Groups
	Nested        bool     // include groups of groups
	Required      []string // names or DNs, one of which a user must be in; empty: none is required
}

// Limits of the group lookup of one login. Exceeding one is a fault.
const (
	maxGroups        = 2000    // of one user
	maxGroupsSize    = 4 << 20 // of their memory, in bytes
	maxGroupDepth    = 20      // levels of nested groups
	groupBatch       = 100     // groups in one search
	maxGroupSearches = 50      // searches for groups
)

// The causes of failures with groups.
var (
	errNotInGroup    = errors.New("in none of the required groups")
	errTooManyGroups = fmt.Errorf("in more than %d groups", maxGroups)
	errLargeGroups   = errors.New("the names of the user's groups exceed 4 MiB")
	errLargeValues   = errors.New("the values exceed 1 MiB")
	errGroupDepth    = fmt.Errorf("groups are nested more than %d deep", maxGroupDepth)
	errGroupSearches = fmt.Errorf("the groups require more than %d searches", maxGroupSearches)
	errNotDN         = errors.New("memberOf has a value that is not a DN, or one whose RDN cannot be searched")
)

// groupFinder finds groups according to a GroupConfig.
type groupFinder struct {
	GroupConfig
	kind     dialect.Groups
	filter   groupFilter // empty: the user's entry names the groups
	required []requiredGroup

	entries    cache[group] // the entry of a required group, by its DN
	equalNames cache[bool]  // whether a group's name equals a required name, by its DN and both names
	named      cache[group] // groups by their reference in the user's entry: a SID, or a DN's key
}

// newGroupFinder returns nil if groups are not configured.
func newGroupFinder(kind dialect.Groups, cfg GroupConfig) (*groupFinder, error) {
	if !cfg.Enabled {
		return nil, nil
	}
	g := &groupFinder{GroupConfig: cfg, kind: kind}
	filter := cfg.Filter
	if filter == "" && !cfg.Nested {
		filter = kind.DirectFilter
	}
	if len(cfg.BaseDNs) == 0 && !kind.InDomain {
		return nil, errors.New("groups need a base DN")
	}
	if cfg.NameAttribute == "" {
		return nil, errors.New("groups need a name attribute")
	}
	for _, item := range cfg.Required {
		g.required = append(g.required, parseRequired(item))
	}
	var err error
	if filter != "" || kind.Attribute == "" {
		g.filter, err = parseGroupFilter(filter)
	}
	return g, err
}

// authorize returns the group names of a user whose password was right, and denies users who are in
// none of the required groups. No answer from the directory is a fault, which neither permits nor
// denies.
func (l *login) authorize(ctx context.Context) ([]string, error) {
	if l.groups == nil {
		return nil, nil
	}
	found, err := l.findGroups(ctx)
	if err != nil {
		return nil, err
	}
	l.groupsFound = found
	if len(l.groups.required) > 0 {
		switch permitted, err := l.inRequired(ctx, l.groups.required, found); {
		case err != nil:
			return nil, err
		case !permitted:
			return nil, asError(Result{Outcome: NotPermitted, Cause: errNotInGroup})
		}
	}
	return found.list(), nil
}

// findGroups finds the groups of a user.
func (l *login) findGroups(ctx context.Context) (*groupSet, error) {
	found := &groupSet{}
	var err error
	switch {
	case l.groups.filter != "":
		err = l.findByFilter(ctx, found)
	case l.groups.kind.KeyAttribute != "":
		err = l.findByKey(ctx, found)
	default:
		err = l.findByMemberOf(ctx, found)
	}
	return found, err
}

// findByFilter finds groups by their members: the user's groups, and with nested groups the groups
// of those, level by level. Each group is visited once, so that cycles end.
func (l *login) findByFilter(ctx context.Context, found *groupSet) error {
	g, user := l.groups, &l.identity.user
	if l.identity.unnamed && g.filter.usesName() {
		return fault(fmt.Errorf("the entry shows no %s, which the group filter uses", l.cfg.NameAttribute))
	}
	filter, err := l.groupFilter(ctx)
	if err != nil {
		return err
	}
	level := []string{filter.fill(user.DN, user.Username)}
	for depth := 1; len(level) > 0; depth++ {
		var next []string
		add := func(e *ldap.Entry) {
			if found.add(l.newGroup(e)) && g.Nested {
				// The name stays the user's, because a group may have the name of another user.
				next = append(next, filter.fill(e.DN, user.Username))
			}
		}
		if err := l.collect(ctx, level, found, add); err != nil {
			return err
		}
		if depth > maxGroupDepth && len(next) > 0 {
			return fault(errGroupDepth)
		}
		level = next
	}
	return nil
}

// collect calls add with each group that matches any of the filters.
func (l *login) collect(ctx context.Context, filters []string, found *groupSet, add func(*ldap.Entry)) error {
	bases, err := l.groupBases(ctx)
	if err != nil {
		return err
	}
	attributes := []string{l.groups.NameAttribute, l.cfg.Dialect.IDAttribute}
	if l.groups.filter == "" && l.groups.kind.KeyAttribute != "" {
		attributes = append(attributes, l.groups.kind.KeyAttribute)
	}
	for batch := range slices.Chunk(filters, groupBatch) {
		for _, base := range bases {
			if err := l.countGroupSearch(); err != nil {
				return err
			}
			entries, err := l.lookup(ctx, l.groupBaseText(base), ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, maxGroups+1, 0, false,
				anyOf(batch), attributes, nil))
			if err != nil {
				return err
			}
			for _, e := range entries {
				if err := l.fetchRanges(ctx, e, l.groups.NameAttribute); err != nil {
					return err
				}
				add(e)
			}
			if len(found.groups) > maxGroups {
				return fault(errTooManyGroups)
			}
			if found.size > maxGroupsSize {
				return fault(errLargeGroups)
			}
		}
	}
	return nil
}

// groupBaseText describes a group base DN in a fault.
func (l *login) groupBaseText(base string) string {
	if len(l.groups.BaseDNs) == 0 { // a server sent it
		return "default naming context"
	}
	return fmt.Sprintf("base %q", base)
}

// newGroup reads the entry of a group.
func (l *login) newGroup(e *ldap.Entry) group {
	return newGroup(e, l.groups.NameAttribute, l.cfg.Dialect.IDAttribute)
}

// countGroupSearch counts one search for groups, and fails if there are too many.
func (l *login) countGroupSearch() error {
	l.groupSearches++
	if l.groupSearches > maxGroupSearches {
		return fault(errGroupSearches)
	}
	return nil
}

// groupBases returns the base DNs of groups. In AD the default is the whole domain.
func (l *login) groupBases(ctx context.Context) ([]string, error) {
	if len(l.groups.BaseDNs) > 0 {
		return l.groups.BaseDNs, nil
	}
	d, err := l.domain(ctx)
	return []string{d.Root}, err
}

// findByKey reads the keys of the user's groups and finds the groups that have them. Keys of other
// domains and of groups built into Windows match no group.
func (l *login) findByKey(ctx context.Context, found *groupSet) error {
	attribute := l.groups.kind.KeyAttribute
	keys, err := l.values(ctx, l.groups.kind.Attribute)
	if err != nil {
		return err
	}
	if len(keys) == 0 { // every account has a primary group
		return fault(fmt.Errorf("the user's entry shows no %s: check that the service identity may read it", l.groups.kind.Attribute))
	}
	var filters []string
	for _, key := range keys {
		if g, cached := l.groups.named.get(string(key), time.Now()); cached {
			found.add(g)
		} else {
			filters = append(filters, bytesFilter(attribute, key))
		}
	}
	return l.collect(ctx, filters, found, func(e *ldap.Entry) {
		g := l.newGroup(e)
		if key := e.GetEqualFoldRawAttributeValue(attribute); len(key) > 0 {
			l.groups.named.put(string(key), g, g.size(), time.Now())
		}
		found.add(g)
	})
}

// findByMemberOf reads the DNs in memberOf and finds those that are groups: memberOf also has roles
// and rules.
func (l *login) findByMemberOf(ctx context.Context, found *groupSet) error {
	values, err := l.values(ctx, l.groups.kind.Attribute)
	if err != nil {
		return err
	}
	wanted := map[string]bool{} // PermitDNKeys, because entries elsewhere may have the same RDN
	var filters []string
	for _, v := range values {
		parsed, err := ldapname.ParseDN(string(v))
		if err != nil || len(parsed.RDNs) == 0 || !ldapname.IsAttributeType(parsed.RDNs[0].Attributes[0].Type) {
			return fault(errNotDN)
		}
		key := ldapname.PermitDNKey(string(v))
		if g, cached := l.groups.named.get(key, time.Now()); cached {
			found.add(g)
			continue
		}
		wanted[key] = true
		rdn := parsed.RDNs[0].Attributes[0]
		filters = append(filters, "(&"+l.groups.kind.Filter+bytesFilter(rdn.Type, []byte(rdn.Value))+")")
	}
	var otherSpelling []group
	err = l.collect(ctx, filters, found, func(e *ldap.Entry) {
		g, key := l.newGroup(e), ldapname.PermitDNKey(e.DN)
		if !wanted[key] {
			otherSpelling = append(otherSpelling, g)
			found.size += g.size()
			return
		}
		l.groups.named.put(key, g, g.size(), time.Now())
		found.add(g)
	})
	if err != nil {
		return err
	}
	return l.addEquivalent(ctx, values, otherSpelling, found)
}

// addEquivalent adds those of the groups whose DNs in memberOf are spelled differently from the
// entries' DNs. The directory decides whether they are equal.
func (l *login) addEquivalent(ctx context.Context, memberOf [][]byte, groups []group, found *groupSet) error {
	for _, g := range groups {
		for _, v := range memberOf {
			if !ldapname.MayBeSameDN(string(v), g.dn) {
				continue
			}
			entry, exists, err := l.readGroup(ctx, "entry of a value of memberOf", string(v))
			if err != nil {
				return err
			}
			if exists && entry.is(g) {
				found.add(g)
			}
		}
	}
	return nil
}

// values reads an attribute of the user's entry.
func (l *login) values(ctx context.Context, attribute string) ([][]byte, error) {
	found, err := l.ownValues(ctx, attribute)
	return found[attribute], err
}

// ownValues reads attributes of the user's entry with all values.
func (l *login) ownValues(ctx context.Context, names ...string) (map[string][][]byte, error) {
	if err := l.countGroupSearch(); err != nil {
		return nil, err
	}
	searched := strings.Join(names, ", ") + " of the user's entry"
	entries, err := l.lookup(ctx, searched, ldap.NewSearchRequest(l.identity.user.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", names, nil))
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fault(errors.New("the user's entry was deleted, or the service identity may not read it"))
	}
	if err := l.fetchRanges(ctx, entries[0], names...); err != nil {
		return nil, err
	}
	found := map[string][][]byte{}
	for _, a := range entries[0].Attributes {
		for _, name := range names {
			if ldapname.SameDescription(a.Name, name) {
				found[name] = append(found[name], a.ByteValues...)
			}
		}
	}
	for _, name := range names {
		size := 0
		for _, v := range found[name] {
			size += stringSize + len(v)
		}
		switch {
		case len(found[name]) > maxGroups:
			return nil, fault(errTooManyGroups)
		case size > maxEntrySize:
			return nil, fault(fmt.Errorf("%s: %w", name, errLargeValues))
		}
	}
	return found, nil
}
