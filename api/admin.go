package api

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
)

// AdminHandler serves the admin listener: probes with each server's state, the API's description, the profiler, metrics at
// /metrics, and the status page at / with what belongs to it; nil leaves either out.
func (s *Server) AdminHandler(metrics, status http.Handler) http.Handler {
	e := s.newEcho()
	s.routeCommon(e, s.healthzServers)
	if metrics != nil {
		route(e, "/metrics", echo.WrapHandler(metrics), http.MethodGet, http.MethodHead)
	}
	if status != nil {
		for _, path := range []string{"/", "/status.css", "/status.js", "/api/status", "/api/status/events"} {
			route(e, path, echo.WrapHandler(status), http.MethodGet, http.MethodHead)
		}
	}
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/*":       pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		// The symbol table is asked by POST, with addresses as the body.
		route(e, path, echo.WrapHandler(h), http.MethodGet, http.MethodHead, http.MethodPost)
	}
	return e
}
