package api

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// browserRules decides which requests of browsers a listener serves. Any web site can make its
// visitors' browsers send requests to addresses that the site itself cannot reach, and with DNS
// rebinding it can read the answers. Requests of other programs are not looked at.
type browserRules struct {
	// hosts are the names by which browsers may use the listener, in lower case and without a
	// trailing dot, in addition to localhost and IP addresses: no web site can own those.
	hosts []string
	// page may be opened by a link on another site; empty if there is no such page.
	page string
	// open are the paths whose GET is served to a browser that does not say which site asks. Nil
	// means all paths. Browsers are silent about that on plain HTTP, unless the address is
	// loopback's, so a path that costs much or keeps a connection is not open.
	open []string
	// host, origin and silent refuse a request under another name, of another site, and without a
	// sign of which one.
	host, origin, silent error
}

// sameOrigin is the standard library's rule. Its zero value trusts no other origin.
var sameOrigin http.CrossOriginProtection

// check returns an error if r comes from a browser and must not be served. Without rules, all is
// served.
func (b *browserRules) check(r *http.Request) error {
	// A preflight has no effect, and its answer never permits anything.
	if b == nil || r.Method == http.MethodOptions || !fromBrowser(r) {
		return nil
	}
	if !b.knows(r.Host) {
		return b.host
	}
	if r.URL.Path == b.page && isNavigation(r) {
		return nil
	}
	// The rule lets GET pass as harmless, but here a GET can start a profile or occupy a stream.
	asPost := &http.Request{Method: http.MethodPost, URL: r.URL, Host: r.Host, Header: r.Header}
	if sameOrigin.Check(asPost) != nil {
		return b.origin
	}
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return nil
	}
	switch referer, err := url.Parse(r.Referer()); {
	case r.Referer() == "":
		if b.open != nil && !slices.Contains(b.open, r.URL.Path) {
			return b.silent
		}
		return nil
	case err == nil && referer.Host == r.Host:
		return nil
	}
	return b.origin
}

// knows reports whether a Host header names the listener by a name that no web site can own: an IP
// address, localhost or one of the configured names, each with or without a port.
func (b *browserRules) knows(host string) bool {
	host = (&url.URL{Host: host}).Hostname() // without port and brackets
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || slices.Contains(b.hosts, host)
}

// fromBrowser reports whether a browser sent r, by headers that a page's script cannot suppress.
//
// Browsers send Sec-Fetch-* to HTTPS and loopback alone, and Origin with no GET to the page's own
// origin: a page whose name was rebound to this address reads with neither. Its GET still has
// Accept-Language, which a script can empty but not remove. Other programs rarely send that, so the
// mere presence counts for GET and HEAD only.
//
// Node.js sends "Sec-Fetch-Mode: cors", and Accept-Language, with every fetch. No browser sends the
// former without Sec-Fetch-Site, and no script can forge it.
func fromBrowser(r *http.Request) bool {
	if _, ok := r.Header["Origin"]; ok {
		return true
	}
	_, speaks := r.Header["Accept-Language"]
	for name, values := range r.Header {
		if !strings.HasPrefix(name, "Sec-Fetch-") {
			continue
		}
		if name != "Sec-Fetch-Mode" || len(values) != 1 || values[0] != "cors" {
			return true
		}
		speaks = false
	}
	return speaks && isRead(r)
}

// isNavigation reports whether r opens a page in a tab of its own, as far as the browser says so.
func isNavigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return isRead(r) && r.Header.Get("Origin") == "" && (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// middleware refuses what check refuses, before anything is done for the request.
func (b *browserRules) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := b.check(c.Request()); err != nil {
			return err
		}
		return next(c)
	}
}

// mainBrowserRules are those of the main listener. Its GETs cost nothing, so that all of them are
// open.
func mainBrowserRules(hosts []string) *browserRules {
	return &browserRules{hosts: hosts, host: errBrowserHost, origin: errOtherOrigin}
}
