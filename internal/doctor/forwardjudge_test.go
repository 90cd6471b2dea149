package doctor

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"authsvc/internal/probe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestForward_JudgesWhomTheThrottleCounts: this machine has the address 198.51.100.7, and the proxy
// 10.0.0.1.
func TestForward_JudgesWhomTheThrottleCounts(t *testing.T) {
	t.Parallel()
	const local, peer = "198.51.100.7", "10.0.0.1"
	for name, c := range map[string]struct {
		arrival probe.Arrival
		mark    Mark
		finding string
		remedy  string
	}{
		"the proxy replaces the header": {probe.Arrival{Trusted: true, ForwardedFor: []string{local}, Client: local}, OK, "takes this machine for 198.51.100.7", ""},
		"the proxy appends to it":       {probe.Arrival{Trusted: true, ForwardedFor: []string{forgedAddress + ", " + local}, Client: local}, OK, "did not believe", ""},
		"the proxy adds another field":  {probe.Arrival{Trusted: true, ForwardedFor: []string{forgedAddress, local}, Client: local}, OK, "did not believe", ""},
		"the proxy passes it on":        {probe.Arrival{Trusted: true, ForwardedFor: []string{forgedAddress}, Client: forgedAddress}, Failed, "everybody can choose the address", "$remote_addr"},
		"two proxies, neither of which replaces it": {probe.Arrival{Trusted: true, ForwardedFor: []string{local + ", " + forgedAddress}, Client: forgedAddress},
			Failed, "everybody can choose the address", "$remote_addr"},
		"no header":                {probe.Arrival{Trusted: true, Client: peer}, Failed, "10.0.0.1: that proxy sends no X-Forwarded-For", "$remote_addr"},
		"empty elements":           {probe.Arrival{Trusted: true, ForwardedFor: []string{" , ", ""}, Client: peer}, Failed, "sends no X-Forwarded-For", "$remote_addr"},
		"no trust":                 {probe.Arrival{ForwardedFor: []string{local}, Client: peer}, Failed, "it is not in HTTP_TRUSTED_PROXIES", "HTTP_TRUSTED_PROXIES=10.0.0.1"},
		"neither header nor trust": {probe.Arrival{Client: peer}, Failed, "sends no X-Forwarded-For", "HTTP_TRUSTED_PROXIES=10.0.0.1"},
		"no address":               {probe.Arrival{Trusted: true, ForwardedFor: []string{"unknown"}, Client: "unknown"}, Failed, `ends with "unknown"`, "$remote_addr"},
		"a translated address":     {probe.Arrival{Trusted: true, ForwardedFor: []string{"172.17.0.1"}, Client: "172.17.0.1"}, Warn, "takes this machine for 172.17.0.1, and it has connected from 198.51.100.7", "gateway"},
		"this machine is a proxy too": {probe.Arrival{Trusted: true, ForwardedFor: []string{forgedAddress + ", " + local}, Client: forgedAddress},
			Warn, "this machine is in HTTP_TRUSTED_PROXIES itself", "check from a machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.arrival.Peer = peer
			got := (&forward{local: netip.MustParseAddr(local)}).judgeClient(c.arrival)
			assert.Equal(t, c.mark, got.Mark)
			assert.Contains(t, got.Finding, c.finding)
			assert.Contains(t, got.Remedy, c.remedy)
		})
	}
}

func TestForward_ReadsHeadersInEveryForm(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"lines":                      "GET /?a=b HTTP/1.1\r\nX-Check: one\r\nRemote-User: alice: a\r\n",
		"lines of CGI":               "PATH=/bin\nHTTP_X_CHECK=one\nHTTP_REMOTE_USER=alice: a\n",
		"an object":                  `{"X-Check":"one","Remote-User":"alice: a","n":1}`,
		"an object with lists":       `{"X-Check":["one"],"remote-user":["alice: a"],"n":[1]}`,
		"an object with headers":     `{"method":"GET","headers":{"x-check":"one","remote-user":"alice: a"}}`,
		"an object with a Header":    `{"Method":"GET","Header":{"X-Check":["one"],"Remote-User":["alice: a"]}}`,
		"an object with names apart": `{"HTTP_X_CHECK":"one","REMOTE_USER":"alice: a"}`,
	} {
		got := headersOf(body)
		assert.Equal(t, []string{"one"}, got["x-check"], name)
		assert.Equal(t, []string{"alice: a"}, got["remote-user"], name)
	}
	for _, body := range []string{"", "hello", "[]", "null", `{"headers":null}`, `{"headers":{"a":{}}}`, "::::\n====", "\x00"} {
		assert.Empty(t, headersOf(body)["x-check"], body)
	}
}

func TestForward_TwinsAreAllSpellingsWithUnderscores(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"Remote_User"}, twins("Remote-User"))
	assert.Equal(t, []string{"A_B-C", "A-B_C", "A_B_C"}, twins("A-B-C"))
	assert.Empty(t, twins("User"))
	assert.Len(t, twins(strings.Repeat("A-", 50)+"A"), 15)
	for i, g := range forgeries([]string{"Remote-User"}, "token") {
		for j, other := range forgeries([]string{"Remote-User"}, "token") {
			assert.Equal(t, i == j, strings.Contains(g.value, other.value), "the values cannot be told apart")
		}
	}
}

// quoted is what the edits quote.
var quoted = regexp.MustCompile(`"([^"]*)"`)

// TestForward_RemediesQuoteTheRecipes: an operator finds each line in the recipe.
func TestForward_RemediesQuoteTheRecipes(t *testing.T) {
	t.Parallel()
	recipes := map[string]string{"nginx": "nginx/*.conf", "caddy": "caddy/Caddyfile", "haproxy": "haproxy/*", "traefik": "traefik/*.yaml", "envoy": "envoy/envoy.yaml"}
	for product, pattern := range recipes {
		files, err := filepath.Glob(filepath.Join("../../deploy", pattern))
		require.NoError(t, err)
		recipes[product] = ""
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			recipes[product] += string(text)
		}
	}
	for _, e := range []edits{askAuthsvc, passChallenge, removeOwn, removeTwins, sendIdentity, keepIdentity, dropPassword, sendAddress, requireGroup} {
		for product, text := range recipes {
			line := reflect.ValueOf(e).FieldByName(product).String()
			require.NotEmpty(t, line)
			for _, m := range quoted.FindAllStringSubmatch(line, -1) {
				assert.Contains(t, text, m[1], product)
			}
		}
		all := (&forward{}).lines(e)
		assert.Less(t, len(all), maxShown-200, "a remedy would be cut")
		assert.NotContains(t, (&forward{product: caddy}).lines(e), "nginx: ")
	}
}
