package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"authsvc/internal/auth"

	"github.com/labstack/echo/v4"
	"golang.org/x/net/http/httpguts"
)

// maxIdentity bounds the identity headers of an answer, names and values together, in bytes.
const maxIdentity = 3 << 10

// headerTruncated says that an answer has no groups because they would not fit.
const headerTruncated = "Authsvc-Groups-Truncated"

// IdentityHeader is a header that says who has logged in.
type IdentityHeader struct {
	Name  string // in its canonical form
	parts []identityPart
}

// identityPart is a part of a header's value: literal text, or what a placeholder stands for.
type identityPart struct {
	text        string
	placeholder string // username, dn, groups, or the name of an attribute
}

// ParseIdentityHeaders reads a list of NAME=VALUE separated by commas. A VALUE may have the
// placeholders {username}, {dn}, {groups}, and the name of any of the attributes.
func ParseIdentityHeaders(list string, attributes []string) ([]IdentityHeader, error) {
	var headers []IdentityHeader
	for item := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("%q: must be NAME=VALUE with the name of a header", item)
		}
		h := IdentityHeader{Name: http.CanonicalHeaderKey(name)}
		if slices.ContainsFunc(headers, func(o IdentityHeader) bool { return o.Name == h.Name }) {
			return nil, fmt.Errorf("%q: the header is listed twice", name)
		}
		if slices.Contains(reservedHeaders, h.Name) || strings.HasPrefix(h.Name, "Authsvc-") {
			return nil, fmt.Errorf("%q: the header has another meaning in an answer", name)
		}
		var err error
		if h.parts, err = parseIdentityValue(value, attributes); err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// reservedHeaders are headers of an answer that are no identity.
var reservedHeaders = []string{
	echo.HeaderAuthorization, echo.HeaderCacheControl, echo.HeaderConnection, echo.HeaderContentLength, echo.HeaderContentType,
	"Date", echo.HeaderRetryAfter, "Transfer-Encoding", echo.HeaderVary, echo.HeaderWWWAuthenticate, echo.HeaderXRequestID,
}

// parseIdentityValue reads the value of a header.
func parseIdentityValue(value string, attributes []string) (parts []identityPart, err error) {
	for value != "" {
		text, rest, found := strings.Cut(value, "{")
		if text != "" {
			if strings.ContainsFunc(text, unicode.IsControl) || strings.Contains(text, "}") {
				return nil, fmt.Errorf("must not have a control character, nor a brace but those of a placeholder")
			}
			parts = append(parts, identityPart{text: text})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		known := []string{"username", "dn", "groups"}
		if !closed || !slices.Contains(known, name) && !slices.Contains(attributes, name) {
			return nil, fmt.Errorf("{%s is no placeholder: there are {username}, {dn}, {groups} and the names in LDAP_ATTRIBUTES", name)
		}
		parts = append(parts, identityPart{placeholder: name})
		value = after
	}
	return parts, nil
}

// identify sets the headers that say who has logged in. All of them are set, empty if there is
// nothing to say: a header that is missing would leave a client's own in place behind some proxies.
func (s *Server) identify(c echo.Context, u *auth.User, source auth.Source) {
	header := c.Response().Header()
	groups, unsafe := safeGroups(u.Groups)
	values, size := s.identityValues(u, groups)
	if size > maxIdentity && len(groups) > 0 {
		header.Set(headerTruncated, "true")
		values, size = s.identityValues(u, nil)
	}
	for i, h := range s.forwarding.Headers {
		if size > maxIdentity && h.hasAttribute() {
			size -= len(values[i])
			values[i] = ""
			unsafe = append(unsafe, h.Name)
		}
		header[h.Name] = values[i : i+1 : i+1]
	}
	if len(unsafe) > 0 && source != auth.FromCache { // once a login
		s.log.Warn("identity left out of an answer to a reverse proxy", "request_id", requestID(c), "dn", u.DN, "left_out", unsafe)
	}
}

// identityValues returns the value of each header, and their size with the names.
func (s *Server) identityValues(u *auth.User, groups []string) (values []string, size int) {
	values = make([]string, len(s.forwarding.Headers))
	for i, h := range s.forwarding.Headers {
		values[i] = h.value(u, groups)
		size += len(h.Name) + len(": \r\n") + len(values[i])
	}
	return values, size
}

// value returns the header's value for a user, without control characters.
func (h *IdentityHeader) value(u *auth.User, groups []string) string {
	var b strings.Builder
	for _, p := range h.parts {
		switch p.placeholder {
		case "":
			b.WriteString(p.text)
		case "username":
			b.WriteString(u.Username)
		case "dn":
			b.WriteString(u.DN)
		case "groups":
			b.WriteString(strings.Join(groups, ","))
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

// hasAttribute reports whether the value has more than the name and the groups.
func (h *IdentityHeader) hasAttribute() bool {
	return slices.ContainsFunc(h.parts, func(p identityPart) bool {
		return p.placeholder != "" && p.placeholder != "username" && p.placeholder != "groups"
	})
}

// safeGroups returns the groups that can be told apart in a list with commas, and the others.
func safeGroups(groups []string) (safe, unsafe []string) {
	for _, g := range groups {
		if strings.ContainsFunc(g, func(r rune) bool { return r == ',' || unicode.IsControl(r) }) {
			unsafe = append(unsafe, g)
		} else {
			safe = append(safe, g)
		}
	}
	return safe, unsafe
}
