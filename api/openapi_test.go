package api_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"authsvc/api"
	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

func TestOpenAPI_HasExactlyTheRoutes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var ofMain, described []string
	for path, item := range h.doc.root["paths"].(object) {
		for method, op := range item.(object) {
			if _, admin := op.(object)["servers"]; admin {
				described = append(described, strings.ToUpper(method)+" "+path)
			} else {
				ofMain = append(ofMain, strings.ToUpper(method)+" "+path)
			}
		}
	}
	require.ElementsMatch(t, append(h.Routes(), "GET /auth/basic"), ofMain) // which any method is like
	// What else the admin listener serves is no API of this service's: metrics, the profiler, the
	// page's parts.
	own := slices.DeleteFunc(h.AdminHandler(http.NotFoundHandler(), newStatusPage()).Routes(), func(route string) bool {
		_, path, _ := strings.Cut(route, " ")
		return slices.Contains(h.Routes(), route) || path == "/metrics" || strings.HasPrefix(path, "/debug/") || strings.HasPrefix(path, "/status.")
	})
	require.ElementsMatch(t, own, described)
}

func TestOpenAPI_NamesEveryOutcome(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	schema := h.doc.root["components"].(object)["schemas"].(object)["Answer"].(object)
	properties := schema["properties"].(object)
	var statuses, codes []any
	for _, o := range auth.Outcomes() {
		statuses = append(statuses, o.Status())
		codes = append(codes, o.Code())
		message := o.Message()
		if o == auth.BadRequest {
			message = "what is wrong with the request"
		}
		require.Contains(t, schema["description"], fmt.Sprintf("| %d | `%s` | %s |\n", o.Status(), o.Code(), message))
	}
	require.Equal(t, statuses, properties["status"].(object)["enum"])
	require.Equal(t, codes, properties["code"].(object)["enum"])
}

// TestOpenAPI_HasNoUnions: of them, and of constants, generators of clients make types
// without names and fields without types.
func TestOpenAPI_HasNoUnions(t *testing.T) {
	t.Parallel()
	var walk func(node any, at string)
	walk = func(node any, at string) {
		switch n := node.(type) {
		case object:
			for _, keyword := range []string{"oneOf", "anyOf", "allOf", "not", "const"} {
				require.NotContains(t, n, keyword, at)
			}
			if _, is := n["enum"]; is {
				require.Contains(t, n, "type", at)
			}
			for name, sub := range n {
				walk(sub, at+"/"+name)
			}
		case []any:
			for _, sub := range n {
				walk(sub, at)
			}
		}
	}
	walk(newHarness(t).doc.root, "#")
}

// TestOpenAPI_AllowsNewMembersOfTheStatus: no schema that /api/status uses forbids what its
// description permits.
func TestOpenAPI_AllowsNewMembersOfTheStatus(t *testing.T) {
	t.Parallel()
	doc := newHarness(t).doc
	seen := map[string]bool{}
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case object:
			require.NotEqual(t, false, n["additionalProperties"], "%v", n)
			if ref, ok := n["$ref"].(string); ok && !seen[ref] {
				seen[ref] = true
				walk(doc.resolve(n))
			}
			for _, sub := range n {
				walk(sub)
			}
		case []any:
			for _, sub := range n {
				walk(sub)
			}
		}
	}
	walk(object{"$ref": "#/components/schemas/Status"})
	require.Greater(t, len(seen), 10)
}

// Every documented answer can be had. That no other comes is checked wherever the tests serve a
// request.
func TestOpenAPI_EveryDocumentedAnswerOccurs(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	h := newHarness(t)
	note := func(method, path string, status int) { given[method+" "+path+" "+strconv.Itoa(status)] = true }
	for _, o := range auth.Outcomes() {
		h.answering(auth.Result{Outcome: o})
		note("POST", "/auth", h.post(t, typeJSON, goodJSON).Code)
	}
	note("POST", "/auth", h.post(t, "text/plain", goodJSON).Code)
	note("POST", "/auth", h.post(t, typeJSON, strings.Repeat(" ", 16385)).Code)
	require.Equal(t, http.StatusMethodNotAllowed, h.get(t, http.MethodGet, "/auth").Code)
	note("POST", "/auth", http.StatusMethodNotAllowed) // described where a reader looks for it
	for _, status := range []api.HealthStatus{{}, {Usable: true, Answered: true}} {
		h.health.set(status)
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/openapi.yaml"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				note(method, path, h.get(t, method, path).Code)
			}
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/openapi.yaml"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			note(method, path, h.do(t, sent{method, "localhost", path, foreign["fetch"]}.request()).Code)
		}
	}
	for _, request := range h.statusRequests(t) {
		note(request.method, request.path, request.status)
	}
	forward, verifier, _ := forwarding(t)
	note("GET", "/auth/basic", forward.ask(t, http.MethodGet, "/auth/basic?nonsense", "Authorization", basic("alice:secret")).Code)
	for _, o := range auth.Outcomes() {
		verifier.answer = auth.Result{Outcome: o, PasswordSeen: true, User: &auth.User{}}
		note("GET", "/auth/basic", forward.ask(t, http.MethodGet, "/auth/basic", "Authorization", basic("alice:secret")).Code)
	}
	for path, item := range h.doc.root["paths"].(object) {
		for method, op := range item.(object) {
			for status := range op.(object)["responses"].(object) {
				require.True(t, given[strings.ToUpper(method)+" "+path+" "+status], "%s %s %s", method, path, status)
			}
		}
	}
}

func TestOpenAPI_EveryExampleFitsItsSchema(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	examples := 0
	var walk func(node any, at string)
	walk = func(node any, at string) {
		switch n := node.(type) {
		case object:
			if schema, ok := n["schema"]; ok {
				if one, ok := n["example"]; ok {
					examples++
					require.Empty(t, h.doc.problems(schema, one, at))
				}
				named, _ := n["examples"].(object)
				for name, one := range named {
					examples++
					require.Empty(t, h.doc.problems(schema, one.(object)["value"], at+"/"+name))
				}
			}
			for name, sub := range n {
				walk(sub, at+"/"+name)
			}
		case []any:
			for _, sub := range n {
				walk(sub, at)
			}
		}
	}
	walk(h.doc.root, "#")
	require.Greater(t, examples, 15)
}

func TestOpenAPI_IsServedAsYAML(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	rec := h.get(t, http.MethodGet, "/openapi.yaml")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "application/yaml", rec.Header().Get("Content-Type"))
	file, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(file), rec.Body.String())
}

// The checker itself must be able to fail.
func TestOpenAPI_CheckerFindsWrongAnswers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	answerSchema := object{"$ref": "#/components/schemas/Answer"}
	good := func() object {
		return object{"status": 3.0, "code": "account_locked", "message": "account locked", "request_id": "a"}
	}
	require.Empty(t, h.doc.problems(answerSchema, good(), "body"))
	for name, spoil := range map[string]func(object){
		"a field is missing":        func(o object) { delete(o, "request_id") },
		"a field is unknown":        func(o object) { o["extra"] = 1.0 },
		"a type is wrong":           func(o object) { o["message"] = 1.0 },
		"a code is unknown":         func(o object) { o["code"] = "x" },
		"a pattern does not match":  func(o object) { o["request_id"] = "a b" },
		"a nested field is missing": func(o object) { o["user"] = object{"dn": "x"} },
		"an attribute is no list": func(o object) {
			o["user"] = object{"dn": "x", "username": "y", "attributes": object{"cn": "z"}}
		},
		"groups are no list": func(o object) { o["user"] = object{"dn": "x", "username": "y", "groups": "z"} },
	} {
		body := good()
		spoil(body)
		require.NotEmpty(t, h.doc.problems(answerSchema, body, "body"), name)
	}
	server := object{"$ref": "#/components/schemas/Server"}
	require.NotEmpty(t, h.doc.problems(server, object{"address": "a", "state": "down", "since": "noon"}, "server"))
	require.Empty(t, h.doc.problems(server,
		object{"address": "a", "state": "down", "since": time.Now().Format(time.RFC3339)}, "server"))
	require.NotEmpty(t, h.doc.problems(object{"multipleOf": 2}, 3, "unknown keyword"))
	require.True(t, slices.Contains(h.Routes(), "POST /auth"))
}
