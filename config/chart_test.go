package config_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestChart_ValuesHaveEverySetting: the Helm chart's schema names each variable, in settings or
// files, and no other. It rejects a value that it does not name.
func TestChart_ValuesHaveEverySetting(t *testing.T) {
	t.Parallel()
	var schema struct {
		Properties struct {
			Settings, Files struct {
				Properties map[string]json.RawMessage `json:"properties"`
			}
		} `json:"properties"`
	}
	text, err := os.ReadFile("../deploy/helm/authsvc/values.schema.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &schema))
	settings, files := schema.Properties.Settings.Properties, schema.Properties.Files.Properties

	byTheChart := []string{"HTTP_ADDR", "HTTP_FORWARD_ADDR", "ADMIN_ADDR", "LDAP_POOL_MAX_CONNS"}
	secrets := []string{"LDAP_BIND_PASSWORD", "AUTH_THROTTLE_REDIS_URL"}
	variables := config.Variables()
	for _, name := range variables {
		in := "settings"
		switch {
		case slices.Contains(byTheChart, name):
			in = "neither"
		case slices.Contains(secrets, name):
			in, name = "files", name+"_FILE"
		case strings.HasSuffix(name, "_FILE"):
			in = "files"
		}
		assert.Equal(t, in == "settings", settings[name] != nil, "%s belongs into %s of the chart's values.schema.json", name, in)
		assert.Equal(t, in == "files", files[name] != nil, "%s belongs into %s of the chart's values.schema.json", name, in)
	}

	for name := range settings {
		assert.Contains(t, variables, name, "the chart's settings have it")
	}
	for name := range files {
		if !strings.HasPrefix(name, "OTEL_EXPORTER_") {
			known := slices.Contains(variables, name) || slices.Contains(variables, strings.TrimSuffix(name, "_FILE"))
			assert.True(t, known, "the chart's files have %s", name)
		}
	}
}
