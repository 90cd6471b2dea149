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

// domain returns the domain's names, which are cached for cacheAge.
func (l *login) domain(ctx context.Context) (domain, error) {
	if d := l.cachedDomain.Load(); d != nil && time.Since(d.readAt) < cacheAge {
		return *d, nil
	}
	return l.readDomain(ctx)
}

// readDomain reads the domain's names from the directory.
func (l *login) readDomain(ctx context.Context) (domain, error) {
	began := time.Now()
	names, err := dialect.ReadDomain(ctx, l.lookup)
	if _, isDecided := errors.AsType[*decided](err); err != nil && !isDecided {
		err = fault(err)
	}
	if err != nil {
		return domain{}, err
	}
	d := &domain{Domain: names, readAt: began}
	l.cachedDomain.Store(d)
	return *d, nil
}

// lookup does a search that is not for the user's entry but for what the login must know besides.
// Anything but the whole of the answer is a fault: nothing that was not read is taken for empty.
// The fault names what was searched in the words given. These never include a DN that a server
// sent: it may repeat a password.
func (l *login) lookup(ctx context.Context, searched string, req *ldap.SearchRequest) ([]*ldap.Entry, error) {
	answer, err := l.ask(ctx, req)
	if err != nil {
		return nil, end(judgeFault(err))
	}
	if err := judgeLookup(answer.Result); err != nil {
		return nil, naming(searched, err)
	}
	return answer.Entries, nil
}
