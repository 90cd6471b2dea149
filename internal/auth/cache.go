package auth

import (
	"strings"
	"sync"
	"time"
)

// cacheTTL is how long the directory's answer about a group is cached. Group membership is never
// cached.
const cacheTTL = time.Minute

// Bounds of a cache, in answers and in bytes of questions and answers. A full cache is cleared. An
// answer above maxAnswerSize is not cached.
const (
	maxCached     = 10_000
	maxCacheSize  = 8 << 20
	maxAnswerSize = 8 << 10
)

// cache holds answers of the directory by their question. Its methods may be called concurrently.
type cache[V any] struct {
	mu      sync.Mutex
	answers map[string]cached[V] // guarded by mu
	size    int                  // of answers, in bytes; guarded by mu
}

type cached[V any] struct {
	value V
	size  int
	until time.Time
}

// get returns the answer to a question, if it is not older than cacheTTL.
func (c *cache[V]) get(question string, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[question]
	if !ok || !now.Before(a.until) {
		var none V
		return none, false
	}
	return a.value, true
}

// put caches an answer of a size in bytes that the directory gave at now.
func (c *cache[V]) put(question string, value V, size int, now time.Time) {
	size += len(question)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size -= c.answers[question].size
	delete(c.answers, question)
	if size > maxAnswerSize {
		return
	}
	if c.answers == nil || len(c.answers) >= maxCached || c.size+size > maxCacheSize {
		c.answers, c.size = map[string]cached[V]{}, 0
	}
	c.answers[strings.Clone(question)] = cached[V]{value: value, size: size, until: now.Add(cacheTTL)}
	c.size += size
}
