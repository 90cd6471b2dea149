package credcache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var minute = Config{TTL: time.Minute, FailureTTL: 10 * time.Second, Size: 100}

func newCache(cfg Config) *Cache[string, string] {
	return New[string](cfg, func(s string) int { return len(s) })
}

func accept(c *Cache[string, string], now time.Time, name, client, password string) {
	l := c.Begin(now)
	defer c.End()
	c.Accept(now, l, c.ID(name, client), "account of "+name, password, "user "+name)
}

func reject(c *Cache[string, string], now time.Time, name, client, password string) {
	l := c.Begin(now)
	defer c.End()
	c.Reject(now, l, c.ID(name, client), "account of "+name, password)
}

func verdict(c *Cache[string, string], now time.Time, name, client, password string) Verdict {
	v, _ := c.Verify(now, c.ID(name, client), password)
	return v
}

func TestVerify_TheZeroVerdictPermitsNothing(t *testing.T) {
	t.Parallel()
	var v Verdict
	require.Equal(t, Unknown, v)
	c := newCache(minute)
	require.Equal(t, Unknown, verdict(c, epoch, "alice", "", ""))
	accept(c, epoch, "alice", "", "secret")
	require.Equal(t, Unknown, verdict(c, epoch, "alice", "", ""), "an absent password is no accepted one")
	reject(c, epoch, "bob", "", "wrong")
	require.Equal(t, Unknown, verdict(c, epoch, "bob", "", ""))
}

func TestID_PartsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	require.NotEqual(t, c.ID("ab", "c").mac, c.ID("a", "bc").mac)
	require.NotEqual(t, c.ID("", "abc").mac, c.ID("abc", "").mac)
	require.NotEqual(t, c.ID("a", "b").mac, newCache(minute).ID("a", "b").mac, "the key is random")
}

func TestReject_FourPasswordsAreKnownAndNoneEvictsTheRightOne(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	accept(c, epoch, "alice", "", "secret")
	for i := range 5 {
		reject(c, epoch.Add(time.Duration(i)*time.Second), "alice", "", fmt.Sprint("wrong", i))
	}
	now := epoch.Add(5 * time.Second)
	require.Equal(t, Unknown, verdict(c, now, "alice", "", "wrong0"))
	for i := 1; i < 5; i++ {
		require.Equal(t, Rejected, verdict(c, now, "alice", "", fmt.Sprint("wrong", i)))
	}
	require.Equal(t, Accepted, verdict(c, now, "alice", "", "secret"))
	require.Equal(t, Unknown, verdict(c, now, "alice", "", "wrong5"), "a different wrong password takes the normal way")
}

func TestBounds_AFloodOfWrongPasswordsEvictsNoRightOne(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	for i := range minute.Size {
		accept(c, epoch, fmt.Sprint("user", i), "", "secret")
	}
	for i := range 10 * minute.Size {
		reject(c, epoch, fmt.Sprint("victim", i), "", "guess")
	}
	for i := range minute.Size {
		require.Equal(t, Accepted, verdict(c, epoch, fmt.Sprint("user", i), "", "secret"))
	}
	accepted, rejected := c.Len()
	require.Equal(t, []int{minute.Size, minute.Size}, []int{accepted, rejected})
}

func TestBounds_OneAccountFromManyClientsEvictsItself(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	accept(c, epoch, "bob", "", "secret")
	for i := range 2 * minute.Size {
		accept(c, epoch, "mallory", fmt.Sprint("client", i), "own")
	}
	require.Equal(t, Accepted, verdict(c, epoch, "bob", "", "secret"))
	accepted, _ := c.Len()
	require.Equal(t, 1+maxClients, accepted)
}

func TestBounds_WhatIsUsedStaysAndWhatIsNotGoes(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	for i := range 2 * minute.Size {
		accept(c, epoch, fmt.Sprint("user", i), "", "secret")
		require.Equal(t, Accepted, verdict(c, epoch, "user0", "", "secret"))
	}
	require.Equal(t, Unknown, verdict(c, epoch, "user1", "", "secret"))
}

func TestBounds_AHeavyUserIsNotRememberedAndManyEvictTheOldest(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	store := func(name string, weight int) {
		l := c.Begin(epoch)
		defer c.End()
		c.Accept(epoch, l, c.ID(name, ""), name, "secret", strings.Repeat("g", weight))
	}
	share := c.maxWeight() / maxShare
	store("heavy", share+1)
	require.Equal(t, Unknown, verdict(c, epoch, "heavy", "", "secret"))
	for i := range maxShare + 1 {
		store(fmt.Sprint("user", i), share)
	}
	require.Equal(t, Unknown, verdict(c, epoch, "user0", "", "secret"))
	require.Equal(t, Accepted, verdict(c, epoch, "user1", "", "secret"))
}

func TestExpiry_WhatNobodyAsksForIsRemovedToo(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	for i := range 10 {
		accept(c, epoch, fmt.Sprint("user", i), "", "secret")
		reject(c, epoch, fmt.Sprint("guessed", i), "", "wrong")
	}
	accept(c, epoch.Add(time.Hour), "late", "", "secret")
	require.Len(t, c.entries, 1)
	require.Equal(t, len("user late"), c.weight)
}

func TestDrop_DoesNotKeepOtherAccountsLoginsFromBeingStored(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	l := c.Begin(epoch)
	for i := range minute.Size { // somebody tries locked accounts all the time
		c.Drop(fmt.Sprint("locked", i))
	}
	c.Accept(epoch, l, c.ID("alice", ""), "alice", "secret", "")
	c.End()
	require.Equal(t, Accepted, verdict(c, epoch, "alice", "", "secret"))
	require.Empty(t, c.dropped)
}

func TestCache_HoldsNoPassword(t *testing.T) {
	t.Parallel()
	c := newCache(minute)
	accept(c, epoch, "alice", "192.0.2.1", "accepted secret")
	reject(c, epoch, "alice", "192.0.2.1", "rejected secret")
	require.Equal(t, Unknown, verdict(c, epoch, "alice", "192.0.2.1", "compared secret"))
	held := ""
	for _, place := range c.entries {
		held += fmt.Sprintf("%+v", place.Value)
	}
	hasher := c.hashes.pool.Get().(*hasher)
	held += string(hasher.input[:cap(hasher.input)])
	require.Contains(t, held, "alice")
	require.NotContains(t, held, "secret")
}

func BenchmarkHit(b *testing.B) {
	c := newCache(Config{TTL: time.Hour, FailureTTL: time.Minute, Size: 10_000})
	for i := range 10_000 {
		accept(c, epoch, fmt.Sprint("user", i), "192.0.2.1", "secret")
	}
	b.ReportAllocs()
	for b.Loop() {
		id := c.ID("user77", "192.0.2.1")
		if _, _, ok := c.Account(epoch, id); !ok {
			b.Fatal("the account is not known")
		}
		if v, _ := c.Verify(epoch, id, "secret"); v != Accepted {
			b.Fatal(v)
		}
	}
}
