package ldappool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/internal/redact"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// stepError says which step of a dial failed.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// rootDSE is the search of a check (RFC 4512 section 5.1), without attributes. Any answer shows
// that the connection works, whatever its code.
var rootDSE = readRootDSE("1.1")

// rootDSEControls also asks for the controls that the server knows.
var rootDSEControls = readRootDSE(supportedControl)

const supportedControl = "supportedControl"

func readRootDSE(attribute string) *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{attribute}, nil)
}

// firstExchange does the service bind, or a check if no service bind is due, and returns its last
// operation and the answer's code. It detects a server that accepts connections and does not answer
// before a login uses the connection. It also keeps servers from closing the connection because no
// request was ever sent (Active Directory does after 120 s). If the server's controls are not known
// yet, it reads them.
func (c *conn) firstExchange(ctx context.Context) (op string, code uint16, err error) {
	deadline, _ := ctx.Deadline()
	op = "connect"
	if c.core.AsService {
		r, err := c.bindAsService(ctx, deadline, c.cfg)
		if err != nil {
			return "", 0, err
		}
		op, code = "service bind", r.Code
	}
	if !c.core.ReadsRootDSE || c.core.AsService && !c.asksForControls() {
		return op, code, nil
	}
	req := rootDSE
	if c.cfg.OnlyListedControls {
		req = rootDSEControls
	}
	r, err := c.ping(ctx, deadline, req, !c.core.AsService)
	if err != nil {
		return "", 0, &stepError{"ping", err}
	}
	if req == rootDSEControls {
		c.server.controls.record(r, c.core.AsService)
	}
	return "ping", r.Code, nil
}

// bindAsService does the service bind.
func (c *conn) bindAsService(ctx context.Context, deadline time.Time, cfg *Config) (*ldapconn.Result, error) {
	var r *ldapconn.Result
	var err error
	if cfg.BindMethod == BindExternal {
		r, err = c.ldap.BindExternal(ctx, deadline, cfg.BindDN)
	} else {
		r, err = c.ldap.Bind(ctx, deadline, cfg.BindDN, cfg.BindPassword)
	}
	if err == nil && r.Code != ldap.LDAPResultSuccess {
		err = &bindRefusedError{cfg.BindMethod, r.Code, redact.Diagnostic(r.Diagnostic, cfg.BindPassword)}
	}
	if err != nil {
		return nil, &stepError{"service bind", err}
	}
	return r, nil
}

// ping reads the root DSE. Some servers answer with an error and then end the connection. So after
// an error ping reads it again, to see whether the connection is still open. anonymous says that
// the connection is not bound.
func (c *conn) ping(ctx context.Context, deadline time.Time, req *ldap.SearchRequest, anonymous bool) (*ldapconn.SearchResult, error) {
	r, err := c.ldap.Search(ctx, deadline, req, ldapconn.Filter{})
	if err == nil && isForbidden(r.Code, anonymous) {
		if _, err = c.ldap.Search(ctx, deadline, rootDSE, ldapconn.Filter{}); endedByPeer(asFault(err)) {
			err = &hangUpError{r.Code}
		}
	}
	return r, err
}

func endedByPeer(f *ldapconn.Fault) bool {
	return f != nil && (f.End.Reason == ldapconn.PeerClosed || f.End.Reason == ldapconn.Notice)
}

// isForbidden reports whether a result code can mean that the root DSE may not be read. A busy
// server answers every request with an error, and so does one that is temporarily unwilling. But
// some servers are always unwilling to serve anonymous clients.
func isForbidden(code uint16, anonymous bool) bool {
	if code == ldap.LDAPResultUnwillingToPerform {
		return anonymous
	}
	return code != ldap.LDAPResultSuccess && !mayServeElsewhere("search", code)
}

// hangUpError is the error of a server that answers a read of its root DSE with an error and ends
// the connection.
type hangUpError struct{ code uint16 }

func (h *hangUpError) Error() string {
	return fmt.Sprintf("the root DSE cannot be read (%s, %d), and the server closed the connection after its answer", ldap.LDAPResultCodeMap[h.code], h.code)
}

func hungUp(err error) bool {
	var h *hangUpError
	return errors.As(err, &h)
}

// isCutRead reports whether a dial failed because the server ended the connection instead of
// answering a read of its root DSE.
func isCutRead(err error) bool {
	var s *stepError
	f := asFault(err)
	return endedByPeer(f) && !f.Answered && errors.As(err, &s) && s.step == "ping"
}
