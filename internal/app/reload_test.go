package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
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

// The messages of a reload.
const (
	reloadedLine    = "configuration reloaded"
	notReloadedLine = "configuration not reloaded, the previous one stays in use"
)

// reloading is a reloader at work in a bubble, and what it did.
type reloading struct {
	t       *testing.T
	dir     string
	hangup  chan os.Signal
	mu      sync.Mutex
	adopted []ldappool.Config // by the pool
	files   listenerFiles     // adopted last by the main listener
	refuse  error
	log     bytes.Buffer
}

// watched is a reloader over a password in a file, a CA and all files of callers, which runs until
// the bubble ends.
func watched(t *testing.T) *reloading {
	t.Helper()
	return watchedFrom(t, func(*reloading) {}, func(*reloading) {})
}

// watchedFrom is watched, with something done after the configuration was loaded and after the
// files were read for the start.
func watchedFrom(t *testing.T, loaded, started func(*reloading)) *reloading {
	t.Helper()
	r := &reloading{t: t, dir: t.TempDir(), hangup: make(chan os.Signal, 1)}
	r.write("password", "first")
	r.write("ca.pem", r.authority())
	r.write("callers.pem", r.authority())
	r.write("keys", keyLines("one", "two"))
	r.write("denied", "")
	r.pair()
	cfg, err := config.Load([]string{
		"LDAP_URL=ldaps://ldap.example.org", "LDAP_BASE_DN=dc=example,dc=org", "LDAP_BIND_DN=cn=service,dc=example,dc=org",
		"LDAP_BIND_PASSWORD_FILE=" + r.file("password"), "LDAP_CA_FILE=" + r.file("ca.pem"),
		"AUTH_API_KEYS_FILE=" + r.file("keys"), "HTTP_TLS_CLIENT_CA_FILE=" + r.file("callers.pem"), "HTTP_TLS_CLIENT_DENY_FILE=" + r.file("denied"),
		"HTTP_TLS_CERT_FILE=" + r.file("cert.pem"), "HTTP_TLS_KEY_FILE=" + r.file("key.pem"),
	})
	require.NoError(t, err)
	loaded(r)
	groups := fileGroups(cfg)
	pool, err := PoolConfig(cfg)
	require.NoError(t, err)
	r.files, err = newListenerFiles(cfg)
	require.NoError(t, err)
	r.adopted = []ldappool.Config{pool}
	started(r)
	reloader := &reloader{groups: groups, log: slog.New(slog.NewJSONHandler(&r.log, nil)), adopt: r.adoptFiles, pool: r.adopt, now: inForce{pool, r.files}, asked: r.hangup}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { reloader.run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return r
}

func (r *reloading) adoptFiles(f listenerFiles) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = f
}

// inForce is what is adopted now.
func (r *reloading) inForce() inForce {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inForce{r.adopted[len(r.adopted)-1], r.files}
}

// keys are the names of the keys in force.
func (r *reloading) keys() string {
	names := []string{}
	for _, k := range r.inForce().files.callers.Keys {
		names = append(names, k.Name)
	}
	return strings.Join(names, " ")
}

// keyLines are lines of keys, each of which is its name with "-key" behind it.
func keyLines(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %x\n", name, sha256.Sum256([]byte(name+"-key")))
	}
	return b.String()
}

// pair gives the listener a new certificate.
func (r *reloading) pair() {
	r.t.Helper()
	cert := ldaptest.NewCA(r.t).Issue(r.t, ldaptest.CertConfig{})
	for name, from := range map[string]string{"cert.pem": cert.CertFile, "key.pem": cert.KeyFile} {
		content, err := os.ReadFile(from)
		require.NoError(r.t, err)
		r.write(name, string(content))
	}
}

func (r *reloading) adopt(c ldappool.Config) error {
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
	folder, err := os.OpenRoot(r.dir)
	require.NoError(r.t, err)
	defer folder.Close()
	require.NoError(r.t, folder.WriteFile(name, []byte(content), 0o600))
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

func TestReload_AdoptsASecretHoweverItIsWritten(t *testing.T) {
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

// TestReload_SeesASwappedSymlink changes a secret as Kubernetes does: file -> ..data/file, ..data
// -> a folder by date, and a new ..data renamed over the old.
func TestReload_SeesASwappedSymlink(t *testing.T) {
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

func TestReload_RejectsABadFileAndLogsItOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.write("password", "")
		r.wait()
		r.wait()
		require.NoError(t, os.Remove(r.file("password")))
		r.wait()
		r.write("ca.pem", "no certificate")
		r.wait()
		require.Len(t, r.passwords(), 1)
		const refused = notReloadedLine + ": "
		require.Equal(t, []string{refused + "password", refused + "password", refused + "ca.pem"}, r.logged())
		require.Contains(t, r.log.String(), "is empty")
		require.Contains(t, r.log.String(), "no such file")
		require.Contains(t, r.log.String(), "contains no PEM certificate")
		r.write("ca.pem", r.authority())
		r.write("password", "second")
		r.wait()
		require.Equal(t, []string{"first", "second"}, r.passwords(), "both are right now, and adopted together")
		require.NotSame(t, r.adopted[0].TLS, r.adopted[1].TLS)
	})
}

func TestReload_WaitsForAFileThatIsBeingWritten(t *testing.T) {
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

func TestReload_SIGHUPReloadsAtOnce(t *testing.T) {
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

func TestReload_LogsWhatThePoolRejects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.mu.Lock()
		r.refuse = errors.New("closed")
		r.mu.Unlock()
		r.write("password", "second")
		r.wait()
		r.write("keys", keyLines("two"))
		r.wait()
		require.Equal(t, []string{notReloadedLine + ": password", reloadedLine + ": keys"}, r.logged())
		require.Equal(t, "two", r.keys())
	})
}

// spoiled are the ways in which a file can be no good.
var spoiled = map[string]func(r *reloading, name string){
	"wrong":      func(r *reloading, name string) { r.write(name, "\x00 what is this") },
	"empty":      func(r *reloading, name string) { r.write(name, "") },
	"deleted":    func(r *reloading, name string) { require.NoError(r.t, os.Remove(r.file(name))) },
	"unreadable": func(r *reloading, name string) { r.unreadable(name) },
	"huge":       func(r *reloading, name string) { require.NoError(r.t, os.Truncate(r.file(name), 1<<40)) }, // sparse
	"endless": func(r *reloading, name string) {
		require.NoError(r.t, os.Remove(r.file(name)))
		require.NoError(r.t, os.Symlink("/dev/zero", r.file(name)))
	},
	"a pipe": func(r *reloading, name string) {
		require.NoError(r.t, os.Remove(r.file(name)))
		require.NoError(r.t, syscall.Mkfifo(r.file(name), 0o600))
	},
	"rewritten without end": func(r *reloading, name string) {
		ctx, cancel := context.WithCancel(context.Background())
		var writing sync.WaitGroup
		r.t.Cleanup(func() { cancel(); writing.Wait() })
		writing.Go(func() {
			tick := time.NewTicker(pollFiles / 2)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					_ = os.WriteFile(r.file(name), fmt.Append(nil, n), 0o600)
				}
			}
		})
	},
}

// unreadable puts a folder in a file's place, which root cannot read as a file either.
func (r *reloading) unreadable(name string) {
	r.t.Helper()
	require.NoError(r.t, os.Remove(r.file(name)))
	require.NoError(r.t, os.Mkdir(r.file(name), 0o700))
}

func TestReload_BadFileHoldsBackOnlyItsOwnGroup(t *testing.T) {
	t.Parallel()
	files := []string{"password", "ca.pem", "callers.pem", "keys", "denied", "cert.pem", "key.pem"}
	group := map[string]string{"cert.pem": "pair", "key.pem": "pair"}
	for _, spoilt := range files {
		for name, spoil := range spoiled {
			t.Run(name+" "+spoilt, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := watched(t)
					before := r.inForce()
					spoil(r, spoilt)
					r.wait()
					// Each of the others changes.
					if spoilt != "password" {
						r.write("password", "second")
					}
					if spoilt != "ca.pem" {
						r.write("ca.pem", r.authority())
					}
					if spoilt != "callers.pem" {
						r.write("callers.pem", r.authority())
					}
					if spoilt != "keys" {
						r.write("keys", keyLines("two"))
					}
					if spoilt != "denied" {
						r.write("denied", strings.Repeat("ab", 32))
					}
					if group[spoilt] == "" {
						r.pair()
					}
					r.wait()
					pool, files := r.inForce().pool, r.inForce().files
					require.Equal(t, spoilt != "password", pool.BindPassword == "second")
					require.Equal(t, spoilt != "ca.pem", !pool.TLS.RootCAs.Equal(before.pool.TLS.RootCAs))
					if spoilt != "callers.pem" {
						require.False(t, files.callers.ClientCAs.Equal(before.files.callers.ClientCAs))
						require.True(t, files.callers.ClientCAs.Equal(files.tls.ClientCAs))
					}
					if spoilt != "keys" {
						require.Equal(t, "two", r.keys())
					}
					require.Equal(t, spoilt != "denied", len(files.callers.Denied) == 1)
					require.Equal(t, group[spoilt] == "", &before.files.tls.Certificates[0].Certificate[0][0] != &files.tls.Certificates[0].Certificate[0][0])
				})
			})
		}
	}
}

func TestReloader_AdoptsWhatChangesDuringTheStart(t *testing.T) {
	t.Parallel()
	revoke := func(r *reloading) {
		r.write("keys", keyLines("two"))
		r.write("password", "second")
	}
	nothing := func(*reloading) {}
	for name, hooks := range map[string][2]func(*reloading){"after the configuration was loaded": {revoke, nothing}, "after the files were read": {nothing, revoke}} {
		synctest.Test(t, func(t *testing.T) {
			r := watchedFrom(t, hooks[0], hooks[1])
			r.wait()
			require.Equal(t, "two", r.keys(), name)
			require.Equal(t, "second", r.inForce().pool.BindPassword, name)
		})
	}
}

func TestReloader_RevokesAKeyOfAFileThatIsRewrittenWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		time.Sleep(pollFiles / 2)
		for n := range maxUnsettled + 1 {
			r.write("keys", fmt.Sprintf("# written for the %dth time\n%s", n, keyLines("two")))
			time.Sleep(pollFiles)
		}
		require.Equal(t, "two", r.keys())
	})
}

func TestReload_BadFileOfCallersStillRevokes(t *testing.T) {
	t.Parallel()
	const fewer = "file of callers invalid, empty or missing: "
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		require.Equal(t, "one two", r.keys())
		r.write("keys", "three three-key\n"+keyLines("two", "four"))
		r.wait()
		require.Equal(t, "two", r.keys(), "one is not there any more, and nothing new counts")
		r.write("keys", keyLines("one", "two"))
		r.wait()
		require.Equal(t, "one two", r.keys(), "the same file as at the start")
		r.unreadable("keys")
		r.wait()
		require.Equal(t, "one two", r.keys(), "nobody knows what it holds")
		require.NoError(t, os.Remove(r.file("keys")))
		r.wait()
		require.Empty(t, r.keys())
		require.NotNil(t, r.inForce().files.callers.Keys)
		require.False(t, r.inForce().files.callers.Anybody)
		r.write("keys", keyLines("one"))
		r.wait()
		r.write("keys", "# "+keyLines("one"))
		r.wait()
		require.Empty(t, r.keys())
		r.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, []string{fewer + "keys", reloadedLine + ": keys", notReloadedLine + ": keys", fewer + "keys", reloadedLine + ": keys", fewer + "keys", fewer[:len(fewer)-2]}, r.logged())
	})
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		for _, spoil := range []string{"wrong", "empty", "deleted"} {
			r.write("callers.pem", r.authority())
			r.wait()
			require.False(t, r.inForce().files.callers.ClientCAs.Equal(x509.NewCertPool()))
			spoiled[spoil](r, "callers.pem")
			r.wait()
			require.True(t, r.inForce().files.callers.ClientCAs.Equal(x509.NewCertPool()), spoil)
		}
		require.NotNil(t, r.inForce().files.callers.ClientCAs)
	})
}

func TestReload_OnlyAValidFileLiftsADenial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		one, two := strings.Repeat("11", 32), strings.Repeat("22", 32)
		for _, step := range []struct {
			content string
			denied  int
		}{{one, 1}, {"x\n" + two, 2}, {"", 0}, {one + "\n" + two, 2}, {two, 1}} {
			r.write("denied", step.content)
			r.wait()
			require.Len(t, r.inForce().files.callers.Denied, step.denied, step.content)
		}
		require.NoError(t, os.Remove(r.file("denied")))
		r.wait()
		require.Len(t, r.inForce().files.callers.Denied, 1)
		require.Contains(t, r.log.String(), "certificates that are already denied stay denied")
	})
}

func TestReload_FileReplacedByAnEditorCountsAsPresent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		time.Sleep(pollFiles / 2)
		require.NoError(t, os.Remove(r.file("keys")))
		time.Sleep(pollFiles)
		r.write("keys", keyLines("two"))
		r.wait()
		require.Equal(t, []string{reloadedLine + ": keys"}, r.logged())
		require.Equal(t, "two", r.keys())
	})
}

func TestReloader_WarnsOfASecretWithMoreAtItsEndsThanWasMeant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		warning := `"variable":"LDAP_BIND_PASSWORD_FILE","secret":"ends with a line feed"`
		for n, content := range []string{"second", "third\n\n", "fourth\n"} {
			r.write("password", content)
			r.wait()
			require.Equal(t, strings.TrimSuffix(content, "\n"), r.inForce().pool.BindPassword)
			require.Equal(t, n > 0, strings.Contains(r.log.String(), warning))
		}
		require.Equal(t, 1, strings.Count(r.log.String(), warning), "once")
		require.NotContains(t, r.log.String(), "third")
	})
}
