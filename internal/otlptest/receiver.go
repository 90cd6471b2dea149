// Package otlptest is a collector for tests: it takes spans by OTLP over HTTP and keeps them.
package otlptest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Span is one that was received.
type Span struct {
	Name             string
	Trace, ID        string // hexadecimal
	Parent           string // its ID; empty for a root
	Kind             tracepb.Span_SpanKind
	Began, Ended     time.Time
	Attributes       map[string]string // whatever their types
	Failed           bool
	Service, Version string // of the resource
}

// Receiver is a collector that runs.
type Receiver struct {
	URL string // the endpoint of all signals

	mu       sync.Mutex
	spans    []Span      // guarded by mu, as are those below
	raw      []byte      // every request, decoded to text, without IDs
	header   http.Header // of the last request
	requests int
	refuse   []int // statuses of the next answers, before any is taken
}

// Start runs a Receiver until the test ends.
func Start(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{}
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Refuse has the next requests answered with these statuses.
func (r *Receiver) Refuse(statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = statuses
}

// Spans are those received so far, in the order in which they came.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Text is everything received so far, as text, but for the spans' IDs, in which chance writes
// anything: what is not in it was not sent.
func (r *Receiver) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.raw)
}

// Last is the last request's header, and how many requests there were.
func (r *Receiver) Last() (http.Header, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header, r.requests
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header = req.Header
	r.requests++
	if len(r.refuse) > 0 {
		w.WriteHeader(r.refuse[0])
		r.refuse = r.refuse[1:]
		return
	}
	if req.URL.Path != "/v1/traces" || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/x-protobuf" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	data, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.keep(data)
	text, err := protojson.Marshal(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.raw = append(r.raw, text...)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// decode reads a request. TracesData is on the wire what ExportTraceServiceRequest is.
func decode(req *http.Request) (*tracepb.TracesData, error) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = unpacked
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	data := new(tracepb.TracesData)
	return data, proto.Unmarshal(content, data)
}

// keep adds the spans of a request, and takes their IDs out of it. r.mu is held.
func (r *Receiver) keep(data *tracepb.TracesData) {
	for _, resource := range data.GetResourceSpans() {
		about := texts(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans = append(r.spans, Span{
					Name: s.GetName(), Kind: s.GetKind(),
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Began: moment(s.GetStartTimeUnixNano()), Ended: moment(s.GetEndTimeUnixNano()),
					Attributes: texts(s.GetAttributes()),
					Failed:     s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
					Service:    about["service.name"], Version: about["service.version"],
				})
				s.TraceId, s.SpanId, s.ParentSpanId = nil, nil, nil
			}
		}
	}
}

func moment(nanos uint64) time.Time {
	return time.Unix(0, int64(nanos)) //nolint:gosec // a time of this century fits
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			all[a.GetKey()] = strconv.FormatBool(v.BoolValue)
		default:
			all[a.GetKey()] = a.GetValue().String()
		}
	}
	return all
}
