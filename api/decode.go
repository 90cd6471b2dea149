package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// The two kinds of body.
const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
)

// maxBody is the longest body that is read, in bytes.
const maxBody = 16 << 10

// requestBuffer holds one request's body and what decodes it.
type requestBuffer struct {
	n       int               // bytes of body that are set
	body    [maxBody + 1]byte // one more, to tell a body that is too long
	reader  bytes.Buffer      // over body, for decoder, which then makes no copy
	decoder jsontext.Decoder
}

// bytes is the body that was read.
func (b *requestBuffer) bytes() []byte { return b.body[:b.n] }

// wipe leaves nothing of the body in the buffer.
func (b *requestBuffer) wipe() {
	clear(b.body[:b.n])
	b.n = 0
}

// read fills the buffer from body, to its end or to the first byte too many.
func (b *requestBuffer) read(body io.Reader) error {
	for b.n < len(b.body) {
		n, err := body.Read(b.body[b.n:])
		b.n += n
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r := badRequest("body: must arrive complete and in time")
			r.cause = err
			return r
		}
	}
	if b.n > maxBody {
		return errBodyTooLarge
	}
	return nil
}

// bodyType returns typeJSON or typeForm, whichever the one Content-Type says.
func bodyType(h http.Header) (string, error) {
	if _, encoded := h[echo.HeaderContentEncoding]; encoded {
		return "", errContentEncoding
	}
	given := h[echo.HeaderContentType]
	if len(given) != 1 {
		return "", errContentType
	}
	if given[0] == typeJSON || given[0] == typeForm { // spares parsing what nearly everyone sends
		return given[0], nil
	}
	mediaType, params, err := mime.ParseMediaType(given[0])
	if err != nil || mediaType != typeJSON && mediaType != typeForm {
		return "", errContentType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", errContentType
	}
	return mediaType, nil
}

// byteOrderMark is U+FEFF in UTF-8, which RFC 8259 section 8.1 lets a reader refuse.
const byteOrderMark = "\xef\xbb\xbf"

// decodeJSON reads the body as exactly one object of exactly the two fields, both strings. The
// decoder refuses invalid UTF-8 and lone surrogates by itself.
func (b *requestBuffer) decodeJSON() (auth.Credentials, error) {
	if bytes.HasPrefix(b.bytes(), []byte(byteOrderMark)) {
		return auth.Credentials{}, errByteOrder
	}
	b.reader = *bytes.NewBuffer(b.bytes())
	// The names are watched by fields, which knows them all.
	b.decoder.Reset(&b.reader, jsontext.AllowDuplicateNames(true))
	creds, err := readObject(&b.decoder)
	if err != nil {
		return auth.Credentials{}, err
	}
	if _, err := b.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return auth.Credentials{}, errTrailing
	}
	return creds, nil
}

// readObject reads one object of the two fields.
func readObject(d *jsontext.Decoder) (auth.Credentials, error) {
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != jsontext.KindBeginObject {
		return auth.Credentials{}, errNotObject
	}
	f := newFields()
	for {
		name, err := d.ReadToken()
		if err != nil {
			return auth.Credentials{}, errNotObject
		}
		if name.Kind() == jsontext.KindEndObject {
			return f.credentials()
		}
		taken, err := f.take(name.String())
		if err != nil {
			return auth.Credentials{}, err
		}
		if taken.value, err = readString(d, taken); err != nil {
			return auth.Credentials{}, err
		}
	}
}

// readString reads the value of f.
func readString(d *jsontext.Decoder, f *field) (string, error) {
	switch d.PeekKind() {
	case jsontext.KindString:
	case jsontext.KindInvalid:
		return "", errNotObject
	default:
		return "", f.refuse("must be a string")
	}
	value, err := d.ReadToken()
	if err != nil {
		return "", f.refuse("must be a JSON string of valid Unicode")
	}
	return value.String(), nil
}

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

// fields collects the two fields of a login, each to be given exactly once. What they may hold is
// for auth to say.
type fields struct {
	username, password field
}

// field is one of them.
type field struct {
	name  string
	value string
	given bool
}

// newFields returns the fields, none of them given.
func newFields() fields {
	return fields{username: field{name: "username"}, password: field{name: "password"}}
}

// take returns the field called name for its value to be set.
func (f *fields) take(name string) (*field, error) {
	var taken *field
	switch name {
	case f.username.name:
		taken = &f.username
	case f.password.name:
		taken = &f.password
	default:
		return nil, errUnknownField
	}
	if taken.given {
		return nil, taken.refuse("must be given once")
	}
	taken.given = true
	return taken, nil
}

// refuse is the refusal of a request for what is wrong with this field.
func (f *field) refuse(rule string) error {
	return badRequest(f.name + ": " + rule)
}

// credentials returns the fields once all have come.
func (f *fields) credentials() (auth.Credentials, error) {
	for _, one := range [...]*field{&f.username, &f.password} {
		if !one.given {
			return auth.Credentials{}, one.refuse("must be given")
		}
	}
	return auth.Credentials{Username: f.username.value, Password: f.password.value}, nil
}
