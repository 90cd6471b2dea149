package credcache

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// directory is what the cache must agree with: accounts, each with the passwords and names that it
// had, since when.
type directory struct {
	passwords map[string][]since // by account; the last one is right now, an empty one is a lock
	names     map[string]string  // name to account
}

type since struct {
	at    time.Time
	value string
}

func (d *directory) set(now time.Time, account, password string) {
	d.passwords[account] = append(d.passwords[account], since{now, password})
}

func (d *directory) accepts(account, password string) bool {
	history := d.passwords[account]
	return history[len(history)-1].value == password
}

// accepted reports whether the directory accepted a password at some time after from.
func (d *directory) accepted(account, password string, from time.Time) bool {
	history := d.passwords[account]
	for i, h := range history {
		ended := i+1 < len(history) && !history[i+1].at.After(from)
		if h.value == password && !ended {
			return true
		}
	}
	return false
}

// told is what the model knows of a name and client: every answer of the directory that still
// counts.
type told struct {
	account  string
	accepted since            // value is the password
	rejected map[string]since // by password
}

// flight is a login under way.
type flight struct {
	login        Login
	name, client string
	account      string
	password     string
	right        bool
	dropped      bool
}

// world drives a cache and the model.
type world struct {
	t     *rapid.T
	cfg   Config
	small bool // the cache evicts: it may know less than the model
	cache *Cache[string, string]
	now   time.Time
	dir   directory
	told  map[[2]string]*told
	under []*flight
}

var (
	names     = []string{"alice", "Alice", "bob"}
	clients   = []string{"192.0.2.1", ""}
	passwords = []string{"one", "two", "three"}
	accounts  = []string{"a", "b"}
)

func (w *world) pass() {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 4_000).Draw(w.t, "ms")) * time.Millisecond)
}

func (w *world) change() {
	account := rapid.SampledFrom(accounts).Draw(w.t, "account")
	w.dir.set(w.now, account, rapid.SampledFrom(append(slices.Clone(passwords), "")).Draw(w.t, "new password"))
}

func (w *world) rename() {
	name := rapid.SampledFrom(names).Draw(w.t, "name")
	w.dir.names[name] = rapid.SampledFrom(accounts).Draw(w.t, "account")
}

func (w *world) begin() {
	f := &flight{
		login: w.cache.Begin(w.now), name: rapid.SampledFrom(names).Draw(w.t, "name"),
		client: rapid.SampledFrom(clients).Draw(w.t, "client"), password: rapid.SampledFrom(passwords).Draw(w.t, "password"),
	}
	f.account = w.dir.names[f.name]
	f.right = w.dir.accepts(f.account, f.password)
	w.under = append(w.under, f)
}

func (w *world) end() {
	if len(w.under) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.under)-1).Draw(w.t, "login")
	f := w.under[i]
	w.under = slices.Delete(w.under, i, i+1)
	id := w.cache.ID(f.name, f.client)
	switch rapid.IntRange(0, 4).Draw(w.t, "end") {
	case 0: // a fault: nothing is stored
	default:
		if f.right {
			w.cache.Accept(w.now, f.login, id, f.account, f.password, "user "+f.account)
		} else {
			w.cache.Reject(w.now, f.login, id, f.account, f.password)
		}
		if !f.dropped {
			w.note(f)
		}
	}
	w.cache.End()
}

// note records the directory's answer in the model.
func (w *world) note(f *flight) {
	key := [2]string{f.name, f.client}
	w.expire()
	k := w.told[key]
	if k == nil || k.account != f.account {
		k = &told{account: f.account, rejected: map[string]since{}}
		w.told[key] = k
	}
	began := f.login.began
	if f.right {
		if !k.accepted.at.After(began) {
			k.accepted = since{began, f.password}
			delete(k.rejected, f.password)
		}
		return
	}
	if k.accepted.value == f.password && !k.accepted.at.After(began) {
		k.accepted = since{}
	}
	if !k.rejected[f.password].at.After(began) {
		k.rejected[f.password] = since{began, f.password}
	}
}

// expire removes from the model what is too old.
func (w *world) expire() {
	for key, k := range w.told {
		if w.now.Sub(k.accepted.at) >= w.cfg.TTL+w.cfg.Stale {
			k.accepted = since{}
		}
		for password, s := range k.rejected {
			if w.now.Sub(s.at) >= w.cfg.FailureTTL {
				delete(k.rejected, password)
			}
		}
		if k.accepted.value == "" && len(k.rejected) == 0 {
			delete(w.told, key)
		}
	}
}

func (w *world) drop() {
	switch rapid.IntRange(0, 6).Draw(w.t, "drop") {
	case 0:
		w.cache.DropAll()
		w.forget(func(string) bool { return true })
		w.forgetLogins()
	case 1:
		name := rapid.SampledFrom(names).Draw(w.t, "name")
		of := map[string]bool{} // that the cache knows: it may have evicted the name, and not its account
		for _, place := range w.cache.entries {
			e := place.Value.(*entry[string, string])
			of[e.account] = of[e.account] || strings.EqualFold(e.id.name, name)
		}
		w.cache.DropIf(func(typed, _ string) bool { return strings.EqualFold(typed, name) })
		w.forget(func(account string) bool { return of[account] })
		w.forgetLogins()
	default:
		account := rapid.SampledFrom(accounts).Draw(w.t, "account")
		w.cache.Drop(account)
		w.forget(func(a string) bool { return a == account })
		for _, f := range w.under {
			f.dropped = f.dropped || f.account == account
		}
	}
}

func (w *world) forget(is func(account string) bool) {
	for key, k := range w.told {
		if is(k.account) {
			delete(w.told, key)
		}
	}
}

func (w *world) forgetLogins() {
	for _, f := range w.under {
		f.dropped = true
	}
}

// verify compares what the cache says with the model and the directory.
func (w *world) verify() {
	name, client := rapid.SampledFrom(names).Draw(w.t, "name"), rapid.SampledFrom(clients).Draw(w.t, "client")
	password := rapid.SampledFrom(passwords).Draw(w.t, "password")
	id := w.cache.ID(name, client)
	account, accepts, found := w.cache.Account(w.now, id)
	verdict, user := w.cache.Verify(w.now, id, password)
	w.expire()
	k := w.told[[2]string{name, client}]
	want := Unknown
	if k != nil {
		switch _, isRejected := k.rejected[password]; {
		case k.accepted.value == password && w.now.Sub(k.accepted.at) < w.cfg.TTL:
			want = Accepted
		case k.accepted.value == password:
			want = Stale
		case isRejected:
			want = Rejected
		}
	}
	if w.small {
		require.Contains(w.t, []Verdict{want, Unknown}, verdict)
		require.True(w.t, !found || k != nil)
	} else {
		require.Equal(w.t, want, verdict)
		require.Equal(w.t, k != nil, found)
	}
	if found {
		require.Equal(w.t, k.account, account)
		if !w.small {
			require.Equal(w.t, k.accepted.value != "", accepts)
		}
	}
	switch verdict {
	case Accepted:
		require.Equal(w.t, "user "+account, user)
		require.True(w.t, w.dir.accepted(account, password, w.now.Add(-w.cfg.TTL)), "accepted, and the directory did not within the TTL")
	case Stale:
		require.Equal(w.t, "user "+account, user)
		require.True(w.t, w.dir.accepted(account, password, w.now.Add(-w.cfg.TTL-w.cfg.Stale)))
	default:
		require.Empty(w.t, user)
	}
}

// consistent checks the cache's own books and bounds.
func (w *world) consistent() {
	c := w.cache
	weight, entries := 0, 0
	for account, of := range c.accounts {
		require.NotEmpty(w.t, of)
		require.LessOrEqual(w.t, len(of), maxClients)
		for e := range of {
			entries++
			weight += e.weight
			require.Equal(w.t, account, e.account)
			require.Same(w.t, e, c.entries[e.id.mac].Value)
		}
	}
	require.Len(w.t, c.entries, entries)
	require.Equal(w.t, entries, c.accepted.Len()+c.rejected.Len())
	require.Equal(w.t, weight, c.weight)
	require.LessOrEqual(w.t, weight, c.maxWeight())
	require.LessOrEqual(w.t, c.accepted.Len(), c.cfg.Size)
	require.LessOrEqual(w.t, c.rejected.Len(), c.cfg.Size)
	for place := c.accepted.Front(); place != nil; place = place.Next() {
		require.False(w.t, place.Value.(*entry[string, string]).accepted.at.IsZero())
	}
	for place := c.rejected.Front(); place != nil; place = place.Next() {
		require.True(w.t, place.Value.(*entry[string, string]).accepted.at.IsZero())
	}
	require.Len(w.t, w.under, c.logins)
	require.LessOrEqual(w.t, len(c.dropped), c.cfg.Size)
}

func TestModel_TheCacheKnowsWhatTheDirectorySaid(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 4, 1} {
		t.Run(fmt.Sprintf("size %d", size), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				cfg := Config{
					TTL:        rapid.SampledFrom([]time.Duration{60 * time.Second, 10 * time.Second, 0}).Draw(t, "TTL"),
					FailureTTL: rapid.SampledFrom([]time.Duration{10 * time.Second, 90 * time.Second, 0}).Draw(t, "failure TTL"),
					Stale:      rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "stale"),
					Size:       size,
				}
				w := &world{
					t: t, cfg: cfg, small: size < 1000 || cfg.TTL == 0, cache: New[string](cfg, func(s string) int { return len(s) }), now: epoch,
					dir:  directory{map[string][]since{}, map[string]string{"alice": "a", "Alice": "a", "bob": "b"}},
					told: map[[2]string]*told{},
				}
				for i, account := range accounts {
					w.dir.set(epoch, account, passwords[i])
				}
				t.Repeat(map[string]func(*rapid.T){
					"":            func(t *rapid.T) { w.t = t; w.consistent() },
					"time passes": func(*rapid.T) { w.pass() }, "a password changes": func(*rapid.T) { w.change() },
					"a name moves": func(*rapid.T) { w.rename() }, "an account is dropped": func(*rapid.T) { w.drop() },
					"login begins": func(*rapid.T) { w.begin() }, "login ends": func(*rapid.T) { w.end() }, "login ends too": func(*rapid.T) { w.end() },
					"verify": func(*rapid.T) { w.verify() }, "verify again": func(*rapid.T) { w.verify() },
				})
			})
		})
	}
}
