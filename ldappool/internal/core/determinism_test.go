package core

import (
	"testing"

	"authsvc/ldappool/internal/health"

	"github.com/stretchr/testify/require"
)

func TestCore_DoesTheSameForTheSameEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		one, two := newWorld(seed, true), newWorld(seed, true)
		one.play()
		two.play()
		require.Equal(t, one.log, two.log, "seed %d", seed)
	}
}

func TestCore_StatesOfServersAreReached(t *testing.T) {
	t.Parallel()
	seen := map[health.State]int{}
	for seed := range uint64(500) {
		w := newWorld(seed, false)
		for range 100 {
			w.step()
			for _, s := range w.core.servers {
				seen[s.Health.State]++
			}
		}
	}
	for _, state := range []health.State{health.Suspect, health.Usable, health.Down} {
		require.Positive(t, seen[state], "a model in which no server is ever in state %d shows nothing", state)
	}
}
