package config

import (
	"fmt"
	"net/netip"
	"strings"

	"authsvc/internal/clientaddr"

	"authsvc/internal/ldapname"
)

// List is a list whose items stand between commas. White space around an item is not part of it.
type List []string

// UnmarshalText reads a list.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	if strings.TrimSpace(string(text)) == "" {
		return nil
	}
	for item := range strings.SplitSeq(string(text), ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return fmt.Errorf("has an empty item between commas")
		}
		if text := flaw(item); text != "" {
			return fmt.Errorf("has an item that %s", text)
		}
		*l = append(*l, item)
	}
	return nil
}

// DNList is a list of distinguished names, which hold commas and so stand between semicolons.
type DNList []string

// UnmarshalText reads a list. A semicolon that is escaped (RFC 4514 section 2.4) belongs to its
// name.
func (l *DNList) UnmarshalText(text []byte) error {
	*l = nil
	for _, dn := range ldapname.SplitList(string(text)) {
		if dn == "" {
			return fmt.Errorf("has an empty name between semicolons")
		}
		if text := flaw(dn); text != "" {
			return fmt.Errorf("has a name that %s", text)
		}
		*l = append(*l, dn)
	}
	return nil
}

// PrefixList is a list of networks in CIDR notation; an address alone is a network of its own.
type PrefixList []netip.Prefix

// UnmarshalText reads a list.
func (l *PrefixList) UnmarshalText(text []byte) error {
	var items List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*l = nil
	for _, item := range items {
		p, err := clientaddr.ParsePrefix(item)
		if err != nil {
			return fmt.Errorf("has %q, which is neither an IP address nor a network in CIDR notation", item)
		}
		*l = append(*l, p)
	}
	return nil
}

// HostList is a list of host names, kept in lower case and without a trailing dot.
type HostList []string

// UnmarshalText reads a list. Ports and wildcards are mistakes: a name counts under every port, and
// a wildcard would let in whoever may create names below it.
func (l *HostList) UnmarshalText(text []byte) error {
	var items List
	if err := items.UnmarshalText(text); err != nil {
		return err
	}
	*l = nil
	for _, item := range items {
		name := strings.ToLower(strings.TrimSuffix(item, "."))
		switch {
		case strings.Contains(item, "://") || strings.Contains(item, "/"):
			return fmt.Errorf("has %q, which is a URL: write only its host", item)
		case strings.Contains(item, "*"):
			return fmt.Errorf("has %q: wildcards are not supported, list each name", item)
		case isAddress(item):
			return fmt.Errorf("has %q: IP addresses are always accepted, remove it", item)
		case strings.Contains(item, ":"):
			return fmt.Errorf("has %q: a name is accepted with every port, remove the port", item)
		case !hostName(name):
			return fmt.Errorf("has %q, which is not a host name: use letters, digits, '-', '_' and dots, and xn-- for other scripts", item)
		}
		*l = append(*l, name)
	}
	return nil
}

// isAddress reports whether s is an IP address, in brackets or not.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}

// hostName reports whether name consists of labels of 1 to 63 letters, digits, hyphens and
// underscores, at most 253 bytes in all. The underscore is in service names of Compose.
func hostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
