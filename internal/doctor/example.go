package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// exampleCandidates bounds the entries that an example is chosen from. Servers limit a search to as
// many or more.
const exampleCandidates = 500

// findExample searches for users and returns the DN of the one that a reader most likely
// recognizes, or "" if there is none.
func (s *target) findExample(ctx context.Context, base string, scope int, filter string) (dn string, code uint16, err error) {
	entries, code, _, err := s.ask(ctx, base, scope, filter, exampleCandidates,
		dialect.ExampleAttributes()...)
	if err != nil || len(entries) == 0 {
		return "", code, err
	}
	return chooseExample(entries), code, nil
}

// chooseExample returns the DN of the entry that serves best as an example of a user. A server
// returns entries in any order (Samba in that of random GUIDs), so the choice depends on the
// entries alone. There is at least one.
func chooseExample(entries []*ldap.Entry) string {
	best := slices.MinFunc(entries, func(a, b *ldap.Entry) int {
		return cmp.Or(cmp.Compare(dialect.ExampleRank(a), dialect.ExampleRank(b)), cmp.Compare(strings.ToLower(a.DN), strings.ToLower(b.DN)), cmp.Compare(a.DN, b.DN))
	})
	return best.DN
}
