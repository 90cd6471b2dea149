package api

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
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
