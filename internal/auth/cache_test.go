package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestCache_ForgetsAfterAMinute(t *testing.T) {
	t.Parallel()
	var c cache[bool]
	began := time.Unix(1_000_000, 0)
	_, ok := c.get("a", began)
	require.False(t, ok)
	c.put("a", true, 0, began)
	value, ok := c.get("a", began.Add(time.Minute-1))
	require.True(t, ok && value)
	value, ok = c.get("a", began.Add(time.Minute))
	require.False(t, ok || value)
}

func TestCache_IsBounded(t *testing.T) {
	t.Parallel()
	var c cache[int]
	for i := range 3 * maxCached {
		c.put(fmt.Sprint(i), i, 0, time.Unix(0, 0))
		require.LessOrEqual(t, len(c.answers), maxCached)
	}
	last, ok := c.get(fmt.Sprint(3*maxCached-1), time.Unix(0, 0))
	require.True(t, ok)
	require.Equal(t, 3*maxCached-1, last)
}

func TestCache_IsBoundedInBytes(t *testing.T) {
	t.Parallel()
	var c cache[int]
	now := time.Unix(0, 0)
	for i := range 3 * maxCacheSize / maxAnswerSize {
		question := fmt.Sprintf("%0*d", maxAnswerSize/2, i)
		c.put(question, i, maxAnswerSize/2, now)
		c.put(question, i, maxAnswerSize/2, now) // again: counted once
		require.Equal(t, len(c.answers)*maxAnswerSize, c.size)
		require.LessOrEqual(t, c.size, maxCacheSize)
		_, ok := c.get(question, now)
		require.True(t, ok)
	}
	c.put("a", 1, 1, now)
	c.put("a", 2, maxAnswerSize, now)
	_, ok := c.get("a", now)
	require.False(t, ok, "an answer that is too large is not cached, and replaces the one before")
}

// TestMerge_KeepsLookAlikesApart: a name that both have is ambiguous.
func TestMerge_KeepsLookAlikesApart(t *testing.T) {
	t.Parallel()
	for other, entries := range map[string]int{
		"UID=Kim, OU=People,DC=example": 1, "uid=\u212aim,ou=people,dc=example": 2, "uid=k\u0131m,ou=people,dc=example": 2, "uid=kim,ou=peopſe,dc=example": 2,
	} {
		l := &login{}
		found, err := l.addFound(nil, []*ldap.Entry{{DN: "uid=kim,ou=people,dc=example"}})
		require.NoError(t, err)
		found, err = l.addFound(found, []*ldap.Entry{{DN: other}})
		require.NoError(t, err)
		require.Len(t, found, entries, other)
	}
}
