package doctor

import (
	"context"
	"fmt"
	"strings"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
)

// indexes adds to the finding about the user filter which attributes have an index, as far as the
// directory shows it. It only checks the attributes that the filter compares with the name: the
// directory evaluates those first, so the others need no index.
func (s *target) indexes(ctx context.Context, base string, f *finding) {
	byKnowledge := map[dialect.Knowledge][]string{}
	for _, name := range auth.NameAttributes(s.Logins.Filter) {
		k := s.Logins.Dialect.Indexed(ctx, reader{s}, base, name)
		byKnowledge[k] = append(byKnowledge[k], name)
	}
	if names := byKnowledge[dialect.Yes]; len(names) > 0 {
		f.Details = append(f.Details, "indexed: "+strings.Join(names, ", "))
	}
	if names := byKnowledge[dialect.Unknown]; len(names) > 0 {
		f.Details = append(f.Details, fmt.Sprintf("not checked: whether the directory has an index on %s. The service identity may not read the directory's configuration, which is usual", strings.Join(names, ", ")))
	}
	if names := byKnowledge[dialect.No]; len(names) > 0 {
		f.Mark = Warn
		f.Finding += "; it has no index on " + strings.Join(names, ", ") + ", so the directory reads all entries for every login"
		f.Remedy = "add an index in the directory on " + strings.Join(names, ", ")
		if advice := s.Logins.Dialect.Advice.Index; advice != "" {
			f.Remedy += " (" + fmt.Sprintf(advice, strings.Join(names, ",")) + ")"
		}
	}
}
