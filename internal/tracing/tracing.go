// Package tracing makes spans of logins and sends them to an OpenTelemetry collector. It observes
// auth and ldappool, wraps the handler of requests and the Authenticator, and never puts the text
// of an error into a span: that may name an entry.
package tracing

import (
	"context"
	"fmt"
	"log/slog"

	"authsvc/internal/logsafe"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name under which all spans are made.
const scope = "authsvc"

// endUserSwitch is the variable that makes OpenTelemetry's agents record user names. Without it no
// span has a user name.
const endUserSwitch = "OTEL_INSTRUMENTATION_COMMON_ENDUSER_ID_ENABLED"

// Tracing makes spans of logins and sends them to a collector. All methods of a nil Tracing do
// nothing. It implements [auth.Observer].
type Tracing struct {
	provider   *sdktrace.TracerProvider
	client     *otlpClient
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	endUser    bool // whether spans name the user
	dials      recentDials
}

// New returns the Tracing that OpenTelemetry's variables configure, or nil if they name no
// endpoint. get returns the value of a variable. The SDK itself reads the variables of the sampler
// (OTEL_TRACES_SAMPLER), the queue (OTEL_BSP_*), limits (OTEL_SPAN_*) and the resource from the
// process's environment. If the collector is not available, spans are dropped and logger gets a
// limited number of lines.
func New(get func(name string) string, version string, logger *slog.Logger) (*Tracing, error) {
	env := otelEnv(get)
	if !env.enabled() {
		return nil, nil //nolint:nilnil // documented: a nil Tracing works
	}
	settings, err := env.otlp()
	if err != nil {
		return nil, err
	}
	about, err := resourceOf(version)
	if err != nil {
		return nil, err
	}
	t := &Tracing{client: newOTLPClient(settings), endUser: env.flag(endUserSwitch)}
	t.propagator = propagation.NewCompositeTextMapPropagator() // extracts nothing
	if env.continuesTrace() {
		t.propagator = propagation.TraceContext{}
	}
	exporter := otlptrace.NewUnstarted(t.client)
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithBatcher(loggingExporter{exporter, logger, logsafe.NewLimiter()}),
	)
	logger.Info("traces are sent", slog.String("collector", settings.host), slog.Bool("users_named", t.endUser))
	t.tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

// resourceOf returns the resource of the spans: the service authsvc, unless the environment names
// another.
func resourceOf(version string) (*resource.Resource, error) {
	given, err := resource.New(context.Background(), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	ours := resource.NewSchemaless(semconv.ServiceName("authsvc"), semconv.ServiceVersion(version))
	return resource.Merge(ours, given)
}

// Close sends the spans that are not sent yet, until ctx ends. Spans that end after Close are
// dropped.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	_ = t.client.Stop(ctx) // ends an upload under way if the flush did not end in time
	if err != nil {
		return fmt.Errorf("the last spans were not sent: %w", err)
	}
	return nil
}

// loggingExporter logs failures, limited in number, instead of passing them to OpenTelemetry's
// global error handler.
type loggingExporter struct {
	sdktrace.SpanExporter
	log    *slog.Logger
	limits *logsafe.Limiter
}

// ExportSpans implements [sdktrace.SpanExporter]. It never fails: no caller could do anything about
// an error.
func (e loggingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	if suppressed, ok := e.limits.Allow(logsafe.Key{What: "traces"}); ok {
		e.log.Warn("traces not sent, the spans are dropped", slog.Int("spans", len(spans)),
			slog.String("error", logsafe.Clean(err.Error(), logsafe.MaxText)), slog.Int("suppressed", suppressed))
	}
	return nil
}

// TraceID returns the trace that ctx is in, or nothing.
func (t *Tracing) TraceID(ctx context.Context) string {
	if t == nil {
		return ""
	}
	if in := trace.SpanContextFromContext(ctx); in.IsValid() {
		return in.TraceID().String()
	}
	return ""
}

// SampledTraceID returns the trace that ctx is in if that is sampled, or nothing.
func (t *Tracing) SampledTraceID(ctx context.Context) string {
	if t == nil || !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	return t.TraceID(ctx)
}

// errorType is a failure's name in a span.
func errorType(name string) attribute.KeyValue {
	if name == "other" {
		return semconv.ErrorTypeOther
	}
	return semconv.ErrorTypeKey.String(name)
}
