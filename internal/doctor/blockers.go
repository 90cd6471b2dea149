package doctor

import (
	"context"
	"time"

	"authsvc/internal/dialect"
)

// blockers reads why a user's entry forbids a login, as far as the service identity may read it.
func (s *target) blockers(ctx context.Context, dn string) (b dialect.Blocker, found bool) {
	kind := s.Logins.Dialect
	if len(kind.BlockerAttributes) == 0 {
		return dialect.Blocker{}, false
	}
	e := s.read(ctx, dn, kind.BlockerAttributes...)
	if e == nil {
		return dialect.Blocker{}, false
	}
	return kind.Blocker(e, time.Now())
}
