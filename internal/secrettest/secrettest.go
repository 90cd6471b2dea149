// Package secrettest searches what programs wrote in tests for the secrets that they were given.
package secrettest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
)

// Evidence is what programs wrote, byte for byte and by source, and the secrets that they were
// given. Its methods may be called from any goroutine.
type Evidence struct {
	mu      sync.Mutex
	written map[string][]byte // guarded by mu, with what is below; only appended to
	secrets map[string]bool
}

// New returns evidence without a secret and without a byte.
func New() *Evidence {
	return &Evidence{written: map[string][]byte{}, secrets: map[string]bool{}}
}

// Wrote notes bytes that a program wrote. Bytes of one source are searched as one text.
func (e *Evidence) Wrote(source string, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written[source] = append(e.written[source], b...)
}

// Writer returns a writer that notes what is written to it, and passes it on.
func (e *Evidence) Writer(source string, to io.Writer) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		e.Wrote(source, b)
		return to.Write(b)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Secret notes passwords or keys that a program was given. An empty one is ignored.
func (e *Evidence) Secret(secrets ...string) {
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

// spellings returns the forms in which a secret might be written.
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

// Search reads every byte. It returns how many bytes there were, how many secrets it looked for,
// and which of them it found where. It does not block the other methods while it reads.
func (e *Evidence) Search() (read, secrets int, found []string) {
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

// Tests are a package's tests for its TestMain. They fail if the evidence has a secret at their
// end.
type Tests struct {
	M        interface{ Run() int } // a *testing.M
	Evidence *Evidence
}

// Run runs the tests and then searches what was written during them. It returns the exit code.
func (t Tests) Run() int {
	code := t.M.Run()
	read, secrets, found := t.Evidence.Search()
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
