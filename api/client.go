package api

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

// clientAddress returns what finds the client's address: the nearest one that is not a trusted proxy. Every entry
// of X-Forwarded-For is believed on the word of the one behind it (it is appended to), so the list is walked from
// its end, and from the peer, for as long as they are trusted. An entry that is no address ends the walk at the
// proxy that let it pass. Entries with a port, as some balancers write them, lose it. A peer without an IP address
// has no client address.
func clientAddress(trusted []netip.Prefix) echo.IPExtractor {
	return func(r *http.Request) string {
		peer, ok := parseAddress(r.RemoteAddr)
		if !ok {
			return ""
		}
		return furthest(peer, r.Header[echo.HeaderXForwardedFor], trusted).String()
	}
}

// furthest walks the lists in forwarded from their end, beginning at peer, up to the first that is not trusted.
func furthest(peer netip.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	at := peer
	for i := len(forwarded) - 1; i >= 0; i-- {
		for list, more := forwarded[i], true; more; {
			if !contains(trusted, at) {
				return at
			}
			var entry string
			list, entry, more = cutLast(list)
			next, ok := parseAddress(strings.TrimSpace(entry))
			if !ok {
				return at
			}
			at = next
		}
	}
	return at
}

// cutLast splits the last entry from a comma-separated list and tells whether there are more.
func cutLast(list string) (rest, entry string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parseAddress reads an IP address, with or without port and brackets, into its one spelling: IPv4 in IPv6 is
// IPv4, a zone is left out.
func parseAddress(s string) (netip.Addr, bool) {
	withPort, err := netip.ParseAddrPort(s) // first, as every peer has one
	addr := withPort.Addr()
	if err != nil {
		addr, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// contains tells whether addr is in one of prefixes.
func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
