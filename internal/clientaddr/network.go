package clientaddr

import "net/netip"

// Network returns what counts as one client: an IPv4 address, or the /64 of an IPv6 address, whose
// other half the client chooses itself (RFC 4291 section 2.5.1). An IPv6 address that carries the
// client's IPv4 address counts as that: all IPv4 clients behind a translator have one /64, and one
// IPv4 client has many in the ways that it can take. What is not an address is returned as it is.
func Network(client string) string {
	addr, err := netip.ParseAddr(client)
	if err != nil || addr.Is4() {
		return client
	}
	if v4, ok := embeddedIPv4(addr); ok {
		return v4.String()
	}
	addr = addr.WithZone("")
	if localTranslation().Contains(addr) {
		return addr.String() // a translator made all of it, and keeps the IPv4 address at a place that only it knows
	}
	return prefix(addr, 64)
}

// Site returns the /48 of an IPv6 client, the most that one site usually gets (RFC 6177): it has
// 65,536 of the networks that Network counts as a client each. Other clients have none.
func Site(client string) (string, bool) {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return "", false
	}
	if _, ok := embeddedIPv4(addr); ok || localTranslation().Contains(addr.WithZone("")) {
		return "", false
	}
	return prefix(addr.WithZone(""), 48), true
}

func prefix(addr netip.Addr, bits int) string {
	p, _ := addr.Prefix(bits) // addr is IPv6, for which it does not fail
	return p.String()
}

// embeddedIPv4 returns the IPv4 address of a client that an IPv6 address carries, or addr if it is
// IPv4.
func embeddedIPv4(addr netip.Addr) (netip.Addr, bool) {
	if addr = addr.Unmap(); addr.Is4() { // IPv4-mapped, RFC 4291 section 2.5.5.2
		return addr, true
	}
	b := addr.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case b == [16]byte{}, b == [16]byte{15: 1}: // unspecified and loopback, in the range of the next
		return addr, false
	case starts(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), // IPv4-compatible, RFC 4291 section 2.5.5.1
		starts(b, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0),    // IPv4-translated, RFC 2765 section 2.1
		starts(b, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0): // 64:ff9b::/96, RFC 6052 section 2.1
		return at(12), true
	case localTranslation().Contains(addr.WithZone("")):
		v4 := at(12)
		return v4, [4]byte(b[8:12]) == [4]byte{} && !v4.IsUnspecified() // of the forms of RFC 6052 section 2.2, a /96
	case starts(b, 0x20, 0x02): // 6to4, RFC 3056 section 2
		return at(2), true
	case starts(b, 0x20, 0x01, 0, 0): // Teredo, RFC 4380 section 4: the client's address, inverted. Its server is bytes 4 to 7
		for i := 12; i < 16; i++ {
			b[i] ^= 0xff
		}
		return at(12), true
	}
	return addr, false
}

// localTranslation is 64:ff9b:1::/48 (RFC 8215).
func localTranslation() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 5: 1}), 48)
}

func starts(b [16]byte, with ...byte) bool {
	for i, w := range with {
		if b[i] != w {
			return false
		}
	}
	return true
}
