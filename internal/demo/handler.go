package demo

import (
	"fmt"
	"log/slog"

	"github.com/jimlambrt/gldap"
)

// handler answers gldap's requests from a tree. gldap calls it from a goroutine
// for each request; answers that cannot be written mean that the client has
// gone, which gldap's reader notices by itself.
type handler struct {
	tree     *tree
	sessions *sessions
	log      *slog.Logger
}

// routes registers the operations. Every other one gldap itself refuses by
// closing the connection.
func (h *handler) routes() (*gldap.Mux, error) {
	mux, err := gldap.NewMux()
	if err != nil {
		return nil, err
	}
	readOnly := func(application int) gldap.HandlerFunc {
		return h.guard(application, func(w *gldap.ResponseWriter, r *gldap.Request) {
			refuse(w, r, application, gldap.ResultUnwillingToPerform, "the demo directory is read-only")
		})
	}
	unsupported := func(w *gldap.ResponseWriter, r *gldap.Request) {
		refuse(w, r, gldap.ApplicationExtendedResponse, gldap.ResultProtocolError, "unsupported extended operation")
	}
	for _, register := range []func() error{
		func() error { return mux.Bind(h.guard(gldap.ApplicationBindResponse, h.bind)) },
		func() error { return mux.Search(h.guard(gldap.ApplicationSearchResultDone, h.search)) },
		func() error { return mux.Modify(readOnly(gldap.ApplicationModifyResponse)) },
		func() error { return mux.Add(readOnly(gldap.ApplicationAddResponse)) },
		func() error { return mux.Delete(readOnly(gldap.ApplicationDelResponse)) },
		func() error { return mux.DefaultRoute(h.guard(gldap.ApplicationExtendedResponse, unsupported)) },
	} {
		if err := register(); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// guard keeps a panic of next, which gldap would let end the process, to the one
// request: it is logged and answered with "other" (80).
func (h *handler) guard(application int, next gldap.HandlerFunc) gldap.HandlerFunc {
	return func(w *gldap.ResponseWriter, r *gldap.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				h.log.Error("demo directory: a request panicked", "cause", fmt.Sprint(cause))
				refuse(w, r, application, gldap.ResultOther, "internal error")
			}
		}()
		next(w, r)
	}
}

// bind answers a simple bind and records the connection's identity before the
// client learns of it.
func (h *handler) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSimpleBindMessage()
	if err != nil {
		refuse(w, r, gldap.ApplicationBindResponse, gldap.ResultProtocolError, "not a simple bind")
		return
	}
	who, code, diagnostic := h.tree.bind(m.UserName, string(m.Password))
	h.sessions.set(r.ConnectionID(), who)
	response := r.NewBindResponse(gldap.WithResponseCode(code))
	response.SetDiagnosticMessage(diagnostic)
	_ = w.Write(response)
}

// search sends the entries found and the result.
func (h *handler) search(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSearchMessage()
	if err != nil {
		refuse(w, r, gldap.ApplicationSearchResultDone, gldap.ResultProtocolError, "not a search")
		return
	}
	found := h.tree.search(m, h.sessions.anonymous(r.ConnectionID()))
	for _, e := range found.entries {
		response := r.NewSearchResponseEntry(e.dn)
		for _, a := range h.tree.schema.selectAttributes(e, m.Attributes) {
			values := a.values
			if m.TypesOnly {
				values = nil
			}
			response.AddAttribute(a.name, values)
		}
		if err := w.Write(response); err != nil {
			return
		}
	}
	done := r.NewSearchDoneResponse(gldap.WithResponseCode(found.code))
	done.SetMatchedDN(found.matchedDN)
	done.SetDiagnosticMessage(found.diagnostic)
	_ = w.Write(done)
}

// refuse answers with a result and nothing else.
func refuse(w *gldap.ResponseWriter, r *gldap.Request, application, code int, diagnostic string) {
	_ = w.Write(r.NewResponse(
		gldap.WithApplicationCode(application),
		gldap.WithResponseCode(code),
		gldap.WithDiagnosticMessage(diagnostic),
		gldap.WithMatchedDN(""), // gldap's default is the word "Unused"
	))
}
