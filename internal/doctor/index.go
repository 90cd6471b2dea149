package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// knowledge is what a directory tells of something: that it is so, that it is not, or nothing.
type knowledge int

const (
	untold knowledge = iota
	isSo
	isNot
)

// known is the knowledge of something that the directory tells of.
func known(so bool) knowledge {
	if so {
		return isSo
	}
	return isNot
}

// indexes adds to what was found of a filter whether the attributes that it compares the name with have an index, where that
// can be told. The others need none: the directory looks for the name first.
func (s *patient) indexes(ctx context.Context, base string, f *finding) {
	told := map[knowledge][]string{}
	for _, name := range auth.NameAttributes(s.Logins.Filter) {
		k := s.indexed(ctx, base, name)
		told[k] = append(told[k], name)
	}
	if names := told[isSo]; len(names) > 0 {
		f.Details = append(f.Details, "indexed: "+strings.Join(names, ", "))
	}
	if names := told[untold]; len(names) > 0 {
		f.Details = append(f.Details, fmt.Sprintf("whether the directory has an index on %s cannot be seen from here: the service identity may not read its configuration, as is usual", strings.Join(names, ", ")))
	}
	if names := told[isNot]; len(names) > 0 {
		f.Mark = Warn
		f.Finding += "; it has no index on " + strings.Join(names, ", ") + ", so every login makes the directory read all entries"
		f.Remedy = "have the directory index " + strings.Join(names, ", ")
		if s.Logins.Preset == auth.OpenLDAP {
			f.Remedy += fmt.Sprintf(" (OpenLDAP: \"olcDbIndex: %s eq\" in cn=config; with slapd.conf \"index %[1]s eq\" and slapindex)", strings.Join(names, ","))
		}
	}
}

// indexed tells whether equality of an attribute is indexed at a base.
func (s *patient) indexed(ctx context.Context, base, name string) knowledge {
	switch s.Logins.Preset {
	case auth.AD:
		return s.indexedAD(ctx, name)
	case auth.DS389, auth.FreeIPA:
		return s.indexed389(ctx, base, name)
	default:
		return s.indexedOpenLDAP(ctx, base, name)
	}
}

// indexedAD asks Active Directory's schema (MS-ADTS 2.2.10: the first bit of searchFlags).
func (s *patient) indexedAD(ctx context.Context, name string) knowledge {
	schema := s.first("schemanamingcontext")
	if schema == "" {
		return untold
	}
	entries, code, _, err := s.ask(ctx, schema, ldap.ScopeSingleLevel, "(&(objectClass=attributeSchema)(lDAPDisplayName="+ldap.EscapeFilter(name)+"))", 1, "searchFlags")
	if err != nil || code != ldap.LDAPResultSuccess || len(entries) != 1 {
		return untold
	}
	flags, ok := number(entries[0], "searchFlags")
	if !ok {
		return untold
	}
	return known(flags&1 != 0)
}

// indexedOpenLDAP asks the database's configuration: "uid,mail pres,eq" (slapd-config(5), olcDbIndex).
func (s *patient) indexedOpenLDAP(ctx context.Context, base, name string) knowledge {
	db := s.database(ctx, "cn=config", "olcSuffix", base, "olcDbIndex")
	if db == nil {
		return untold
	}
	values := db.GetEqualFoldAttributeValues("olcDbIndex")
	usual := []string{""} // of a line without its own: "default pres,eq"
	for _, v := range values {
		if fields := strings.Fields(v); len(fields) == 2 && strings.EqualFold(fields[0], "default") {
			usual = strings.Split(fields[1], ",")
		}
	}
	for _, v := range values {
		fields := strings.Fields(v)
		if len(fields) == 0 || !s.namesAny(ctx, strings.Split(fields[0], ","), name) {
			continue
		}
		kinds := usual
		if len(fields) > 1 {
			kinds = strings.Split(fields[1], ",")
		}
		if slices.Contains(kinds, "eq") {
			return isSo
		}
	}
	return isNot
}

// indexed389 asks 389 DS' configuration of the database: an entry for each index.
func (s *patient) indexed389(ctx context.Context, base, name string) knowledge {
	db := s.database(ctx, "cn=ldbm database,cn=plugins,cn=config", "nsslapd-suffix", base)
	if db == nil {
		return untold
	}
	entries, code, _, err := s.ask(ctx, "cn=index,"+db.DN, ldap.ScopeSingleLevel, "(objectClass=nsIndex)", 0, "cn", "nsIndexType")
	if err != nil || code != ldap.LDAPResultSuccess || len(entries) == 0 {
		return untold
	}
	return known(slices.ContainsFunc(entries, func(e *ldap.Entry) bool {
		return s.namesAny(ctx, e.GetEqualFoldAttributeValues("cn"), name) && slices.Contains(e.GetEqualFoldAttributeValues("nsIndexType"), "eq")
	}))
}

// database is the configuration of the database that holds a base, the one with the longest suffix; nil where it is not told.
func (s *patient) database(ctx context.Context, config, suffix, base string, attributes ...string) (db *ldap.Entry) {
	entries, _, _, err := s.ask(ctx, config, ldap.ScopeWholeSubtree, "("+suffix+"=*)", 0, append(attributes, suffix)...)
	if err != nil {
		return nil
	}
	longest := -1
	for _, e := range entries {
		for _, top := range e.GetEqualFoldAttributeValues(suffix) {
			if below(base, top) && len(top) > longest {
				db, longest = e, len(top)
			}
		}
	}
	return db
}
