package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadAPIKey_TakesOneKeyAndRepeatsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	for _, c := range []struct{ content, key, wrong string }{
		{"the-key", "the-key", ""},
		{"the-key\n", "the-key", ""},
		{"the-key\r\n", "the-key", ""},
		{"", "", "is empty"},
		{"\n", "", "is empty"},
		{"the-key\nanother\n", "", "must hold one key"},
		{"the key", "", "must hold one key"},
		{"the-k\xc3\xa9y", "", "must hold one key"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(c.content), 0o600))
		key, err := config.ReadAPIKey(file)
		assert.Equal(t, c.key, key)
		if c.wrong == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.wrong)
		assert.NotContains(t, err.Error(), "the-k")
	}
	key, err := config.ReadAPIKey("")
	require.NoError(t, err)
	assert.Empty(t, key)
}
