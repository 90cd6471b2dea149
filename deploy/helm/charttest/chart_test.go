// Package charttest tests the chart ../authsvc: what it renders, which values it rejects, and that
// it says what the service's own files say.
package charttest

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	chartDir     = "../authsvc"
	root         = "../../.."
	manifest     = root + "/deploy/kubernetes/authsvc.yaml"
	exampleFile  = root + "/deploy/kubernetes/values.yaml"
	releaseName  = "authsvc"
	namespace    = "authsvc"
	manifestHead = "# Rendered from the chart deploy/helm/authsvc with values.yaml beside this file, by make chart: replace its values.\n"
)

var update = flag.Bool("update", false, "write what is copied into the chart or rendered from it")

// load reads the chart.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	require.NoError(t, err)
	return c
}

// parse reads values in YAML.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &values))
	return values
}

// required are the values that the chart needs, and the given ones.
func required(t *testing.T, text string) map[string]any {
	t.Helper()
	base := parse(t, "image: {repository: registry.example.org/authsvc, tag: v1.2.3}\nsettings: {LDAP_URL: ldaps://ldap.example.org, LDAP_BASE_DN: 'dc=example,dc=org'}")
	return chartutil.CoalesceTables(parse(t, text), base)
}

// render renders the chart as helm template does. The schema comes first.
func render(t *testing.T, release string, values map[string]any) (map[string]string, error) {
	t.Helper()
	return renderChart(t, load(t), release, values)
}

func renderChart(t *testing.T, c *chart.Chart, release string, values map[string]any) (map[string]string, error) {
	t.Helper()
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// documents splits a file with several YAML documents, and leaves out those without an object.
func documents(t *testing.T, text string) (all [][]byte) {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		var object map[string]any
		require.NoError(t, yaml.Unmarshal(document, &object), "%s", document)
		if len(object) > 0 {
			all = append(all, document)
		}
	}
}

// template is what helm template prints.
func template(t *testing.T, files map[string]string) string {
	t.Helper()
	files = maps.Clone(files)
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasSuffix(name, "NOTES.txt") })
	hooks, sorted, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	require.NoError(t, err)
	require.Empty(t, hooks, "the chart has no hooks")
	var b bytes.Buffer
	for _, m := range sorted {
		b.WriteString("---\n# Source: " + m.Name + "\n" + strings.TrimSpace(m.Content) + "\n")
	}
	return b.String()
}

// TestChart_LintFindsNothing but that there is no icon.
func TestChart_LintFindsNothing(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	for _, message := range lint.All(chartDir, parse(t, string(example)), namespace, true).Messages {
		if message.Severity != support.InfoSev || !strings.Contains(message.Error(), "icon is recommended") {
			t.Error(message)
		}
	}
}

// TestChart_HasNoSubcharts and nothing that differs from one rendering to the next, such as a
// generated secret.
func TestChart_HasNoSubcharts(t *testing.T) {
	t.Parallel()
	c := load(t)
	assert.Empty(t, c.Metadata.Dependencies)
	assert.Empty(t, c.Dependencies())
	for _, file := range c.Templates {
		for _, function := range []string{"rand", "gen", "derivePassword", "uuidv4", "lookup", "now", "htpasswd", "bcrypt", "getHostByName"} {
			assert.NotRegexp(t, `\b`+function+`[A-Z "(]`, string(file.Data), "%s calls %s", file.Name, function)
		}
	}
}

// TestChart_CopiesAreTheirSources: the alerts and the dashboard. With -update, they are copied.
func TestChart_CopiesAreTheirSources(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{"rules.yml": "prometheus/rules.yml", "dashboard.json": "grafana/authsvc.json"} {
		want, err := os.ReadFile(filepath.Join(root, "deploy", source))
		require.NoError(t, err)
		compare(t, filepath.Join(chartDir, "files", name), string(want))
	}
}

// TestChart_ManifestIsRendered: deploy/kubernetes/authsvc.yaml is what helm template prints.
func TestChart_ManifestIsRendered(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	files, err := render(t, releaseName, parse(t, string(example)))
	require.NoError(t, err)
	compare(t, manifest, manifestHead+template(t, files))
}

// compare compares a file, or writes it with -update.
func compare(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644)) //nolint:gosec // it is public
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, want, string(got), "%s is out of date: make chart writes it", file)
}

// TestChart_NotesNameWhatIsMissing: the Secrets that the pods wait for.
func TestChart_NotesNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	files, err := render(t, "login", required(t, `
existingSecret: mine
files:
  LDAP_BIND_PASSWORD_FILE: {key: password}
  LDAP_CA_FILE: {configMap: directory-ca, key: ca.crt}
  HTTP_TLS_CERT_FILE: {secret: login-tls, key: tls.crt}
  HTTP_TLS_KEY_FILE: {secret: login-tls, key: tls.key}`))
	require.NoError(t, err)
	notes := files["authsvc/templates/NOTES.txt"]
	assert.Contains(t, notes, "https://login-authsvc.authsvc.svc:8080/auth")
	assert.Contains(t, notes, "when these Secrets exist: login-tls, mine.\n")
	assert.Contains(t, notes, "kubectl -n authsvc exec deploy/login-authsvc -- /usr/local/bin/authsvc check")
	assert.NotContains(t, notes, "directory-ca")
}

// TestChart_CanBePartOfAnotherChart, which gives it "global".
func TestChart_CanBePartOfAnotherChart(t *testing.T) {
	t.Parallel()
	parent := &chart.Chart{Metadata: &chart.Metadata{APIVersion: chart.APIVersionV2, Name: "shop", Version: "1.0.0"}, Values: map[string]any{}}
	parent.AddDependency(load(t))
	files, err := renderChart(t, parent, "shop", map[string]any{"global": map[string]any{"region": "eu"}, "authsvc": required(t, "")})
	require.NoError(t, err)
	assert.Contains(t, files["shop/charts/authsvc/templates/deployment.yaml"], "name: shop-authsvc")
}
