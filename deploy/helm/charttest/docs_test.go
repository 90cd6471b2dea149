package charttest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocs_ValuesAreAccepted: what docs/kubernetes.md shows of values.
func TestDocs_ValuesAreAccepted(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/docs/kubernetes.md")
	require.NoError(t, err)
	commands := regexp.MustCompile(`^(kubectl|helm|make|docker) `)
	rendered := 0
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n)+`).FindAllString(string(text), -1) {
		values := regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, "")
		if commands.MatchString(values) {
			continue
		}
		rendered++
		files, err := render(t, releaseName, required(t, values+mine(values)))
		require.NoError(t, err, values)
		checkInvariants(t, releaseName, decode(t, template(t, files)))
	}
	assert.Equal(t, 5, rendered)
}

// mine is a Secret for values that name none.
func mine(values string) string {
	if strings.Contains(values, "existingSecret:") {
		return ""
	}
	return "existingSecret: mine\n"
}
