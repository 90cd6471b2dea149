package ldappool

import (
	"context"
	"errors"
	"time"

	"authsvc/internal/redact"
	"authsvc/ldappool/internal/core"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Search asks the directory as the service identity. req is not changed. An answer of any result
// code is a result. An error is a fault and matches one of the sentinels, or ctx's own error if ctx
// was canceled.
//
// If its connection is lost, a search is sent once more, on a connection that was dialed or checked
// after the loss. If it is answered with referral (10), busy (51), unavailable (52) or
// unwillingToPerform (53), it is sent once more to another usable server. The same holds for
// operationsError (1), adminLimitExceeded (11) and other (80) while such answers persist. The size
// of an answer is bounded: see package ldapconn. SizeLimit is the server's to keep;
// EnforceSizeLimit has no effect.
func (p *Pool) Search(ctx context.Context, req *ldap.SearchRequest) (*SearchResult, error) {
	return p.SearchWithFilter(ctx, req, ldapconn.Filter{})
}

// SearchWithFilter is Search with a compiled filter, if it is not zero, instead of the request's
// text.
func (p *Pool) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*SearchResult, error) {
	if req == nil {
		return nil, &OpError{Op: "search", Kind: ErrInvalidRequest, Err: errors.New("the request is nil")}
	}
	answer, wait, err := run(ctx, p, &operation[*SearchResult]{
		name: "search", lane: core.Search, retryElsewhere: true,
		mayResend: func(*ldapconn.Fault) bool { return true },
		send: func(ctx context.Context, deadline time.Time, c *conn) (*SearchResult, *Result, error) {
			answer, err := c.search(ctx, deadline, req, filter)
			if err != nil {
				return nil, nil, err
			}
			return answer, &answer.Result, nil
		},
	})
	if err != nil {
		return nil, err
	}
	answer.Wait = wait
	return answer, nil
}

// Bind asks the directory whether password belongs to dn, by a simple bind (RFC 4513 section 5.1.3)
// with controls. The result's code is the verdict: 0 yes, 49 (invalidCredentials) no; for other
// codes see the server's documentation. An error is a fault and never a verdict. It matches one of
// the sentinels, or ctx's own error if ctx was canceled.
//
// An empty password is rejected with ErrInvalidRequest, because a directory treats it as an
// anonymous bind, which succeeds (RFC 4513 section 5.1.2). Config.BindRetry says when a bind is
// sent a second time.
func (p *Pool) Bind(ctx context.Context, dn, password string, controls ...Control) (*BindResult, error) {
	if dn == "" || password == "" {
		return nil, &OpError{Op: "bind", Kind: ErrInvalidRequest, Err: errors.New("a bind needs a DN and a password")}
	}
	rule := p.config().BindRetry
	answer, wait, err := run(ctx, p, &operation[*BindResult]{
		name: "bind", lane: core.Bind,
		// RetryUnsent is for directories that count every bind that arrives, whatever they answer.
		retryElsewhere: rule == RetryNoResponse,
		mayResend: func(f *ldapconn.Fault) bool {
			return !f.Sent || rule == RetryNoResponse && !f.Answered
		},
		send: func(ctx context.Context, deadline time.Time, c *conn) (*BindResult, *Result, error) {
			answer, err := c.bind(ctx, deadline, dn, password, p.controlsFor(c, controls))
			if err != nil {
				return nil, nil, err
			}
			return answer, &answer.Result, nil
		},
	})
	if err != nil {
		return nil, err
	}
	answer.Wait = wait
	return answer, nil
}

// search does a search on a connection.
func (c *conn) search(ctx context.Context, deadline time.Time, req *ldap.SearchRequest, filter ldapconn.Filter) (*SearchResult, error) {
	r, err := c.ldap.Search(ctx, deadline, req, filter)
	if err != nil {
		return nil, err
	}
	return &SearchResult{Result: c.result(&r.Result), Entries: r.Entries, References: r.References}, nil
}

// bind does a bind on a connection.
func (c *conn) bind(ctx context.Context, deadline time.Time, dn, password string, controls []Control) (*BindResult, error) {
	r, err := c.ldap.Bind(ctx, deadline, dn, password, controls...)
	if err != nil {
		return nil, err
	}
	return &BindResult{c.result(r)}, nil
}

func (c *conn) result(r *ldapconn.Result) Result {
	return Result{
		Code: r.Code, MatchedDN: r.MatchedDN, Diagnostic: r.Diagnostic, Controls: r.Controls,
		Withhold: !redact.Known(r.Diagnostic) && redact.Holds(r.Diagnostic, c.cfg.BindPassword),
	}
}
