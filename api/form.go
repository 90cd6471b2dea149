package api

import (
	"bytes"
	"net/url"
	"unicode/utf8"

	"authsvc/internal/auth"
)

// decodeForm reads body as a urlencoded form of exactly the two fields. url.ParseQuery would skip
// what it cannot read, and Request.ParseForm would mix in the URL's query.
func decodeForm(body []byte) (auth.Credentials, error) {
	if looksLikeJSON(body) {
		return auth.Credentials{}, errJSONAsForm
	}
	if bytes.IndexByte(body, ';') >= 0 {
		return auth.Credentials{}, errSemicolon // which some readers take for a separator
	}
	f := newFields()
	for more := len(body) > 0; more; {
		var pair []byte
		pair, body, more = bytes.Cut(body, []byte("&"))
		if err := takePair(&f, pair); err != nil {
			return auth.Credentials{}, err
		}
	}
	return f.credentials()
}

// looksLikeJSON reports whether body begins like an object or array, which no form with the two
// fields does. curl -d says that all it sends is a form.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte(byteOrderMark)), " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// takePair reads one name=value.
func takePair(f *fields, pair []byte) error {
	escapedName, escapedValue, _ := bytes.Cut(pair, []byte("="))
	name, err := url.QueryUnescape(string(escapedName))
	if err != nil {
		return errFormEscape
	}
	taken, err := f.take(name)
	if err != nil {
		return err
	}
	if taken.value, err = url.QueryUnescape(string(escapedValue)); err != nil {
		return taken.refuse("must have valid percent escapes")
	}
	if !utf8.ValidString(taken.value) {
		return taken.refuse("must be valid UTF-8")
	}
	return nil
}
