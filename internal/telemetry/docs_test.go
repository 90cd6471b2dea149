package telemetry

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheDocumentsNameTheMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	var ours []string
	for _, test := range metricTests {
		ours = append(ours, test.name)
	}
	documented := func(file string) []string {
		text, err := os.ReadFile("../../docs/" + file)
		require.NoError(t, err)
		return regexp.MustCompile(`authsvc_[a-z_]+[a-z]`).FindAllString(string(text), -1)
	}
	operations := documented("operations.md")
	for _, name := range ours {
		assert.Contains(t, operations, name, "missing in operations.md")
	}
	for _, name := range slices.Concat(operations, documented("pool.md")) {
		assert.Contains(t, ours, name, "there is no such metric")
	}
}
