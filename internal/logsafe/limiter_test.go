package logsafe

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLimiter_KeepsABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	l := NewLimiter()
	allowed := 0
	for i := range 10 * MaxKeys {
		if _, ok := l.Allow(Key{Server: fmt.Sprint(i)}); ok {
			allowed++
		}
	}
	assert.Len(t, l.buckets, MaxKeys+1)
	assert.Equal(t, MaxKeys+Burst, allowed)
}
