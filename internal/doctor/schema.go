package doctor

import (
	"context"
	"slices"
	"strings"

	"authsvc/internal/auth"
)

// attributeNames gives the directory's attributes by each of their names in lower case, with all of their names; none where
// the directory does not show its schema, or not the whole of it.
func (s *patient) attributeNames(ctx context.Context) map[string][]string {
	if s.schema != nil {
		return s.schema
	}
	s.schema = map[string][]string{}
	at := s.first("subschemasubentry")
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
		for _, name := range names {
			all[strings.ToLower(name)] = names
		}
	}
	if all["cn"] != nil {
		s.schema = all
	}
	return s.schema
}

// namesAny tells whether one of names is an attribute's, by any of its names.
func (s *patient) namesAny(ctx context.Context, names []string, attribute string) bool {
	its := append([]string{attribute}, s.attributeNames(ctx)[strings.ToLower(attribute)]...)
	return slices.ContainsFunc(names, func(n string) bool {
		return slices.ContainsFunc(its, func(i string) bool { return strings.EqualFold(i, n) })
	})
}

// undefined gives those attributes of the user filter that the directory's schema does not have; none where it does not tell.
func (s *patient) undefined(ctx context.Context) (missing []string) {
	all := s.attributeNames(ctx)
	for _, name := range auth.FilterAttributes(s.Logins.Filter) {
		if len(all) > 0 && all[strings.ToLower(name)] == nil && strings.Trim(name, "0123456789.") != "" {
			missing = append(missing, name)
		}
	}
	return missing
}

// schemaNames reads the names in an AttributeTypeDescription (RFC 4512 section 4.1.2): NAME 'a' or NAME ( 'a' 'b' ).
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
