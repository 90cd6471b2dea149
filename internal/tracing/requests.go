package tracing

import (
	"net"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Handler gives each request for route that next serves a span, in the trace that its traceparent
// names (W3C Trace Context). Other requests, such as probes, have no spans.
func (t *Tracing) Handler(route string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != route {
			next.ServeHTTP(w, r)
			return
		}
		t.serve(route, next, w, r)
	})
}

func (t *Tracing) serve(route string, next http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx := t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	method, name := knownMethod(r.Method)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	ctx, span := t.tracer.Start(ctx, name+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.HTTPRequestMethodKey.String(method), semconv.HTTPRoute(route), semconv.URLPath(route), semconv.URLScheme(scheme),
		semconv.NetworkProtocolVersion(strconv.Itoa(r.ProtoMajor)+"."+strconv.Itoa(r.ProtoMinor))))
	defer span.End()
	if peer, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		span.SetAttributes(semconv.NetworkPeerAddress(peer))
	}
	status := &statusWriter{ResponseWriter: w}
	next.ServeHTTP(status, r.WithContext(ctx))
	span.SetAttributes(semconv.HTTPResponseStatusCode(status.code))
	if status.code >= http.StatusInternalServerError {
		setError(span, strconv.Itoa(status.code))
	}
}

// knownMethod returns a request's method and its name in a span's name. All unknown methods have
// the same.
func knownMethod(method string) (value, name string) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method, method
	}
	return "_OTHER", "HTTP"
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter

	code int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
