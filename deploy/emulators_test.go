package deploy_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// Envoy is no package of Debian, and not written in Go. What follows is not Envoy: it reads its
// recipe and does what its documentation says of the settings there, as far as forward
// authentication goes. It does not normalize paths.

// readRecipe decodes a recipe in YAML with the addresses replaced.
func readRecipe(t *testing.T, into any, file string, pairs ...string) {
	t.Helper()
	text, err := os.ReadFile(recipe(t, t.TempDir(), file, pairs...))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into))
}

// emulate serves until the test ends.
func emulate(t *testing.T, a addresses, h http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", a.listen)
	require.NoError(t, err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: h}}
	server.Start()
	t.Cleanup(server.Close)
}

// clientOfProxy is a client whose requests to authsvc end with the test.
func clientOfProxy(t *testing.T) http.RoundTripper {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// pass forwards a request to the application.
func pass(w http.ResponseWriter, r *http.Request, transport http.RoundTripper, application, forwardedFor string) {
	p := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host = "http", application
		p.Out.Header.Set("X-Forwarded-For", forwardedFor)
	}}
	p.ServeHTTP(w, r)
}

// clientAddr is the address of a client.
func clientAddr(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr) // always one of a connection
	return host
}

// matchers are patterns of header names.
type matchers struct{ Patterns []struct{ Exact string } }

// envoyFilter are the settings of the filters header_mutation and ext_authz.
type envoyFilter struct {
	Name     string
	Disabled bool
	Typed    struct {
		Mutations struct {
			Request []struct{ Remove string } `yaml:"request_mutations"`
		}
		FailureModeAllow bool `yaml:"failure_mode_allow"`
		StatusOnError    struct {
			Code string
		} `yaml:"status_on_error"`
		AllowedHeaders matchers `yaml:"allowed_headers"`
		Service        *struct {
			ServerURI  struct{ URI string } `yaml:"server_uri"`
			PathPrefix string               `yaml:"path_prefix"`
			Request    struct {
				Add []struct{ Key, Value string } `yaml:"headers_to_add"`
			} `yaml:"authorization_request"`
			Response struct {
				Upstream matchers `yaml:"allowed_upstream_headers"`
				Client   matchers `yaml:"allowed_client_headers"`
			} `yaml:"authorization_response"`
		} `yaml:"http_service"`
	} `yaml:"typed_config"`
}

// envoyRoute is a route.
type envoyRoute struct {
	Match struct {
		Prefix    string
		Separated string `yaml:"path_separated_prefix"`
	}
	PerFilter map[string]struct{ Disabled bool } `yaml:"typed_per_filter_config"`
}

// matches reports whether the route is that of a path.
func (r *envoyRoute) matches(path string) bool {
	if s := r.Match.Separated; s != "" {
		return path == s || strings.HasPrefix(path, s+"/")
	}
	return strings.HasPrefix(path, r.Match.Prefix)
}

// envoyManager are the settings of the HTTP connection manager.
type envoyManager struct {
	UseRemoteAddress bool `yaml:"use_remote_address"`
	Common           struct {
		Underscores string `yaml:"headers_with_underscores_action"`
	} `yaml:"common_http_protocol_options"`
	Filters []envoyFilter `yaml:"http_filters"`
	Routes  struct {
		Hosts []struct {
			Remove []string `yaml:"request_headers_to_remove"`
			Routes []envoyRoute
		} `yaml:"virtual_hosts"`
	} `yaml:"route_config"`
}

// envoy emulates Envoy.
type envoy struct {
	envoyManager

	application string
	transport   http.RoundTripper
}

// startEnvoy emulates Envoy.
func startEnvoy(t *testing.T, a addresses) {
	t.Helper()
	var bootstrap struct {
		Static struct {
			Listeners []struct {
				Chains []struct {
					Filters []struct {
						Typed envoyManager `yaml:"typed_config"`
					}
				} `yaml:"filter_chains"`
			}
		} `yaml:"static_resources"`
	}
	readRecipe(t, &bootstrap, "envoy/envoy.yaml", recipeAuthsvc, a.authsvc)
	e := &envoy{application: a.application, transport: clientOfProxy(t), envoyManager: bootstrap.Static.Listeners[0].Chains[0].Filters[0].Typed}
	require.NotEmpty(t, e.Routes.Hosts)
	emulate(t, a, e)
}

// ServeHTTP serves a client.
func (e *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name := range r.Header {
		if strings.Contains(name, "_") && e.Common.Underscores == "DROP_HEADER" {
			delete(r.Header, name)
		}
	}
	if e.UseRemoteAddress {
		r.Header.Add("X-Forwarded-For", clientAddr(r))
		r.Header.Set("X-Forwarded-For", strings.Join(r.Header["X-Forwarded-For"], ","))
	}
	host := e.Routes.Hosts[0]
	route := host.Routes[slices.IndexFunc(host.Routes, func(route envoyRoute) bool { return route.matches(r.URL.Path) })]
	for i := range e.Filters {
		f := &e.Filters[i]
		disabled := f.Disabled
		if per, ok := route.PerFilter[f.Name]; ok {
			disabled = per.Disabled
		}
		if disabled {
			continue
		}
		for _, m := range f.Typed.Mutations.Request {
			r.Header.Del(m.Remove)
		}
		if f.Typed.Service != nil && !e.ask(w, r, f) {
			return
		}
	}
	for _, name := range host.Remove {
		r.Header.Del(name)
	}
	pass(w, r, e.transport, e.application, r.Header.Get("X-Forwarded-For"))
}

// ask reports whether a request is permitted. If it is not, ask has answered it.
func (e *envoy) ask(w http.ResponseWriter, r *http.Request, f *envoyFilter) bool {
	service := f.Typed.Service
	req, err := http.NewRequestWithContext(r.Context(), r.Method, service.ServerURI.URI+service.PathPrefix+r.RequestURI, nil) //nolint:gosec // as Envoy does
	if err != nil {
		panic(err)
	}
	req.Host = r.Host
	req.Header["Authorization"] = r.Header["Authorization"]
	for _, p := range f.Typed.AllowedHeaders.Patterns {
		if values, ok := r.Header[http.CanonicalHeaderKey(p.Exact)]; ok {
			req.Header[http.CanonicalHeaderKey(p.Exact)] = values
		}
	}
	for _, h := range service.Request.Add {
		req.Header.Set(h.Key, h.Value)
	}
	resp, err := e.transport.RoundTrip(req)
	if err == nil {
		defer resp.Body.Close()
	}
	if err != nil || resp.StatusCode >= 500 {
		if f.Typed.FailureModeAllow {
			return true
		}
		status := http.StatusForbidden
		if f.Typed.StatusOnError.Code == "ServiceUnavailable" {
			status = http.StatusServiceUnavailable
		}
		w.WriteHeader(status)
		return false
	}
	target, patterns := r.Header, service.Response.Upstream.Patterns
	if resp.StatusCode != http.StatusOK {
		target, patterns = w.Header(), service.Response.Client.Patterns
	}
	for _, p := range patterns {
		if values, ok := resp.Header[http.CanonicalHeaderKey(p.Exact)]; ok {
			target[http.CanonicalHeaderKey(p.Exact)] = values
		}
	}
	if resp.StatusCode != http.StatusOK {
		w.WriteHeader(resp.StatusCode)
		return false
	}
	return true
}
