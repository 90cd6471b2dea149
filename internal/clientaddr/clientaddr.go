// Package clientaddr finds the address of the client behind trusted proxies, and the network that
// counts as one client. It is the only place that reads addresses of clients and of proxies.
package clientaddr

import (
	"net/netip"
	"slices"
	"strings"
)

// Unknown stands for a client whose address its proxy conceals: the X-Forwarded-For element of a
// trusted proxy is not an IP address. All such clients are one client, and never the proxy.
const Unknown = "unknown"

// Find returns the address of the client: the nearest one, seen from this service, that is not a
// trusted proxy. remoteAddr is the peer's address with its port; forwarded holds the
// X-Forwarded-For fields in their order.
//
// A proxy appends the address of its own peer, so an element is as trustworthy as the address to
// the right of it, and the elements are read from the right. What a client sent stands to the left
// of its own address and is never read. Elements are separated by every comma, also within quotes:
// a client could otherwise open a quote that swallows what the proxies append. Empty elements are
// skipped (RFC 9110 section 5.6.1.2).
//
// The result is [Unknown] if a trusted proxy names something else than an IP address, and empty if
// the peer has no IP address.
func Find(remoteAddr string, forwarded []string, trusted []netip.Prefix) string {
	client, ok := parse(remoteAddr)
	if !ok {
		return ""
	}
	for _, list := range slices.Backward(forwarded) {
		for more := true; more; {
			if !contains(trusted, client) {
				return client.String()
			}
			var element string
			list, element, more = cutLast(list)
			element = strings.Trim(element, " \t")
			if element == "" {
				continue
			}
			if client, ok = parse(element); !ok {
				return Unknown
			}
		}
	}
	return client.String()
}

// IsTrusted reports whether a peer, given by its address and port, is a trusted proxy.
func IsTrusted(remoteAddr string, trusted []netip.Prefix) bool {
	peer, ok := parse(remoteAddr)
	return ok && contains(trusted, peer)
}

// ParsePrefix reads a network in CIDR notation, or an address, which is a network of its own. IPv4
// networks written as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) become IPv4, as the addresses
// compared with them do.
func ParsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return unmap(p).Masked(), nil
}

// unmap returns an IPv4-mapped network as IPv4, and any other as it is.
func unmap(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// IsLoopback reports whether a peer's address, with its port, is this machine's own.
func IsLoopback(remoteAddr string) bool {
	addr, ok := parse(remoteAddr)
	return ok && addr.IsLoopback()
}

// cutLast splits the last element from a comma-separated list and reports whether there are more.
func cutLast(list string) (rest, element string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parse reads an IP address as proxies write it: with or without a port, IPv6 with or without
// brackets, the whole with or without quotes (RFC 7239 section 6). IPv4-mapped IPv6 becomes IPv4; a
// zone, which only this host knows, is removed.
func parse(s string) (netip.Addr, bool) {
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		s = s[1 : n-1]
	}
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		var closed bool
		if host, port, closed = strings.Cut(s[1:], "]"); !closed {
			return netip.Addr{}, false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 && i == strings.LastIndexByte(s, ':') {
		host, port = s[:i], s[i:]
	}
	if !isPort(port) {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// isPort reports whether s may follow an address: nothing, or a colon and a number or an obfuscated
// identifier (RFC 7239 section 6.2).
func isPort(s string) bool {
	const digits, others = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"
	if s == "" {
		return true
	}
	port, ok := strings.CutPrefix(s, ":")
	if !ok || port == "" {
		return false
	}
	if hidden, ok := strings.CutPrefix(port, "_"); ok {
		return hidden != "" && strings.Trim(hidden, digits+others) == ""
	}
	return len(port) <= 5 && strings.Trim(port, digits) == ""
}

// contains reports whether addr is in one of prefixes, however they are written.
func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return unmap(p).Contains(addr) })
}
