package api

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"authsvc/internal/auth"
	"authsvc/internal/ldapname"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/encoding/charmap"
)

// errNoBasic is the error of a request without credentials: it is no login.
var errNoBasic = errors.New("no Authorization header, or one of another scheme than Basic")

// What is wrong with the credentials of a request. The details name the field and the rule.
var (
	errTwoHeaders = badRequest("Authorization: must be one header")
	errBase64     = badRequest("Authorization: must be base64 of username:password")
	errNoColon    = badRequest("Authorization: must have a colon between username and password")
	errEncoding   = badRequest("Authorization: username and password must be UTF-8 or Windows-1252")
	errControl    = badRequest("Authorization: username and password must not contain a control character")
)

// basicCredentials reads the credentials of a request (RFC 7617): one Authorization header, the
// scheme in any case, base64 with or without padding. What is not valid UTF-8 is Windows-1252,
// which is what browsers that do not read the challenge's charset send.
func basicCredentials(h http.Header) (username, password string, err error) {
	given := h[echo.HeaderAuthorization]
	if len(given) == 0 {
		return "", "", errNoBasic
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", "", errNoBasic
	}
	if len(given) > 1 {
		return "", "", errTwoHeaders
	}
	token = strings.TrimRight(strings.Trim(token, " "), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(token)
	if err != nil {
		return "", "", errBase64
	}
	if !utf8.Valid(decoded) {
		decoded, err = charmap.Windows1252.NewDecoder().Bytes(decoded)
		if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) { // five bytes are no characters
			return "", "", errEncoding
		}
	}
	username, password, ok := strings.Cut(string(decoded), ":")
	switch {
	case !ok:
		return "", "", errNoColon
	case strings.ContainsFunc(username, unicode.IsControl), strings.ContainsFunc(password, unicode.IsControl):
		return "", "", errControl
	}
	return strings.Clone(username), password, nil // what keeps the name must not keep the password
}

// What is wrong with the groups that a request requires.
var (
	errForwardQuery  = badRequest("query: only the parameter group is known, and / and ? must be escaped in its value")
	errForwardGroup  = badRequest("group: must not be empty, nor have an empty alternative")
	errForwardGroups = badRequest("group: at most 16 requirements of 16 groups each may be made")
)

// Bounds of the groups that a request may require, and those of each that permit.
const (
	maxRequirements = 16
	maxAlternatives = 16
)

// headerRequireGroup is a header with a required group, like the parameter group.
const headerRequireGroup = "Authsvc-Require-Group"

// requirements reads the groups that a request requires: those of the query and of the header. Each
// group=a;b and each header is one requirement, which one of the groups between the semicolons
// meets.
func requirements(r *http.Request) ([]auth.Requirement, error) {
	query := r.URL.RawQuery
	if strings.ContainsAny(query, "/?") {
		return nil, errForwardQuery
	}
	var required []auth.Requirement
	add := func(value string) error {
		alternatives := ldapname.SplitList(value) // as LDAP_REQUIRED_GROUPS is
		for _, item := range alternatives {
			if item == "" {
				return errForwardGroup
			}
		}
		if len(alternatives) > maxAlternatives || len(required) == maxRequirements {
			return errForwardGroups
		}
		required = append(required, alternatives)
		return nil
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil || name != "group" {
			return nil, errForwardQuery
		}
		if err := add(value); err != nil {
			return nil, err
		}
	}
	for _, value := range r.Header[headerRequireGroup] {
		if err := add(value); err != nil {
			return nil, err
		}
	}
	return required, nil
}
