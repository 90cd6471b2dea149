package auth

import (
	"context"
	"errors"
	"time"

	"authsvc/internal/dialect"

	"github.com/go-ldap/ldap/v3"
)

// domain is the names of the directory's domain, and when they were read.
type domain struct {
	dialect.Domain
	readAt time.Time
}

// domain returns the domain's names, which are cached for cacheTTL.
func (l *login) domain(ctx context.Context) (domain, error) {
	if d := l.cachedDomain.Load(); d != nil && time.Since(d.readAt) < cacheTTL {
		return *d, nil
	}
	return l.readDomain(ctx)
}

// readDomain reads the domain's names from the directory.
func (l *login) readDomain(ctx context.Context) (domain, error) {
	began := time.Now()
	names, err := dialect.ReadDomain(ctx, l.lookup)
	if _, isResult := errors.AsType[*resultError](err); err != nil && !isResult {
		err = fault(err)
	}
	if err != nil {
		return domain{}, err
	}
	d := &domain{Domain: names, readAt: began}
	l.cachedDomain.Store(d)
	return *d, nil
}

// lookup does a search for other data than the user's entry. An incomplete answer is a fault, so
// that missing data is never treated as empty. The fault describes the search as searched. This
// must not contain a DN that a server sent, which may repeat a password.
func (l *login) lookup(ctx context.Context, searched string, req *ldap.SearchRequest) ([]*ldap.Entry, error) {
	answer, err := l.doSearch(ctx, req)
	if err != nil {
		return nil, asError(judgeFault(err))
	}
	if err := judgeLookup(answer.Result); err != nil {
		return nil, withContext(searched, err)
	}
	return answer.Entries, nil
}
