package demo

import (
	"fmt"
	"log/slog"

	"authsvc/internal/ldapserver"

	"github.com/go-ldap/ldap/v3"
)

// handler answers requests from a tree.
type handler struct {
	tree *tree
	log  *slog.Logger
}

// serve answers one request. A panic costs that request alone: it is logged and answered with
// "other" (80).
func (h *handler) serve(c *ldapserver.Conn, req ldapserver.Request) {
	defer func() {
		if cause := recover(); cause != nil {
			h.log.Error("demo directory: a request panicked", "cause", fmt.Sprint(cause))
			c.Reply(req, ldapserver.Result{Code: ldap.LDAPResultOther, Diagnostic: "internal error"})
		}
	}()
	switch req.Op {
	case ldapserver.OpBind:
		h.bind(c, req)
	case ldapserver.OpSearch:
		h.search(c, req)
	case ldapserver.OpExtended:
		c.Reply(req, ldapserver.Result{Code: ldap.LDAPResultProtocolError, Diagnostic: "unsupported extended operation"})
	case ldapserver.OpUnbind:
		c.Close()
	case ldapserver.OpAbandon: // each request is answered before the next is read
	case ldap.ApplicationAddRequest, ldap.ApplicationDelRequest, ldap.ApplicationModifyRequest, ldap.ApplicationModifyDNRequest:
		c.Reply(req, ldapserver.Result{Code: ldap.LDAPResultUnwillingToPerform, Diagnostic: "the demo directory is read-only"})
	default:
		c.Notice(ldap.LDAPResultProtocolError, "unsupported operation")
		c.Close()
	}
}

// bind answers a simple bind.
func (h *handler) bind(c *ldapserver.Conn, req ldapserver.Request) {
	if req.SASL != "" {
		c.Reply(req, ldapserver.Result{Code: ldap.LDAPResultProtocolError, Diagnostic: "not a simple bind"})
		return
	}
	r := h.tree.bind(req.DN, req.Password)
	c.ReplyBind(req, r.Code, r.Diagnostic)
}

// search sends the entries found and the result, in one write.
func (h *handler) search(c *ldapserver.Conn, req ldapserver.Request) {
	entries, r := h.tree.search(req, c.Identity() == "")
	var answer []byte
	for _, e := range entries {
		answer = append(answer, ldapserver.SearchEntry(req.MessageID, e.selected(req))...)
	}
	c.WriteRaw(append(answer, ldapserver.Response(req.MessageID, req.Op, r)...))
}
