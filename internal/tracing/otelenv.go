package tracing

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/readfile"
)

// The prefixes of the OTLP exporter's variables. A variable for traces alone takes precedence.
const (
	otlpPrefix       = "OTEL_EXPORTER_OTLP_"
	otlpTracesPrefix = "OTEL_EXPORTER_OTLP_TRACES_"
)

// defaultExportTimeout is the default of the specification.
const defaultExportTimeout = 10 * time.Second

// otelEnv returns the value of one of OpenTelemetry's variables. Its specification treats an empty
// value as not set.
type otelEnv func(name string) string

// exporter returns a variable of the exporter: its full name and its value.
func (get otelEnv) exporter(name string) (variable, value string) {
	if v := get(otlpTracesPrefix + name); v != "" {
		return otlpTracesPrefix + name, v
	}
	return otlpPrefix + name, get(otlpPrefix + name)
}

// flag reports whether a variable is true. By the specification every other value is false.
func (get otelEnv) flag(name string) bool { return strings.EqualFold(get(name), "true") }

// enabled reports whether traces are configured: there is an endpoint, and no variable turns them
// off.
func (get otelEnv) enabled() bool {
	_, endpoint := get.exporter("ENDPOINT")
	return endpoint != "" && !get.flag("OTEL_SDK_DISABLED") && get("OTEL_TRACES_EXPORTER") != "none"
}

// continuesTrace reports whether a login continues the trace in the caller's traceparent.
func (get otelEnv) continuesTrace() bool {
	list := get("OTEL_PROPAGATORS")
	return list == "" || slices.Contains(strings.Split(list, ","), "tracecontext")
}

// otlpSettings say where spans are sent and how.
type otlpSettings struct {
	url     string      // may hold a secret
	host    string      // of the URL, with its port where it has one
	headers http.Header // may hold a secret
	timeout time.Duration
	gzip    bool
	tls     *tls.Config
}

// otlp reads the exporter's settings. Its error names every invalid variable, and contains no value
// of a header.
func (get otelEnv) otlp() (otlpSettings, error) {
	s := otlpSettings{timeout: defaultExportTimeout}
	var problems []error
	addError := func(variable string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", variable, err))
		}
	}
	if e := get("OTEL_TRACES_EXPORTER"); e != "" && e != "otlp" {
		addError("OTEL_TRACES_EXPORTER", errors.New("must be otlp or none"))
	}
	if variable, p := get.exporter("PROTOCOL"); p != "" && p != "http/protobuf" {
		addError(variable, errors.New("must be http/protobuf, which collectors accept on port 4318: gRPC and JSON are not supported"))
	}
	variable, value := get.exporter("ENDPOINT")
	if u, err := endpointURL(value, variable == otlpPrefix+"ENDPOINT"); err == nil {
		s.url, s.host = u.String(), u.Host
	} else {
		addError(variable, err)
	}
	variable, value = get.exporter("HEADERS")
	headers, err := parseHeaders(value)
	s.headers = headers
	addError(variable, err)
	if variable, value = get.exporter("TIMEOUT"); value != "" {
		ms, err := strconv.Atoi(value)
		if err != nil || ms <= 0 {
			addError(variable, errors.New("must be a number of milliseconds, such as 10000"))
		}
		s.timeout = time.Duration(ms) * time.Millisecond
	}
	switch variable, value = get.exporter("COMPRESSION"); value {
	case "", "none":
	case "gzip":
		s.gzip = true
	default:
		addError(variable, errors.New("must be gzip or none"))
	}
	s.tls, err = get.tls()
	return s, errors.Join(append(problems, err)...)
}

// endpointURL returns the URL for traces: a path below the common endpoint, or the traces endpoint
// unchanged.
func endpointURL(endpoint string, common bool) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("must be a URL, such as http://collector:4318")
	}
	if common {
		u = u.JoinPath("v1", "traces")
	}
	return u, nil
}

// parseHeaders reads name=value pairs separated by commas, values percent-encoded.
func parseHeaders(list string) (http.Header, error) {
	headers := http.Header{}
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil || strings.ContainsAny(name+value, "\r\n") {
			return nil, errors.New("must be name=value pairs separated by commas, with percent-encoded values")
		}
		headers.Set(name, value)
	}
	return headers, nil
}

// withoutPath returns a file's error without its path, which may be a secret that was put into the
// wrong variable.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func keyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := readfile.Read(certFile, readfile.PipeWait)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readfile.Read(keyFile, readfile.PipeWait)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// tls returns the TLS configuration with the configured authorities and client certificate. The
// default is the system's authorities and no certificate.
func (get otelEnv) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if variable, file := get.exporter("CERTIFICATE"); file != "" {
		pem, err := readfile.Read(file, readfile.PipeWait)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, withoutPath(err))
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s contains no PEM certificate", variable, file)
		}
	}
	variable, cert := get.exporter("CLIENT_CERTIFICATE")
	_, key := get.exporter("CLIENT_KEY")
	if cert != "" || key != "" {
		pair, err := keyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%s and CLIENT_KEY: %w", variable, withoutPath(err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
