package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/config"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// reloading is a reloader at work in a bubble, and what it did.
type reloading struct {
	t       *testing.T
	dir     string
	hangup  chan os.Signal
	mu      sync.Mutex
	adopted []ldappool.Config
	refuse  error
	log     bytes.Buffer
}

// watched is a reloader over a password in a file and a CA, which runs until the bubble ends.
func watched(t *testing.T) *reloading {
	t.Helper()
	r := &reloading{t: t, dir: t.TempDir(), hangup: make(chan os.Signal, 1)}
	r.write("password", "first")
	r.write("ca.pem", r.authority())
	environ := []string{
		"LDAP_URL=ldaps://ldap.example.org", "LDAP_BASE_DN=dc=example,dc=org", "LDAP_BIND_DN=cn=service,dc=example,dc=org",
		"LDAP_BIND_PASSWORD_FILE=" + r.file("password"), "LDAP_CA_FILE=" + r.file("ca.pem"),
	}
	cfg, err := config.Load(environ)
	require.NoError(t, err)
	pool, err := poolConfig(cfg, ldappool.Trace{})
	require.NoError(t, err)
	r.adopted = []ldappool.Config{pool}
	reloader := newReloader(environ, cfg, pool, slog.New(slog.NewJSONHandler(&r.log, nil)), r.adopt)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { reloader.run(ctx, r.hangup) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

func (r *reloading) adopt(c ldappool.Config, _ front) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.adopted = append(r.adopted, c)
	return nil
}

func (r *reloading) file(name string) string { return filepath.Join(r.dir, name) }

func (r *reloading) authority() string {
	r.t.Helper()
	pem, err := os.ReadFile(ldaptest.NewCA(r.t).File())
	require.NoError(r.t, err)
	return string(pem)
}

func (r *reloading) write(name, content string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(r.file(name), []byte(content), 0o600))
}

// passwords are those taken over, in order.
func (r *reloading) passwords() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.adopted {
		all = append(all, c.BindPassword)
	}
	return all
}

// logged are the messages, with what they say has changed.
func (r *reloading) logged() (all []string) {
	for line := range strings.Lines(r.log.String()) {
		var l struct {
			Msg     string
			Changed []string
		}
		require.NoError(r.t, json.Unmarshal([]byte(line), &l))
		for i, file := range l.Changed {
			l.Changed[i] = filepath.Base(file)
		}
		all = append(all, strings.TrimSuffix(l.Msg+": "+strings.Join(l.Changed, " "), ": "))
	}
	return all
}

// wait lets the poll look often enough to take over a change.
func (r *reloading) wait() {
	time.Sleep(3 * pollFiles)
	synctest.Wait()
}

func TestANewSecretIsTakenOverHoweverItIsPutThere(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(r *reloading){
		"written in place": func(r *reloading) { r.write("password", "second") },
		"renamed over": func(r *reloading) {
			r.write("new", "second")
			require.NoError(r.t, os.Rename(r.file("new"), r.file("password")))
		},
		"of the same size and time": func(r *reloading) {
			before, err := os.Stat(r.file("password"))
			require.NoError(r.t, err)
			r.write("password", "secnd")
			require.NoError(r.t, os.Chtimes(r.file("password"), before.ModTime(), before.ModTime()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := watched(t)
				r.wait()
				require.Len(t, r.passwords(), 1, "nothing changed")
				put(r)
				r.wait()
				require.Len(t, r.passwords(), 2)
				require.Regexp(t, "^sec.?nd$", r.passwords()[1])
				require.Equal(t, []string{"configuration reloaded: password"}, r.logged())
				require.Same(t, r.adopted[0].TLS, r.adopted[1].TLS, "the certificates are the same")
				require.NotContains(t, r.log.String(), "secnd")
				require.NotContains(t, r.log.String(), "second")
			})
		})
	}
}

// TestTheSwapOfASymlinkIsSeen changes a secret as Kubernetes does: file -> ..data/file, ..data -> a folder by date, and a
// new ..data renamed over the old.
func TestTheSwapOfASymlinkIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		swap := func(folder, password string) {
			require.NoError(t, os.Mkdir(r.file(folder), 0o700))
			r.write(folder+"/password", password)
			require.NoError(t, os.Symlink(folder, r.file("..data_tmp")))
			require.NoError(t, os.Rename(r.file("..data_tmp"), r.file("..data")))
		}
		swap("..1", "first")
		require.NoError(t, os.Symlink("..data/password", r.file("link")))
		require.NoError(t, os.Rename(r.file("link"), r.file("password")))
		r.wait()
		require.Len(t, r.passwords(), 1)
		swap("..2", "second")
		require.NoError(t, os.RemoveAll(r.file("..1")))
		r.wait()
		require.Equal(t, []string{"first", "second"}, r.passwords())
	})
}

func TestWhatIsWrongIsSaidOnceAndChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.write("password", "")
		r.wait()
		r.wait()
		require.NoError(t, os.Remove(r.file("password")))
		r.wait()
		r.write("ca.pem", "no certificate")
		r.write("password", "second")
		r.wait()
		require.Len(t, r.passwords(), 1)
		const refused = "configuration not reloaded, the old one stays in force: "
		require.Equal(t, []string{refused + "password", refused + "password", refused + "ca.pem password"}, r.logged())
		require.Contains(t, r.log.String(), "is empty")
		require.Contains(t, r.log.String(), "no such file")
		require.Contains(t, r.log.String(), "holds no certificate")
		r.write("ca.pem", r.authority())
		r.wait()
		require.Equal(t, []string{"first", "second"}, r.passwords(), "both are right now")
		require.NotSame(t, r.adopted[0].TLS, r.adopted[1].TLS)
	})
}

func TestAFileThatIsJustBeingWrittenIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		written := ""
		time.Sleep(pollFiles / 2)
		for _, part := range []string{"se", "co", "nd"} {
			written += part
			r.write("password", written)
			time.Sleep(pollFiles)
		}
		r.wait()
		require.Equal(t, []string{"first", "second"}, r.passwords())
	})
}

func TestAHangupReloadsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.write("password", "second")
		r.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, []string{"first", "second"}, r.passwords())
		r.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, []string{"first", "second", "second"}, r.passwords(), "though nothing is new")
		require.Same(t, r.adopted[1].TLS, r.adopted[2].TLS)
		require.Equal(t, []string{"configuration reloaded: password", "configuration reloaded"}, r.logged())
	})
}

func TestWhatThePoolRefusesIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.mu.Lock()
		r.refuse = errors.New("closed")
		r.mu.Unlock()
		r.write("password", "second")
		r.wait()
		require.Equal(t, []string{"configuration not reloaded, the old one stays in force: password"}, r.logged())
	})
}
