package doctor

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"authsvc/internal/loginclient"
)

// maxEcho bounds what is read of an answer, in bytes.
const maxEcho = 1 << 20

// question is a request through the proxy. Names of its header are sent as they are written.
type question struct {
	login  *login // nil: without credentials
	header http.Header
	read   bool // the body of the answer
}

// reply is an answer, or why there is none.
type reply struct {
	status int
	header http.Header
	body   string
	tls    *tls.ConnectionState // nil without TLS
	err    error                // holds nothing of what the proxy sent
}

// ask sends one request, on a connection of its own.
func (f *forward) ask(ctx context.Context, u *url.URL, q question) reply {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if addr, ok := i.Conn.LocalAddr().(*net.TCPAddr); ok {
			f.local = addr.AddrPort().Addr().Unmap().WithZone("")
		}
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return reply{err: fmt.Errorf("%s cannot be asked", shown(u))}
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "authsvc-check")
	if q.login != nil {
		req.SetBasicAuth(q.login.name, q.login.password)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return reply{err: explained(err, u)}
	}
	defer resp.Body.Close()
	a := reply{status: resp.StatusCode, header: resp.Header, tls: resp.TLS}
	if q.read {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxEcho))
		if err != nil {
			return reply{err: explained(err, u)}
		}
		a.body = string(body)
	}
	f.recognize(a)
	return a
}

// explained is the cause of a request that failed.
func explained(err error, u *url.URL) error {
	_, cause := loginclient.Explain(err, shown(u))
	return cause
}

// recognize learns the proxy's product from an answer of its own. In the application's answers
// Server may be the application's.
func (f *forward) recognize(a reply) {
	if f.product != "" || a.status != http.StatusUnauthorized {
		return
	}
	name, _, _ := strings.Cut(a.header.Get("Server"), "/")
	for _, known := range []string{nginx, caddy, envoy} { // HAProxy and Traefik say nothing
		if strings.EqualFold(name, known) {
			f.product = known
		}
	}
}

// challenges reports whether an answer has authsvc's challenge (RFC 7617 section 2).
func (f *forward) challenges(a reply) bool {
	for _, challenge := range a.header.Values("WWW-Authenticate") {
		realm, ok := strings.CutPrefix(challenge, `Basic realm="`)
		realm, whole := strings.CutSuffix(realm, `", charset="UTF-8"`)
		if ok && whole && (f.Service == nil || realm == f.Service.Realm) {
			return true
		}
	}
	return false
}

// instead tells which challenge an answer has.
func (f *forward) instead(a reply) string {
	if others := a.header.Values("WWW-Authenticate"); len(others) > 0 {
		return fmt.Sprintf(" (%s instead)", strings.Join(others, ", "))
	}
	return ""
}

// redirect tells where an answer redirects to.
func (a reply) redirect() string {
	if to := a.header.Get("Location"); to != "" && a.status >= 300 {
		return ", a redirect to " + to + ", which was not followed"
	}
	return ""
}

// accountStatus tells which status authsvc gave, if the proxy passes it on.
func (a reply) accountStatus() string {
	if status := a.header.Get("Authsvc-Status"); status != "" {
		return "; authsvc's status is " + status
	}
	return "; the proxy does not pass Authsvc-Status on, so authsvc's audit log alone has the reason"
}

// tryAgain is the remedy for a request that failed after another has succeeded.
const tryAgain = "read the proxy's log, and try again"

// judgeNoCredentials judges the answer to a request without credentials.
func (f *forward) judgeNoCredentials(a reply) finding {
	switch {
	case a.status == http.StatusUnauthorized && f.challenges(a):
		return pass("401 with authsvc's challenge")
	case a.status == http.StatusUnauthorized && len(a.header.Values("WWW-Authenticate")) > 0:
		return fail("let authsvc alone ask for the password: "+f.lines(passChallenge),
			"401 comes with another challenge than authsvc's%s: something else asks for a password", f.instead(a))
	case a.status == http.StatusUnauthorized:
		return fail(f.lines(passChallenge), "401 comes without authsvc's challenge (WWW-Authenticate), so browsers do not ask for a password")
	}
	return f.open(a)
}

// open judges an answer to a request without credentials that is not 401.
func (f *forward) open(a reply) finding {
	switch {
	case a.err != nil:
		return fail(tryAgain, "%v", a.err)
	case a.status < 300:
		return fail("ask authsvc about every request of the location: "+f.lines(askAuthsvc), "the location is open: %d without credentials", a.status)
	case a.status < 400:
		return fail("if it leads to the same page at another address, give that one; otherwise ask authsvc about every request of the location: "+f.lines(askAuthsvc),
			"%d without credentials%s, not 401: something else than authsvc answers", a.status, a.redirect())
	}
	return f.unexpected(a, "no credentials", "401")
}

// unexpected judges an answer of 400 or more that is not the one wanted.
func (f *forward) unexpected(a reply, what, want string) finding {
	remedy := "read the proxy's log"
	switch a.status {
	case http.StatusUnauthorized:
		remedy = "read authsvc's audit log"
	case http.StatusForbidden:
		remedy = "if callers need a key or a certificate, give the proxy one that fits (Authsvc-Key); otherwise look for another rule of the proxy that forbids the request"
	case http.StatusNotFound:
		remedy = "correct the path; the proxy must ask authsvc before it looks for the page"
	case http.StatusTooManyRequests:
		return warn("wait for "+retryText(a)+", then check again", "429 to %s: authsvc's throttle has had enough of this client, so nothing can be said", what)
	case http.StatusInternalServerError:
		remedy = "read the proxy's log and authsvc's; nginx turns every answer that auth_request does not know into 500: set \"error_page 500 = @authsvc_failed;\""
	case http.StatusBadGateway:
		remedy = "start authsvc, or correct its address in the proxy's configuration"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		remedy = "run authsvc check where the service runs: the directory or authsvc is away or slow"
	}
	return fail(remedy, "%d to %s, not %s", a.status, what, want)
}

// retryText is a Retry-After that is a number.
func retryText(a reply) string {
	after := a.header.Get("Retry-After")
	if after == "" || len(after) > 6 || strings.Trim(after, "0123456789") != "" {
		return "a few minutes"
	}
	return after + " seconds"
}
