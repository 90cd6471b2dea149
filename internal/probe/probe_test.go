package probe_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"authsvc/internal/probe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestName_IsRandomAndHasAForm(t *testing.T) {
	t.Parallel()
	a, b := probe.NewName(), probe.NewName()
	assert.NotEqual(t, a, b)
	assert.True(t, probe.IsName(a))
	for _, name := range []string{"", "alice", "authsvc-check-", a[1:], a[:len(a)-1], a + "a", strings.ToUpper(a), a + "\n", " " + a} {
		assert.False(t, probe.IsName(name), name)
	}
}

func TestMemory_KeepsTheLastArrivals(t *testing.T) {
	t.Parallel()
	var m probe.Memory
	first := probe.NewName()
	m.Keep(first, probe.Arrival{Peer: "192.0.2.1"})
	m.Keep(first, probe.Arrival{Peer: "192.0.2.2", Trusted: true, ForwardedFor: []string{"a", "b"}, Client: "c"})
	a, ok := m.Find(first)
	require.True(t, ok)
	assert.Equal(t, probe.Arrival{Peer: "192.0.2.2", Trusted: true, ForwardedFor: []string{"a", "b"}, Client: "c"}, a)
	_, ok = m.Find(probe.NewName())
	assert.False(t, ok)

	last := probe.NewName()
	var all sync.WaitGroup
	for range 15 {
		all.Go(func() { m.Keep(probe.NewName(), probe.Arrival{}) })
	}
	all.Wait()
	_, ok = m.Find(first)
	assert.True(t, ok)
	m.Keep(last, probe.Arrival{})
	_, ok = m.Find(first)
	assert.False(t, ok, "more are kept than the bound")
	_, ok = m.Find(last)
	assert.True(t, ok)
}

func TestMemory_BoundsWhatAClientSends(t *testing.T) {
	t.Parallel()
	var m probe.Memory
	fields := make([]string, 100)
	for i := range fields {
		fields[i] = strings.Repeat("x", 10_000) + strconv.Itoa(i)
	}
	name := probe.NewName()
	m.Keep(name, probe.Arrival{ForwardedFor: fields})
	a, ok := m.Find(name)
	require.True(t, ok)
	require.Len(t, a.ForwardedFor, 8)
	assert.Len(t, a.ForwardedFor[7], 256)
	assert.True(t, strings.HasSuffix(a.ForwardedFor[7], "99"), "the end is what the proxies say")
}
