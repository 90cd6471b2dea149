package doctor

import (
	"context"
	"slices"
	"strings"

	"authsvc/internal/auth"
)

// attributeNames returns the directory's attributes by each of their names in lower case and by
// their OID, with all of their names. It returns none if the directory does not show its schema, or
// not the whole of it.
func (s *target) attributeNames(ctx context.Context) map[string][]string {
	if s.schema != nil {
		return s.schema
	}
	s.schema = map[string][]string{}
	at := s.root.First("subschemasubentry")
	if at == "" {
		return s.schema
	}
	e := s.read(ctx, at, "attributeTypes")
	if e == nil {
		return s.schema
	}
	all := map[string][]string{}
	for _, definition := range e.GetEqualFoldAttributeValues("attributeTypes") {
		names := schemaNames(definition)
		for _, name := range append(names, schemaOID(definition)) {
			all[strings.ToLower(name)] = names
		}
	}
	if all["cn"] != nil {
		s.schema = all
	}
	return s.schema
}

// namesAny reports whether one of names is a name of the attribute.
func (s *target) namesAny(ctx context.Context, names []string, attribute string) bool {
	its := append([]string{attribute}, s.attributeNames(ctx)[strings.ToLower(attribute)]...)
	return slices.ContainsFunc(names, func(n string) bool {
		return slices.ContainsFunc(its, func(i string) bool { return strings.EqualFold(i, n) })
	})
}

// undefined returns those attributes of the user filter that the directory's schema does not have;
// none if the directory does not show its schema.
func (s *target) undefined(ctx context.Context) (missing []string) {
	for _, name := range auth.FilterAttributes(s.Logins.Filter) {
		if s.isUndefined(ctx, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// isUndefined reports whether the directory's schema does not have an attribute, by name or OID. It
// is false if the directory does not show its schema.
func (s *target) isUndefined(ctx context.Context, description string) bool {
	name, _, _ := strings.Cut(description, ";")
	all := s.attributeNames(ctx)
	return len(all) > 0 && all[strings.ToLower(name)] == nil
}

// schemaOID reads the OID in an AttributeTypeDescription, which it begins with.
func schemaOID(definition string) string {
	oid, _, _ := strings.Cut(strings.TrimLeft(definition, "( "), " ")
	return oid
}

// schemaNames reads the names in an AttributeTypeDescription (RFC 4512 section 4.1.2): NAME 'a' or
// NAME ( 'a' 'b' ).
func schemaNames(definition string) (names []string) {
	_, rest, ok := strings.Cut(definition, " NAME ")
	if !ok {
		return nil
	}
	rest = strings.TrimLeft(rest, " ")
	list := strings.HasPrefix(rest, "(")
	if list {
		rest, _, _ = strings.Cut(rest[1:], ")")
	}
	for i, part := range strings.Split(rest, "'") {
		if i%2 == 1 {
			names = append(names, part)
			if !list {
				return names
			}
		}
	}
	return names
}
