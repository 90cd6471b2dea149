// Package observertest is what the tests of observers share: a log that can be read back, and a
// login with every field set.
package observertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"
)

// Two servers.
const (
	ServerA = "ldap://a.example.org:389"
	ServerB = "ldaps://b.example.org:636"
)

// Buffer takes a logger's lines. One goroutine may read them while another writes.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// NewLogger returns a logger that writes lines of level and above to the buffer, as JSON.
func NewLogger(level slog.Level) (*slog.Logger, *Buffer) {
	logs := new(Buffer)
	return slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: level})), logs
}

// Write implements [io.Writer].
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns everything written so far, and empties the buffer.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}

// Lines returns the lines written so far, decoded, without their times. It empties the buffer.
func (b *Buffer) Lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		delete(fields, "time")
		all = append(all, fields)
	}
	return all
}

// OpError returns the error of an operation at ServerA.
func OpError(kind, cause error) error {
	return &ldappool.OpError{Op: "bind", Server: ServerA, Kind: kind, Err: cause}
}

// FullLogin returns a login with every field set that a fault can set.
func FullLogin() (auth.Credentials, auth.Result) {
	c := auth.Credentials{Username: "User0", Password: "pw", RequestID: "req-1", Client: "192.0.2.7"}
	return c, auth.Result{
		Outcome: auth.DirectoryTimeout,
		DN:      "uid=user0,ou=people,dc=example,dc=org",
		Server:  ServerA,
		Detail:  "detail",
		Cause:   fmt.Errorf("bind as user: %w", OpError(ldappool.ErrTimeout, errors.New("read tcp: i/o timeout"))),
		Phases: auth.Phases{
			Wait: 1500 * time.Nanosecond, Search: 1234567 * time.Nanosecond, Bind: 5 * time.Second, Total: 5001500 * time.Microsecond,
		},
	}
}
