package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// GroupConfig says how the groups of a user are found whose password was right. The zero value asks for none.
type GroupConfig struct {
	Enabled bool
	BaseDNs []string // where groups live; with AD the domain where there are none
	// RFC 4515, with {dn} or {username}: finds the groups of the user. Empty with AD and FreeIPA: as these tell it, see groupSource.
	Filter        string
	NameAttribute string   // what User.Groups is taken from
	Nested        bool     // groups of groups too
	Required      []string // names or DNs, any of which lets a user in; empty: everybody
}

// groupSource says where a directory keeps what groups a user is in.
type groupSource uint8

const (
	// byFilter: groups name their members. Groups of groups are our own walk.
	byFilter groupSource = iota
	// byTokenGroups: AD works out tokenGroups for a user's entry: the SIDs of the security groups that it is in, always with nested
	// ones and the primary group (MS-ADTS 3.1.1.4.5.19).
	byTokenGroups
	// byMemberOf: FreeIPA keeps in a user's memberOf the DNs of what it is in, nested groups among them.
	byMemberOf
)

// What FreeIPA's groups are, among all that memberOf names, and how one names its direct members.
const (
	ipaGroups       = "(objectClass=ipaUserGroup)"
	ipaGroupsOfUser = "(&" + ipaGroups + "(member={dn}))"
)

// Bounds of what is looked up for one login. Beyond, nobody knows what else there is: a fault, as if it had not been read.
const (
	maxGroups     = 2000 // of one user
	maxGroupDepth = 20   // of nested groups that we walk
	groupBatch    = 50   // groups asked for in one search
)

// What is wrong with a user's groups.
var (
	errNotInGroup    = errors.New("in none of the required groups")
	errTooManyGroups = fmt.Errorf("in more than %d groups", maxGroups)
	errGroupDepth    = fmt.Errorf("groups are nested more than %d deep", maxGroupDepth)
	errNoTokenGroups = errors.New("the user's entry shows no tokenGroups: may the service identity read it?")
	errManyValues    = errors.New("the server gives the attribute in parts (range retrieval): in too many groups")
)

// groupFinder finds groups as a GroupConfig says.
type groupFinder struct {
	GroupConfig
	source   groupSource
	filter   groupFilter // byFilter
	required []requiredGroup
}

// newGroupFinder gives nil where no groups are asked for.
func newGroupFinder(preset Preset, cfg GroupConfig) (*groupFinder, error) {
	if !cfg.Enabled {
		return nil, nil
	}
	g := &groupFinder{GroupConfig: cfg}
	filter := cfg.Filter
	switch {
	case filter != "":
	case preset == AD:
		g.source = byTokenGroups
	case preset == FreeIPA && cfg.Nested:
		g.source = byMemberOf
	case preset == FreeIPA:
		filter = ipaGroupsOfUser
	}
	if len(cfg.BaseDNs) == 0 && preset != AD {
		return nil, errors.New("groups need a base DN")
	}
	if cfg.NameAttribute == "" {
		return nil, errors.New("groups need a name attribute")
	}
	for _, item := range cfg.Required {
		g.required = append(g.required, parseRequired(item))
	}
	var err error
	if g.source == byFilter {
		g.filter, err = parseGroupFilter(filter)
	}
	return g, err
}

// authorize finds the groups of a user whose password was right, and refuses one who is in none of the required ones. A
// directory that does not tell is a fault: it neither lets in nor keeps out.
func (l *login) authorize(ctx context.Context) {
	if l.groups == nil {
		return
	}
	found := &groupSet{nameAttribute: l.groups.NameAttribute, seen: map[string]bool{}}
	var ok bool
	switch l.groups.source {
	case byTokenGroups:
		ok = l.findByToken(ctx, found)
	case byMemberOf:
		ok = l.findByMemberOf(ctx, found)
	default:
		ok = l.findByFilter(ctx, found)
	}
	switch {
	case !ok:
	case len(l.groups.required) > 0 && !slices.ContainsFunc(l.groups.required, found.has):
		l.end(Result{Outcome: NotPermitted, Cause: errNotInGroup})
	default:
		l.user.Groups = found.list()
	}
}

// findByFilter finds groups by their members: the user's, and where nested ones count, then the groups' groups, level by level.
// A group is looked at once, so that cycles end.
func (l *login) findByFilter(ctx context.Context, found *groupSet) bool {
	g := l.groups
	if l.nameless && g.filter.asksName() {
		l.fault(fmt.Errorf("the entry shows no %s, and the group filter asks for it", l.cfg.NameAttribute))
		return false
	}
	level := []string{g.filter.fill(l.user.DN, l.user.Username)}
	for depth := 1; len(level) > 0; depth++ {
		var next []string
		added := func(e *ldap.Entry) {
			if g.Nested {
				// The name stays the user's: one that a group shares with a user says nothing of either.
				next = append(next, g.filter.fill(e.DN, l.user.Username))
			}
		}
		if !l.collect(ctx, level, found, added) {
			return false
		}
		if depth > maxGroupDepth && len(next) > 0 {
			l.fault(errGroupDepth)
			return false
		}
		level = next
	}
	return true
}

// collect adds the groups that any of the filters finds, and calls added with each that is new.
func (l *login) collect(ctx context.Context, filters []string, found *groupSet, added func(*ldap.Entry)) bool {
	bases, ok := l.groupBases(ctx)
	if !ok {
		return false
	}
	for batch := range slices.Chunk(filters, groupBatch) {
		for _, base := range bases {
			entries, ok := l.lookup(ctx, ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, maxGroups+1, 0, false,
				anyOf(batch), []string{l.groups.NameAttribute}, nil))
			if !ok {
				return false
			}
			for _, e := range entries {
				if found.add(e) {
					added(e)
				}
			}
			if len(found.seen) > maxGroups {
				l.fault(errTooManyGroups)
				return false
			}
		}
	}
	return true
}

// groupBases are where groups live; in AD anywhere in the domain, if nothing else is said.
func (l *login) groupBases(ctx context.Context) ([]string, bool) {
	if len(l.groups.BaseDNs) > 0 {
		return l.groups.BaseDNs, true
	}
	d, ok := l.domain(ctx)
	return []string{d.root}, ok
}

// findByToken reads the SIDs of the user's groups and finds the groups that have them. Some have none there: those of other domains,
// and what Windows itself knows.
func (l *login) findByToken(ctx context.Context, found *groupSet) bool {
	sids, ok := l.values(ctx, "tokenGroups")
	if !ok {
		return false
	}
	if len(sids) == 0 { // every account has a primary group
		l.fault(errNoTokenGroups)
		return false
	}
	filters := make([]string, len(sids))
	for i, sid := range sids {
		filters[i] = bytesFilter("objectSid", sid)
	}
	return l.collect(ctx, filters, found, func(*ldap.Entry) {})
}

// findByMemberOf reads the DNs of the user's groups and finds those that are groups: memberOf has roles and rules too.
func (l *login) findByMemberOf(ctx context.Context, found *groupSet) bool {
	values, ok := l.values(ctx, "memberOf")
	if !ok {
		return false
	}
	member := map[string]bool{}
	var filters []string
	for _, v := range values {
		dn, err := ldap.ParseDN(string(v))
		if err != nil || len(dn.RDNs) == 0 || !isAttributeType(dn.RDNs[0].Attributes[0].Type) {
			l.fault(fmt.Errorf("memberOf has a value that is no DN: %q", v))
			return false
		}
		member[dnKey(string(v))] = true
		rdn := dn.RDNs[0].Attributes[0]
		filters = append(filters, "(&"+ipaGroups+bytesFilter(rdn.Type, []byte(rdn.Value))+")")
	}
	found.only = member // there may be others of the same RDN elsewhere
	return l.collect(ctx, filters, found, func(*ldap.Entry) {})
}

// isAttributeType tells whether s may stand in a filter as an attribute's type (RFC 4512 section 1.4: descr or numericoid).
func isAttributeType(s string) bool {
	other := func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return s != "" && !strings.ContainsFunc(s, other)
}

// values reads an attribute of the user's entry.
func (l *login) values(ctx context.Context, attribute string) ([][]byte, bool) {
	entries, ok := l.lookup(ctx, ldap.NewSearchRequest(l.user.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false,
		"(objectClass=*)", []string{attribute}, nil))
	if !ok {
		return nil, false
	}
	if len(entries) != 1 {
		l.fault(errors.New("the user's entry is gone, or the service identity may not read it"))
		return nil, false
	}
	for _, a := range entries[0].Attributes {
		switch name, options, _ := strings.Cut(a.Name, ";"); {
		case !strings.EqualFold(name, attribute):
		case strings.HasPrefix(strings.ToLower(options), "range="): // MS-ADTS 3.1.1.3.1.3.3
			l.fault(fmt.Errorf("%s: %w", attribute, errManyValues))
			return nil, false
		default:
			if len(a.ByteValues) > maxGroups {
				l.fault(errTooManyGroups)
				return nil, false
			}
			return a.ByteValues, true
		}
	}
	return nil, true
}

// groupSet is the groups of one user.
type groupSet struct {
	nameAttribute string
	only          map[string]bool // keys of DNs; where not nil, no others are taken
	seen          map[string]bool // keys of DNs
	names         []string        // as User.Groups has them
	folded        map[string]bool // all of their names, folded
}

// add takes a group in, and tells whether it is new.
func (s *groupSet) add(e *ldap.Entry) bool {
	key := dnKey(e.DN)
	if s.seen[key] || s.only != nil && !s.only[key] {
		return false
	}
	s.seen[key] = true
	for _, a := range e.Attributes {
		if !named(a, s.nameAttribute) || len(a.Values) == 0 {
			continue
		}
		s.names = append(s.names, text(a.Name, a.Values[0]))
		for _, v := range a.Values {
			if s.folded == nil {
				s.folded = map[string]bool{}
			}
			s.folded[foldValue(text(a.Name, v))] = true // by the name that is told
		}
	}
	return true
}

// has tells whether a required group is in the set.
func (s *groupSet) has(r requiredGroup) bool {
	if r.dn != "" {
		return s.seen[r.dn]
	}
	return s.folded[r.name]
}

// list are the names in order, each once; never nil.
func (s *groupSet) list() []string {
	list := append([]string{}, s.names...)
	slices.Sort(list)
	return slices.Compact(list)
}
