package charttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schemaProperties are the keys that the schema permits below a value at the top.
func schemaProperties(t *testing.T, name string) map[string]json.RawMessage {
	t.Helper()
	var schema struct {
		Properties map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"properties"`
	}
	text, err := os.ReadFile(chartDir + "/values.schema.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &schema))
	require.NotEmpty(t, schema.Properties[name].Properties, name)
	return schema.Properties[name].Properties
}

// row is a variable of docs/configuration.md.
type row struct{ name, def, example string }

// reference reads docs/configuration.md, which another test compares with the code.
func reference(t *testing.T) (all []row) {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/configuration.md")
	require.NoError(t, err)
	line := regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)`(?:, `[A-Z0-9_]+`)? \\| (.*) \\| .* \\| (.*) \\|$")
	plain := func(cell string) string {
		return strings.ReplaceAll(strings.Trim(strings.TrimPrefix(cell, "none"), "`"), `\|`, "|")
	}
	for _, m := range line.FindAllStringSubmatch(strings.ReplaceAll(string(text), `\|`, "\x00"), -1) {
		all = append(all, row{m[1], strings.ReplaceAll(plain(m[2]), "\x00", "|"), strings.ReplaceAll(plain(m[3]), "\x00", "|")})
	}
	require.Greater(t, len(all), 60)
	return all
}

// isNumber reports whether the schema wants a setting as a number.
func isNumber(property json.RawMessage) bool { return strings.Contains(string(property), `"integer"`) }

// TestSettings_SchemaAcceptsDefaultsAndExamples of the reference.
func TestSettings_SchemaAcceptsDefaultsAndExamples(t *testing.T) {
	t.Parallel()
	properties := schemaProperties(t, "settings")
	checked := 0
	for _, variable := range reference(t) {
		property, ok := properties[variable.name]
		for _, value := range []string{variable.def, variable.example} {
			if !ok || value == "" {
				continue
			}
			checked++
			quoted, err := json.Marshal(value)
			require.NoError(t, err)
			if isNumber(property) {
				quoted = []byte(value)
			}
			files, err := render(t, releaseName, required(t, "settings: {"+variable.name+": "+string(quoted)+"}"))
			require.NoError(t, err, variable.name)
			assert.Equal(t, value, decode(t, template(t, files)).config.Data[variable.name])
		}
	}
	assert.Greater(t, checked, 80)
}

// TestSettings_SchemaIsStrict: no object accepts keys that nothing reads, but maps whose keys are
// the user's.
func TestSettings_SchemaIsStrict(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(chartDir + "/values.schema.json")
	require.NoError(t, err)
	var schema any
	require.NoError(t, json.Unmarshal(text, &schema))
	objects := 0
	var walk func(at string, node any)
	walk = func(at string, node any) {
		switch n := node.(type) {
		case map[string]any:
			if n["type"] == "object" && at != ".properties.global" {
				objects++
				closed, ok := n["additionalProperties"]
				assert.True(t, ok, "%s", at)
				_, named := n["properties"]
				assert.Equal(t, named, closed == false, at)
			}
			for key, child := range n {
				walk(at+"."+key, child)
			}
		case []any:
			for _, child := range n {
				walk(at, child)
			}
		}
	}
	walk("", schema)
	assert.Greater(t, objects, 25)
}

// unknownYet are settings that the chart has and this version of the service may not.
var unknownYet = regexp.MustCompile(`^AUTH_THROTTLE_REDIS_`)

// TestSettings_ServiceAcceptsEveryVariant: "authsvc config", built from the same commit, loads the
// environment of each variant, with files in place of the mounted ones.
func TestSettings_ServiceAcceptsEveryVariant(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "authsvc")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/authsvc")
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	contents := fileContents(t)
	known := map[string]bool{}
	for _, variable := range reference(t) {
		known[variable.name], known[variable.name+"_FILE"] = true, true
	}
	for _, v := range variants() {
		files, err := render(t, releaseName, required(t, v.values))
		require.NoError(t, err, v.name)
		o := decode(t, template(t, files))
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			var environment []string
			for name, value := range o.config.Data {
				if !known[name] && unknownYet.MatchString(name) {
					continue
				}
				if strings.HasPrefix(value, "/etc/authsvc/") {
					require.Contains(t, contents, name)
					value = filepath.Join(t.TempDir(), name)
					require.NoError(t, os.WriteFile(value, []byte(contents[name]), 0o600))
				}
				environment = append(environment, name+"="+value)
			}
			slices.Sort(environment)
			run := exec.CommandContext(t.Context(), program, "config")
			run.Env = environment
			output, err := run.CombinedOutput()
			require.NoError(t, err, "%s", output)
			assert.NotContains(t, string(output), "unknown variable")
			assert.Contains(t, string(output), o.config.Data["LDAP_POOL_MAX_CONNS"])
		})
	}
}

// fileContents are contents that the service accepts, by the variable that names the file.
func fileContents(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authsvc"}, DNSNames: []string{"authsvc"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return map[string]string{
		"LDAP_CA_FILE": cert, "LDAP_CERT_FILE": cert, "LDAP_KEY_FILE": keyPEM, "LDAP_BIND_PASSWORD_FILE": "password",
		"AUTH_API_KEYS_FILE":           "shop " + strings.Repeat("0a", 32) + "\n",
		"AUTH_THROTTLE_REDIS_URL_FILE": "rediss://authsvc:password@redis.example.org:6379",
		"AUTH_THROTTLE_REDIS_CA_FILE":  cert, "AUTH_THROTTLE_REDIS_CERT_FILE": cert, "AUTH_THROTTLE_REDIS_KEY_FILE": keyPEM,
		"HTTP_TLS_CERT_FILE": cert, "HTTP_TLS_KEY_FILE": keyPEM, "HTTP_TLS_CLIENT_CA_FILE": cert,
		"HTTP_TLS_CLIENT_DENY_FILE": strings.Repeat("0b", 32) + "\n",
	}
}
