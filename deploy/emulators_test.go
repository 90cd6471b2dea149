package deploy_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// Traefik and Envoy are no packages of Debian. What follows is not them: it reads their recipes
// and does what their documentation says of the settings in them, as far as forward authentication
// goes. It does not normalize paths.

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

// forwardAuth are the settings of Traefik's middleware.
type forwardAuth struct {
	Address             string
	TrustForwardHeader  bool     `yaml:"trustForwardHeader"`
	AuthRequestHeaders  []string `yaml:"authRequestHeaders"`
	AuthResponseHeaders []string `yaml:"authResponseHeaders"`
}

// traefik is a dynamic configuration.
type traefik struct {
	HTTP struct {
		Routers map[string]struct {
			Rule        string
			Middlewares []string
		}
		Middlewares map[string]struct {
			Headers struct {
				CustomRequestHeaders map[string]string `yaml:"customRequestHeaders"`
			}
			ForwardAuth *forwardAuth `yaml:"forwardAuth"`
		}
		Services map[string]struct {
			LoadBalancer struct{ Servers []struct{ URL string } } `yaml:"loadBalancer"`
		}
	} `yaml:"http"`
	transport http.RoundTripper
}

// startTraefik emulates Traefik.
func startTraefik(t *testing.T, a addresses) {
	t.Helper()
	e := &traefik{transport: clientOfProxy(t)}
	readRecipe(t, e, "traefik/authsvc.yaml", recipeAuthsvc, a.authsvc, recipeApplication, a.application)
	require.NotEmpty(t, e.HTTP.Services)
	emulate(t, a, e)
}

// traefikMatcher is a part of a rule.
var traefikMatcher = regexp.MustCompile("(Path|PathPrefix)\\(`([^`]*)`\\)")

// middlewares are those of the longest rule that holds.
func (e *traefik) middlewares(path string) []string {
	var rule string
	var names []string
	for _, router := range e.HTTP.Routers {
		for _, m := range traefikMatcher.FindAllStringSubmatch(router.Rule, -1) {
			holds := path == m[2] || m[1] == "PathPrefix" && strings.HasPrefix(path, m[2])
			if holds && len(router.Rule) > len(rule) {
				rule, names = router.Rule, router.Middlewares
			}
		}
	}
	return names
}

// ServeHTTP serves a client.
func (e *traefik) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, name := range e.middlewares(r.URL.Path) {
		m := e.HTTP.Middlewares[name]
		for header, value := range m.Headers.CustomRequestHeaders {
			if value == "" {
				r.Header.Del(header)
			} else {
				r.Header.Set(header, value)
			}
		}
		if m.ForwardAuth != nil && !e.ask(w, r, m.ForwardAuth) {
			return
		}
	}
	application, _ := url.Parse(e.HTTP.Services["application"].LoadBalancer.Servers[0].URL)
	pass(w, r, e.transport, application.Host, clientAddr(r))
}

// ask reports whether a request is permitted. If it is not, ask has answered it.
func (e *traefik) ask(w http.ResponseWriter, r *http.Request, m *forwardAuth) bool {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, m.Address, nil)
	if err != nil {
		panic(err)
	}
	for name, values := range r.Header {
		if len(m.AuthRequestHeaders) == 0 || slices.Contains(m.AuthRequestHeaders, name) {
			req.Header[name] = values
		}
	}
	req.Header.Set("X-Forwarded-Method", r.Method)
	req.Header.Set("X-Forwarded-Host", r.Host)
	req.Header.Set("X-Forwarded-Uri", r.RequestURI)
	if !m.TrustForwardHeader {
		req.Header.Set("X-Forwarded-For", clientAddr(r))
	}
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body) // the client has gone away
		return false
	}
	for _, name := range m.AuthResponseHeaders {
		name = http.CanonicalHeaderKey(name)
		r.Header.Del(name)
		if values, ok := resp.Header[name]; ok {
			r.Header[name] = values
		}
	}
	return true
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
