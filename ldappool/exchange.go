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

// rootDSE is the search of a check (RFC 4512 section 5.1): what every server answers, without
// attributes. Any answer proves the connection, whatever its code.
var rootDSE = readRootDSE("1.1")

// rootDSEControls also asks for the controls that the server knows.
var rootDSEControls = readRootDSE(supportedControl)

const supportedControl = "supportedControl"

func readRootDSE(attribute string) *ldap.SearchRequest {
	return ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{attribute}, nil)
}

// firstExchange does the service bind, or where there is to be none a check, and returns what it
// did last and the answer's code. A server that accepts connections and does not answer is found
// out here and not by a login; and one that closes connections on which nothing was ever asked
// (Active Directory does after 120 s) has been asked. What is still to be known of the server's
// controls is read as well.
func (c *conn) firstExchange(ctx context.Context) (op string, code uint16, err error) {
	deadline, _ := ctx.Deadline()
	op = "connect"
	if c.core.AsService {
		r, err := c.bindAsService(ctx, deadline, c.with)
		if err != nil {
			return "", 0, err
		}
		op, code = "service bind", r.Code
	}
	if !c.core.Reads || c.core.AsService && !c.asksForControls() {
		return op, code, nil
	}
	req := rootDSE
	if c.with.OnlyListedControls {
		req = rootDSEControls
	}
	r, err := c.ping(ctx, deadline, req, !c.core.AsService)
	if err != nil {
		return "", 0, &stepError{"ping", err}
	}
	if req == rootDSEControls {
		c.known.read(r, c.core.AsService)
	}
	return "ping", r.Code, nil
}

// bindAsService does the service bind.
func (c *conn) bindAsService(ctx context.Context, deadline time.Time, cfg *Config) (*ldapconn.Result, error) {
	r, err := c.ldap.Bind(ctx, deadline, cfg.BindDN, cfg.BindPassword)
	if err == nil && r.Code != ldap.LDAPResultSuccess {
		err = &refused{r.Code, redact.Diagnostic(r.Diagnostic, cfg.BindPassword)}
	}
	if err != nil {
		return nil, &stepError{"service bind", err}
	}
	return r, nil
}

// ping reads the root DSE. Some servers answer that with an error and end the connection: after an
// error it is read once more, to see whether the connection lasts. asStranger says that nobody has
// bound on it.
func (c *conn) ping(ctx context.Context, deadline time.Time, req *ldap.SearchRequest, asStranger bool) (*ldapconn.SearchResult, error) {
	r, err := c.ldap.Search(ctx, deadline, req, ldapconn.Filter{})
	if err == nil && isForbidden(r.Code, asStranger) {
		if _, err = c.ldap.Search(ctx, deadline, rootDSE, ldapconn.Filter{}); endedByPeer(asFault(err)) {
			err = &hangUp{r.Code}
		}
	}
	return r, err
}

func endedByPeer(f *ldapconn.Fault) bool {
	return f != nil && (f.End.Reason == ldapconn.PeerClosed || f.End.Reason == ldapconn.Notice)
}

// isForbidden reports whether a result code can mean that the root DSE may not be read. A server
// that is busy says so of everything, and so does one that is willing to do nothing for a while;
// but some are never willing to do anything for strangers.
func isForbidden(code uint16, asStranger bool) bool {
	if code == ldap.LDAPResultUnwillingToPerform {
		return asStranger
	}
	return code != ldap.LDAPResultSuccess && !isNotHere("search", code)
}

// hangUp is how a server answers a read of its root DSE that ends the connection afterwards.
type hangUp struct{ code uint16 }

func (h *hangUp) Error() string {
	return fmt.Sprintf("the root DSE cannot be read (%s, %d), and the server closed the connection after its answer", ldap.LDAPResultCodeMap[h.code], h.code)
}

func hungUp(err error) bool {
	var h *hangUp
	return errors.As(err, &h)
}

// isCutRead reports whether a dial ended because the server ended the connection in place of an
// answer to a read of its root DSE.
func isCutRead(err error) bool {
	var s *stepError
	f := asFault(err)
	return endedByPeer(f) && !f.Answered && errors.As(err, &s) && s.step == "ping"
}
