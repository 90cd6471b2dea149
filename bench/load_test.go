package bench

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// figures are what a load came to.
type figures struct {
	logins, perSecond  float64
	p50, p99           time.Duration
	cpu                float64 // microseconds of the server for one login
	allocations, bytes float64 // of the server for one login
}

func (f *figures) add(o figures) {
	f.logins += o.logins
	f.perSecond += o.perSecond
	f.p50 += o.p50
	f.p99 += o.p99
	f.cpu += o.cpu
	f.allocations += o.allocations
	f.bytes += o.bytes
}

// caller logs in on connections of its own.
type caller struct {
	login func(i int) error // as the i-th user
	close func()
}

// load runs callers that log in for a while, each as fast as it can, and returns how fast that was.
func load(b *testing.B, callers int, d time.Duration, connect func(b *testing.B) caller) figures {
	b.Helper()
	var wg sync.WaitGroup
	took := make([][]time.Duration, callers)
	login := make([]caller, callers)
	for c := range callers {
		login[c] = connect(b)
		defer login[c].close()
	}
	began := time.Now()
	for c := range callers {
		wg.Go(func() {
			for i := c * 7919; time.Since(began) < d; i++ {
				start := time.Now()
				if err := login[c].login(i % users); err != nil {
					b.Errorf("a login failed: %v", err)
					return
				}
				took[c] = append(took[c], time.Since(start))
			}
		})
	}
	wg.Wait()
	return sum(slices.Concat(took...), time.Since(began))
}

func sum(took []time.Duration, d time.Duration) figures {
	if len(took) == 0 {
		return figures{}
	}
	slices.Sort(took)
	n := float64(len(took))
	return figures{logins: n, perSecond: n / d.Seconds(), p50: took[len(took)/2], p99: took[len(took)*99/100]}
}

// overHTTP logs in by POST /auth on one kept connection. It writes and reads no more than it must:
// the load shares the machine with what it measures.
func overHTTP(addr string) func(*testing.B) caller {
	return func(b *testing.B) caller {
		b.Helper()
		conn, err := net.Dial("tcp", addr) //nolint:gosec // the benchmark's own server
		require.NoError(b, err)
		in := bufio.NewReader(conn)
		var out bytes.Buffer
		login := func(i int) error {
			body := fmt.Sprintf(`{"username":%q,"password":%q}`, ldaptest.Username(i), ldaptest.Password(i))
			out.Reset()
			fmt.Fprintf(&out, "POST /auth HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			if _, err := conn.Write(out.Bytes()); err != nil {
				return err
			}
			return readOK(in)
		}
		return caller{login, func() { _ = conn.Close() }}
	}
}

// readOK reads an answer and fails unless it is a 200.
func readOK(in *bufio.Reader) error {
	status, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
		return err
	}
	if len(status) < 12 || status[9:12] != strconv.Itoa(http.StatusOK) {
		return fmt.Errorf("answered %q", status)
	}
	return nil
}

// bare logs in with go-ldap alone: a search on one kept connection, a bind on another.
func bare(url string, trust *tls.Config) func(*testing.B) caller {
	return func(b *testing.B) caller {
		b.Helper()
		search, err := ldap.DialURL(url, ldap.DialWithTLSConfig(trust))
		require.NoError(b, err)
		require.NoError(b, search.Bind(ldaptest.ServiceDN, ldaptest.ServicePassword))
		bind, err := ldap.DialURL(url, ldap.DialWithTLSConfig(trust))
		require.NoError(b, err)
		login := func(i int) error {
			r, err := search.Search(ldap.NewSearchRequest(ldaptest.PeopleDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
				"(uid="+ldap.EscapeFilter(ldaptest.Username(i))+")", []string{"uid"}, nil))
			if err != nil || len(r.Entries) != 1 {
				return fmt.Errorf("search: %d entries, %w", len(r.Entries), err)
			}
			return bind.Bind(r.Entries[0].DN, ldaptest.Password(i))
		}
		return caller{login, func() { _ = errors.Join(search.Close(), bind.Close()) }}
	}
}
