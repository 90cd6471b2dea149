// Package identity makes the headers by which a reverse proxy learns who has logged in. It knows
// no listener and no directory.
package identity

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"
)

// MaxSize bounds the headers of one user, names and values together, in bytes: proxies bound the
// headers of an answer, some at 4 KiB.
const MaxSize = 3 << 10

// Header is a header that says something of a user.
type Header struct {
	Name  string // in its canonical form
	parts []part
}

// part is a part of a header's value: literal text, or what a placeholder stands for.
type part struct{ text, placeholder string }

// User is who has logged in.
type User struct {
	Username   string
	DN         string
	Groups     []string
	Attributes map[string][]string
}

// Values are what headers say of one user.
type Values struct {
	Values  []string // one for each header, in order
	LeftOut []string // groups that a list with commas cannot hold, and headers that would not fit
	// NoGroups reports that all groups are left out, because the headers would exceed MaxSize.
	NoGroups bool
}

// The placeholders besides the names of attributes.
const (
	username = "username"
	dn       = "dn"
	groups   = "groups"
)

// reserved are headers of an answer that say nothing of a user.
var reserved = []string{
	"Authorization", "Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Retry-After",
	"Transfer-Encoding", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Request-Id",
}

// reservedPrefix begins the names of the service's own headers.
const reservedPrefix = "Authsvc-"

// What is wrong with a header.
var (
	errForm     = errors.New("must be NAME=VALUE, with the name of a header")
	errTwice    = errors.New("the header is listed twice")
	errReserved = errors.New("the header has another meaning in an answer")
	errText     = errors.New("must have no control character, and no brace but those of a placeholder")
)

// Parse reads a list of NAME=VALUE separated by commas. A value may have the placeholders
// {username}, {dn}, {groups} and the names of attributes.
func Parse(list string, attributes []string) ([]Header, error) {
	var headers []Header
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		h, err := parse(item, attributes)
		if err == nil && slices.ContainsFunc(headers, func(o Header) bool { return o.Name == h.Name }) {
			err = errTwice
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		headers = append(headers, h)
	}
	return headers, nil
}

func parse(item string, attributes []string) (Header, error) {
	name, value, ok := strings.Cut(item, "=")
	if !ok || !httpguts.ValidHeaderFieldName(name) {
		return Header{}, errForm
	}
	h := Header{Name: http.CanonicalHeaderKey(name)}
	if slices.Contains(reserved, h.Name) || strings.HasPrefix(h.Name, reservedPrefix) {
		return Header{}, errReserved
	}
	for value != "" {
		text, rest, found := strings.Cut(value, "{")
		if strings.ContainsFunc(text, func(r rune) bool { return r == '}' || unicode.IsControl(r) }) {
			return Header{}, errText
		}
		if text != "" {
			h.parts = append(h.parts, part{text: text})
		}
		if !found {
			break
		}
		placeholder, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains([]string{username, dn, groups}, placeholder) && !slices.Contains(attributes, placeholder) {
			return Header{}, fmt.Errorf("{%s is no placeholder: there are {username}, {dn}, {groups}, and the names in LDAP_ATTRIBUTES", rest)
		}
		h.parts = append(h.parts, part{placeholder: placeholder})
		value = after
	}
	return h, nil
}

// Of returns what headers say of a user. There is a value for each header, empty if there is
// nothing to say: a header that is missing would leave a client's own in place behind some proxies.
func Of(headers []Header, u *User) Values {
	v := Values{Values: make([]string, len(headers))}
	listed, unsafe := separable(u.Groups)
	size := v.fill(headers, u, strings.Join(listed, ","))
	if size > MaxSize && len(listed) > 0 {
		v.NoGroups = true
		size = v.fill(headers, u, "")
	}
	v.LeftOut = unsafe
	for i := range headers {
		if size > MaxSize && headers[i].hasMore() {
			size -= v.leaveOut(headers, i)
		}
	}
	for i := range headers { // a very long name
		if size > MaxSize {
			size -= v.leaveOut(headers, i)
		}
	}
	return v
}

// leaveOut empties a value, and returns its size.
func (v *Values) leaveOut(headers []Header, i int) (size int) {
	size = len(v.Values[i])
	if size > 0 {
		v.Values[i] = ""
		v.LeftOut = append(v.LeftOut, headers[i].Name)
	}
	return size
}

// fill sets the values, and returns their size with the names.
func (v *Values) fill(headers []Header, u *User, listed string) (size int) {
	for i := range headers {
		v.Values[i] = headers[i].value(u, listed)
		size += len(headers[i].Name) + len(": \r\n") + len(v.Values[i])
	}
	return size
}

// value returns the header's value, without control characters.
func (h *Header) value(u *User, listed string) string {
	if len(h.parts) == 1 && h.parts[0].placeholder == groups {
		return listed
	}
	var b strings.Builder
	for _, p := range h.parts {
		switch p.placeholder {
		case "":
			b.WriteString(p.text)
		case username:
			b.WriteString(u.Username)
		case dn:
			b.WriteString(u.DN)
		case groups:
			b.WriteString(listed)
		default:
			b.WriteString(strings.Join(u.Attributes[p.placeholder], ","))
		}
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, b.String()))
}

// hasMore reports whether the value has more than the name and the groups.
func (h *Header) hasMore() bool {
	return slices.ContainsFunc(h.parts, func(p part) bool {
		return p.placeholder != "" && p.placeholder != username && p.placeholder != groups
	})
}

// separable returns the groups that a list with commas can hold, and the others.
func separable(all []string) (listed, unsafe []string) {
	isUnsafe := func(g string) bool {
		return strings.ContainsFunc(g, func(r rune) bool { return r == ',' || unicode.IsControl(r) })
	}
	if !slices.ContainsFunc(all, isUnsafe) {
		return all, nil
	}
	for _, g := range all {
		if isUnsafe(g) {
			unsafe = append(unsafe, g)
		} else {
			listed = append(listed, g)
		}
	}
	return listed, unsafe
}
