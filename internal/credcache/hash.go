package credcache

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

const macSize = sha256.Size

// hashes computes HMAC-SHA-256 (RFC 2104) under one key.
type hashes struct{ pool sync.Pool }

// hasher is a hash with room for its input and its sum.
type hasher struct {
	hash  hash.Hash
	input []byte
	sum   []byte
}

func (h *hashes) init(key []byte) {
	h.pool.New = func() any { return &hasher{hash: hmac.New(sha256.New, key)} }
}

// sum returns the MAC of parts, each with its length before it: no two lists of parts have the same
// input.
func (h *hashes) sum(parts ...string) (mac [macSize]byte) {
	w := h.pool.Get().(*hasher)
	defer h.pool.Put(w)
	w.input = w.input[:0]
	for _, part := range parts {
		w.input = binary.AppendUvarint(w.input, uint64(len(part)))
		w.input = append(w.input, part...)
	}
	_, _ = w.hash.Write(w.input) // a hash returns no error
	w.sum = w.hash.Sum(w.sum[:0])
	copy(mac[:], w.sum)
	clear(w.input) // it may hold a password, and so may the hash
	w.hash.Reset()
	return mac
}
