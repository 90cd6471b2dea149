package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

type object = map[string]any

// openAPIDoc is the description, parsed, as the main listener's answers are held against it, or the
// admin listener's.
type openAPIDoc struct {
	root  object
	admin bool
}

// ofAdmin reports whether only the admin listener serves a path.
func ofAdmin(item object) bool {
	_, is := item["get"].(object)["servers"]
	return is
}

// loadOpenAPI reads openapi.yaml, once for all tests: it is never written to.
var loadOpenAPI = sync.OnceValues(func() (*openAPIDoc, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	d := &openAPIDoc{}
	return d, yaml.Unmarshal(text, &d.root)
})

// resolve follows $ref, within the document.
func (d *openAPIDoc) resolve(node any) object {
	o := node.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	at := d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at[part].(object)
	}
	return d.resolve(at)
}

// operation returns what the document says of method and path, nil where it says nothing.
func (d *openAPIDoc) operation(method, path string) (op object, pathKnown bool) {
	item, ok := d.root["paths"].(object)[path].(object)
	if !ok || item["get"] != nil && ofAdmin(item) && !d.admin {
		return nil, false
	}
	if method == strings.ToUpper(method) { // methods are case-sensitive
		op, _ = item[strings.ToLower(method)].(object)
	}
	return op, true
}

// checkResponse holds an answer against the document.
func (d *openAPIDoc) checkResponse(t testing.TB, req *http.Request, rec *httptest.ResponseRecorder) {
	t.Helper()
	common := d.root["components"].(object)["responses"].(object)
	op, pathKnown := d.operation(req.Method, req.URL.EscapedPath())
	var response object
	switch {
	case !pathKnown:
		require.Equal(t, http.StatusNotFound, rec.Code)
		response = d.resolve(common["NotFound"])
	case op == nil:
		require.Equal(t, http.StatusMethodNotAllowed, rec.Code)
		response = d.resolve(common["MethodNotAllowed"])
	default:
		documented, ok := op["responses"].(object)[strconv.Itoa(rec.Code)]
		require.True(t, ok, "%s %s: %d is not documented", req.Method, req.URL.Path, rec.Code)
		response = d.resolve(documented)
	}
	for name, header := range response["headers"].(object) {
		values := rec.Header().Values(name)
		require.Len(t, values, 1, "header %s", name)
		require.Empty(t, d.problems(d.resolve(header)["schema"], values[0], name))
	}
	d.checkUndocumentedHeaders(t, response, rec.Header())
	mediaType := rec.Header().Get("Content-Type")
	if req.Method == http.MethodHead {
		return
	}
	require.Equal(t, strconv.Itoa(rec.Body.Len()), rec.Header().Get("Content-Length"))
	content := response["content"].(object)
	require.Contains(t, content, mediaType)
	if mediaType == typeJSON {
		var body any
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body), "%s", rec.Body)
		require.Empty(t, d.problems(content[mediaType].(object)["schema"], body, "body"), "%s", rec.Body)
	}
}

// checkUndocumentedHeaders refuses a header that the document does not name, but for HTTP's own.
func (d *openAPIDoc) checkUndocumentedHeaders(t testing.TB, response object, sent http.Header) {
	t.Helper()
	known := []string{"Content-Type", "Content-Length", "Connection"}
	for name := range response["headers"].(object) {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range sent {
		require.Contains(t, known, name, "header is not documented")
	}
}

// problems returns how value breaks schema: as much of JSON Schema as the document uses, and an
// error for more.
func (d *openAPIDoc) problems(schema, value any, at string) []string {
	var found []string
	bad := func(format string, args ...any) {
		found = append(found, at+": "+fmt.Sprintf(format, args...))
	}
	s := d.resolve(schema)
	for keyword, rule := range s {
		switch keyword {
		case "description", "additionalProperties", "maxLength":
		case "type":
			if got := typeOf(value); got != rule && (rule != "number" || got != "integer") {
				bad("is %s, not %s", got, rule)
			}
		case "enum":
			if !slices.ContainsFunc(rule.([]any), func(one any) bool { return fmt.Sprint(one) == fmt.Sprint(value) }) {
				bad("%v is none of %v", value, rule)
			}
		case "minimum":
			if n, err := strconv.ParseFloat(fmt.Sprint(value), 64); err != nil || n < float64(rule.(int)) {
				bad("%v is less than %v", value, rule)
			}
		case "minItems":
			if len(asArray(value)) < rule.(int) {
				bad("too few items")
			}
		case "minLength":
			if text, ok := value.(string); ok && utf8.RuneCountInString(text) < rule.(int) {
				bad("too short")
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(rule.(string)).MatchString(text) {
				bad("%q does not match %s", text, rule)
			}
		case "format":
			if _, err := time.Parse(time.RFC3339, fmt.Sprint(value)); rule == "date-time" && err != nil {
				bad("%v", err)
			}
		case "required", "properties":
			found = append(found, d.objectProblems(s, value, keyword, at)...)
		case "items":
			for i, item := range asArray(value) {
				found = append(found, d.problems(rule, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		default:
			bad("this checker does not know the keyword %q", keyword)
		}
	}
	rest, ok := s["additionalProperties"]
	if _, has := s["properties"]; has && !ok {
		rest, ok = false, true // a client must live with members that are not described, and this service has none
	}
	if ok {
		found = append(found, d.additionalProblems(s, rest, value, at)...)
	}
	return found
}

func (d *openAPIDoc) objectProblems(s object, value any, keyword, at string) []string {
	var found []string
	members, _ := value.(object)
	if keyword == "required" {
		for _, name := range s["required"].([]any) {
			if _, ok := members[name.(string)]; !ok {
				found = append(found, fmt.Sprintf("%s: lacks %s", at, name))
			}
		}
		return found
	}
	for name, sub := range s["properties"].(object) {
		if member, ok := members[name]; ok {
			found = append(found, d.problems(sub, member, at+"."+name)...)
		}
	}
	return found
}

func (d *openAPIDoc) additionalProblems(s object, rest, value any, at string) []string {
	var found []string
	members, _ := value.(object)
	properties, _ := s["properties"].(object)
	for name, member := range members {
		if _, ok := properties[name]; ok {
			continue
		}
		if rest == false {
			found = append(found, fmt.Sprintf("%s: %s is not in the schema", at, name))
			continue
		}
		found = append(found, d.problems(rest, member, at+"."+name)...)
	}
	return found
}

func asArray(value any) []any {
	items, _ := value.([]any)
	return items
}

func typeOf(value any) any {
	switch v := value.(type) {
	case string:
		return "string"
	case int:
		return "integer"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case object:
		return "object"
	}
	return fmt.Sprintf("%T", value)
}
