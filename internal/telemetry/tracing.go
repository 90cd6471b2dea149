package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
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

// endUserSwitch is the variable by which OpenTelemetry's agents are told to name users. Without it no span does.
const endUserSwitch = "OTEL_INSTRUMENTATION_COMMON_ENDUSER_ID_ENABLED"

// Tracing makes spans of logins and sends them to a collector. A nil one makes none: all of its methods do nothing.
type Tracing struct {
	provider   *sdktrace.TracerProvider
	client     *otlpClient
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	endUser    bool // whether spans name the user
	dials      recentDials
}

// NewTracing makes what OpenTelemetry's variables ask for, which get gives; nil where they name no endpoint. The SDK itself
// reads those of the sampler (OTEL_TRACES_SAMPLER), of the queue (OTEL_BSP_*), of limits (OTEL_SPAN_*) and of the resource
// from the process's environment. The collector may be absent: spans then are dropped, and logger told so now and then.
func NewTracing(get func(name string) string, version string, logger *slog.Logger) (*Tracing, error) {
	env := otelEnv(get)
	if !env.wanted() {
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
	t.propagator = propagation.NewCompositeTextMapPropagator() // takes nothing
	if env.continues() {
		t.propagator = propagation.TraceContext{}
	}
	exporter := otlptrace.NewUnstarted(t.client)
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithBatcher(quietExporter{exporter, logger, newLimiter()}),
	)
	logger.Info("traces are sent", slog.String("collector", settings.host), slog.Bool("users_named", t.endUser))
	t.tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

// resourceOf says what makes the spans: authsvc, unless the environment gives it another name.
func resourceOf(version string) (*resource.Resource, error) {
	given, err := resource.New(context.Background(), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	ours := resource.NewSchemaless(semconv.ServiceName("authsvc"), semconv.ServiceVersion(version))
	return resource.Merge(ours, given)
}

// Close sends what is not sent yet, until ctx ends at the latest. What is ended afterwards is dropped.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	err := t.provider.Shutdown(ctx)
	_ = t.client.Stop(ctx) // again, if the flush ended in time; else this ends what is under way
	if err != nil {
		return fmt.Errorf("the last spans were not sent: %w", err)
	}
	return nil
}

// quietExporter tells the log of failures, at a bounded pace, rather than OpenTelemetry's global error handler.
type quietExporter struct {
	sdktrace.SpanExporter
	log    *slog.Logger
	limits *limiter
}

// ExportSpans implements [sdktrace.SpanExporter]. It never fails: nobody could do anything about it.
func (e quietExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	if suppressed, ok := e.limits.allow(limitKey{what: "traces"}); ok {
		e.log.Warn("traces not sent, the spans are dropped", slog.Int("spans", len(spans)),
			slog.String("error", clean(err.Error(), maxText)), slog.Int("suppressed", suppressed))
	}
	return nil
}

// exemplar labels an observation with the trace that it was made in; nil where that is not kept.
func (t *Tracing) exemplar(ctx context.Context) prometheus.Labels {
	if t == nil {
		return nil
	}
	if in := trace.SpanContextFromContext(ctx); in.IsSampled() {
		return prometheus.Labels{"trace_id": in.TraceID().String()}
	}
	return nil
}

// traceID is the trace that ctx is in; empty where there is none.
func (t *Tracing) traceID(ctx context.Context) string {
	if t == nil {
		return ""
	}
	if in := trace.SpanContextFromContext(ctx); in.IsValid() {
		return in.TraceID().String()
	}
	return ""
}

// observe adds to a histogram, with an exemplar where there is one.
func observe(h prometheus.Observer, value float64, exemplar prometheus.Labels) {
	if exemplar == nil {
		h.Observe(value)
		return
	}
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(value, exemplar) //nolint:forcetypeassert // every histogram of the library is one
}

// errorType is a failure's name in a span. Its text is never in one: that may name an entry.
func errorType(name string) attribute.KeyValue {
	if name == "other" {
		return semconv.ErrorTypeOther
	}
	return semconv.ErrorTypeKey.String(name)
}
