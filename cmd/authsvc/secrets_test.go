package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evidence is what services wrote, byte for byte and by source, and the secrets that they were
// given.
type evidence struct {
	mu      sync.Mutex
	written map[string][]byte // guarded by mu, with what is below; only appended to
	secrets map[string]bool
}

func newEvidence() *evidence {
	return &evidence{written: map[string][]byte{}, secrets: map[string]bool{}}
}

// everything is the evidence of the whole run of this package's tests; TestMain searches it when
// they are through.
var everything = newEvidence()

// wrote notes bytes that a service wrote. Bytes of one source are searched as one text.
func (e *evidence) wrote(source string, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written[source] = append(e.written[source], b...)
}

// writer notes what is written to it, and passes it on.
func (e *evidence) writer(source string, to io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		e.wrote(source, b)
		return to.Write(b)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// secret notes a password or a key that a service was given.
func (e *evidence) secret(secrets ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range secrets {
		if s != "" {
			e.secrets[s] = true
		}
	}
}

// window is how many bytes of a secret are looked up first, and so the shortest that can be looked
// for.
const window = 6

// spellings are the forms in which a secret might be written.
func spellings(secret string) []string {
	quoted, _ := json.Marshal(secret) // a string
	all := []string{
		secret, strings.Trim(string(quoted), `"`), fmt.Sprintf("%q", secret), url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		all = append(all, e.EncodeToString([]byte(secret)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// search reads every byte and gives how many there were, how many secrets it looked for, and which
// of them it found where. Nobody waits for it who has more to note.
func (e *evidence) search() (read, secrets int, found []string) {
	e.mu.Lock()
	written, looked := maps.Clone(e.written), maps.Clone(e.secrets)
	e.mu.Unlock()
	begins := map[[window]byte][]string{}
	for secret := range looked {
		for _, s := range spellings(secret) {
			if len(s) < window {
				found = append(found, fmt.Sprintf("%q is too short to be looked for: choose another", secret))
				continue
			}
			head := [window]byte([]byte(s))
			begins[head] = append(begins[head], s)
		}
	}
	for source, text := range written {
		read += len(text)
		seen := map[string]bool{}
		for i := 0; i+window <= len(text); i++ {
			for _, s := range begins[[window]byte(text[i:])] {
				if !seen[s] && bytes.HasPrefix(text[i:], []byte(s)) {
					seen[s] = true
					found = append(found, fmt.Sprintf("%q in %s: ...%q", s, source, text[max(i-80, 0):min(i+len(s)+20, len(text))]))
				}
			}
		}
	}
	slices.Sort(found)
	return read, len(looked), found
}

// searched runs the tests and then searches what was written during them.
type searched struct{ m testscript.TestingM }

func (s searched) Run() int {
	code := s.m.Run()
	read, secrets, found := everything.search()
	if read == 0 {
		return code
	}
	fmt.Printf("looked for %d secrets in %d bytes that services wrote: found %d\n", secrets, read, len(found))
	for _, f := range found {
		fmt.Fprintln(os.Stderr, "a secret was written: "+f)
		code = 1
	}
	return code
}

// inspect notes what a service says of itself on its admin listener: the status page, metrics,
// health and all of the profiler that takes no time.
func (p *process) inspect() {
	c := http.Client{Timeout: 5 * time.Second}
	for _, path := range []string{
		"/", "/api/status", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1",
	} {
		p.inspectAt(&c, path)
	}
}

func (p *process) inspectAt(c *http.Client, path string) {
	if resp, err := c.Get(p.admin + path); err == nil { // else it has ended
		defer resp.Body.Close()
		everything.wrote("admin "+path, answered(resp))
	}
}

// answered is an answer as text, with its headers.
func answered(resp *http.Response) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, resp.Status)
	_ = resp.Header.Write(&b)
	_, _ = io.Copy(&b, resp.Body)
	b.WriteByte('\n')
	return b.Bytes()
}

// TestTheSearchForSecretsFindsWhatIsPlanted: without it nobody knows whether the search at the end
// can find anything.
func TestTheSearchForSecretsFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	const secret = "Pl\"anted/sécret+=?"
	for _, spelling := range spellings(secret) {
		e := newEvidence()
		e.secret(secret, "other-secret")
		e.wrote("log", []byte("before "+spelling[:5]))
		e.wrote("metrics", []byte(`{outcome="ok"} 1`))
		read, secrets, found := e.search()
		require.Empty(t, found)
		require.Equal(t, 2, secrets)
		e.wrote("log", []byte(spelling[5:]+" after")) // in two parts
		more, _, found := e.search()
		require.Greater(t, more, read)
		require.NotEmpty(t, found, spelling)
		require.Contains(t, found[0], "in log: ")
	}
	e := newEvidence()
	e.secret("short")
	_, _, found := e.search()
	require.NotEmpty(t, found, "one that cannot be looked for is told")
}

// TestTheSearchSeesWhatTheServiceWrites: what is not collected is not searched.
func TestTheSearchSeesWhatTheServiceWrites(t *testing.T) {
	t.Parallel()
	e := newEvidence()
	_, err := io.WriteString(e.writer("log", io.Discard), "a line with a-planted-secret in it\n")
	require.NoError(t, err)
	e.secret("a-planted-secret")
	_, _, found := e.search()
	assert.Len(t, found, 1)
}
