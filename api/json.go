package api

import (
	"bytes"
	"errors"
	"io"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json/jsontext"
)

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
