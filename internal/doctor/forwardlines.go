package doctor

import "strings"

// The proxies that there are recipes for.
const (
	nginx   = "nginx"
	caddy   = "Caddy"
	haproxy = "HAProxy"
	traefik = "Traefik"
	envoy   = "Envoy"
)

// edits say what to change in each proxy's recipe. What is quoted occurs in the recipe.
type edits struct{ nginx, caddy, haproxy, traefik, envoy string }

var (
	askAuthsvc = edits{
		nginx:   `"auth_request /_authsvc;" in the server, and no auth_request off`,
		caddy:   `"forward_auth" before "reverse_proxy" in its route`,
		haproxy: `"http-request lua.authsvc", then "http-request deny deny_status 502 unless { var(txn.authsvc_permits) -m bool }"`,
		traefik: `"authsvc" among the "middlewares" of its router`,
		envoy:   `"envoy.extensions.filters.http.ext_authz" enabled for its route, with "failure_mode_allow: false"`,
	}
	passChallenge = edits{
		nginx:   `no error_page 401 and no more_clear_headers that replace authsvc's answer`,
		caddy:   `no handle_response, handle_errors or header -WWW-Authenticate that replaces authsvc's answer`,
		haproxy: `"www-authenticate" in the list "answered" of authsvc.lua`,
		traefik: `no middleware errors for 401`,
		envoy:   `"{exact: www-authenticate}" in "allowed_client_headers"`,
	}
	removeOwn = edits{
		nginx:   `"proxy_set_header Remote-User $authsvc_user;" and the other lines proxy_set_header of the server, again in each location that has one of its own`,
		caddy:   `"request_header -Remote*" and "request_header -Authsvc*" first in the route`,
		haproxy: `"http-request del-header ^(remote|authsvc)[^a-z0-9] -m reg" before "http-request lua.authsvc"`,
		traefik: `"own-headers" first in the "middlewares" of the router`,
		envoy:   `"remove: remote-user" and the like in "own-headers", before ext_authz, and "allowed_upstream_headers"`,
	}
	removeTwins = edits{
		nginx:   `"underscores_in_headers off;" in the default server of the address`,
		caddy:   `"request_header -Remote*" first in the route`,
		haproxy: `"http-request del-header ^(remote|authsvc)[^a-z0-9] -m reg" before "http-request lua.authsvc"`,
		traefik: `"aliasHeadersStrategy: delete" in its entry point, with Traefik 3.7.12 or later`,
		envoy:   `"headers_with_underscores_action: DROP_HEADER"`,
	}
	sendIdentity = edits{
		nginx:   `"proxy_set_header Remote-User $authsvc_user;", with "$upstream_http_remote_user" in auth_request_set`,
		caddy:   `"copy_headers Remote-User Remote-Groups" in "forward_auth"`,
		haproxy: `"remote-user" in the list "identity" of authsvc.lua`,
		traefik: `"authResponseHeaders: [Remote-User, Remote-Groups]"`,
		envoy:   `"{exact: remote-user}" in "allowed_upstream_headers"`,
	}
	keepIdentity = edits{
		nginx:   `"proxy_set_header Connection $application_connection;" and "proxy_set_header Remote-User $authsvc_user;"`,
		caddy:   `"header_up Remote-User {http.request.header.Remote-User}" in "reverse_proxy"`,
		haproxy: `"txn.http:req_set_header(name" in authsvc.lua, and no rule that follows the client's Connection`,
		traefik: `a release that ignores the client's Connection for the headers of forwardAuth`,
		envoy:   `"allowed_upstream_headers"`,
	}
	dropPassword = edits{
		nginx:   `"proxy_set_header Authorization" with an empty value`,
		caddy:   `"header_up -Authorization" in "reverse_proxy"`,
		haproxy: `"http-request del-header Authorization" after the question to authsvc`,
		traefik: `"no-password" last in the "middlewares" of the router`,
		envoy:   `"request_headers_to_remove: [authorization]"`,
	}
	sendAddress = edits{
		nginx:   `"proxy_set_header X-Forwarded-For $remote_addr;" in "location ^~ /_authsvc", and with real_ip_header, set_real_ip_from for none but the proxies in front`,
		caddy:   `no header_up X-Forwarded-For in "forward_auth", and no trusted_proxies that clients are in`,
		haproxy: `"x-forwarded-for" from "txn.sf:src()" in authsvc.lua`,
		traefik: `"trustForwardHeader: false"`,
		envoy:   `"use_remote_address: true", and "{exact: x-forwarded-for}" in "allowed_headers"`,
	}
	requireGroup = edits{
		nginx:   `auth_request with "/_authsvc/admins", and "proxy_set_header Authsvc-Require-Group $authsvc_group;" in "location ^~ /_authsvc"`,
		caddy:   `"import protected group=admins"`,
		haproxy: `"http-request set-var(txn.authsvc_group) str(admins)"`,
		traefik: `"authsvc-admins" among the "middlewares" of its router`,
		envoy:   `"authsvc-admins" enabled for its route`,
	}
)

// dropCache is the remedy for answers that are kept. No recipe has a cache.
const dropCache = "do not keep authsvc's answers in the proxy (nginx: no proxy_cache in the location /_authsvc; with one, $http_authorization and " +
	"$authsvc_group in proxy_cache_key), and have no cache between the clients and the question to authsvc"

// lines tells what to change in the proxy, or in each that it may be.
func (f *forward) lines(e edits) string {
	all := []struct{ product, line string }{{nginx, e.nginx}, {caddy, e.caddy}, {haproxy, e.haproxy}, {traefik, e.traefik}, {envoy, e.envoy}}
	var texts []string
	for _, one := range all {
		if f.product == "" || one.product == f.product {
			texts = append(texts, one.product+": "+one.line)
		}
	}
	return strings.Join(texts, "; ")
}
