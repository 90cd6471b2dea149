package secrettest

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecrets_SearchFindsPlantedOnes: without it nobody knows whether the search at the end
// can find anything.
func TestSecrets_SearchFindsPlantedOnes(t *testing.T) {
	t.Parallel()
	const secret = "Pl\"anted/sécret+=?"
	for _, spelling := range spellings(secret) {
		e := New()
		e.Secret(secret, "other-secret")
		e.Wrote("log", []byte("before "+spelling[:5]))
		e.Wrote("metrics", []byte(`{outcome="ok"} 1`))
		read, secrets, found := e.Search()
		require.Empty(t, found)
		require.Equal(t, 2, secrets)
		e.Wrote("log", []byte(spelling[5:]+" after")) // in two parts
		more, _, found := e.Search()
		require.Greater(t, more, read)
		require.NotEmpty(t, found, spelling)
		require.Contains(t, found[0], "in log: ")
	}
	e := New()
	e.Secret("short")
	_, _, found := e.Search()
	require.NotEmpty(t, found, "one that cannot be looked for is told")
}

// TestSecrets_SearchCoversWhatTheServiceWrites: what is not collected is not searched.
func TestSecrets_SearchCoversWhatTheServiceWrites(t *testing.T) {
	t.Parallel()
	e := New()
	_, err := io.WriteString(e.Writer("log", io.Discard), "a line with a-planted-secret in it\n")
	require.NoError(t, err)
	e.Secret("a-planted-secret")
	_, _, found := e.Search()
	assert.Len(t, found, 1)
}
