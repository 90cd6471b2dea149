package auth_test

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// scripted is a directory that answers each search with what a function returns, and accepts every
// password.
type scripted struct {
	search func(req *ldap.SearchRequest) (code uint16, entries []*ldap.Entry)
	bind   func() // before the answer, if not nil
}

func (d *scripted) SearchWithFilter(_ context.Context, req *ldap.SearchRequest, f ldapconn.Filter) (*ldappool.SearchResult, error) {
	req.Filter = cmp.Or(f.String(), req.Filter)
	code, entries := d.search(req)
	return &ldappool.SearchResult{Result: ldappool.Result{Code: code}, Entries: entries}, nil
}

func (d *scripted) Bind(context.Context, string, string, ...ldappool.Control) (*ldappool.BindResult, error) {
	if d.bind != nil {
		d.bind()
	}
	return &ldappool.BindResult{}, nil
}

// answers maps a requested attribute to the answer of a search for it.
type answers map[string]struct {
	code  uint16
	entry *ldap.Entry
}

func (a answers) search(req *ldap.SearchRequest) (uint16, []*ldap.Entry) {
	for _, name := range req.Attributes {
		if answer, ok := a[name]; ok && answer.entry != nil {
			return answer.code, []*ldap.Entry{answer.entry}
		} else if ok {
			return answer.code, nil
		}
	}
	return ldap.LDAPResultSuccess, nil
}

func entryOf(dn string, attributes map[string][]string) *ldap.Entry {
	return ldap.NewEntry(dn, attributes)
}

// TestFault_QuotesNoDNOrValueOfTheDirectory: a hostile server may repeat a password in any of them.
func TestFault_QuotesNoDNOrValueOfTheDirectory(t *testing.T) {
	t.Parallel()
	const secret = "hunter2secret"
	user := func(attributes map[string][]string) *ldap.Entry {
		attributes["uid"] = []string{"user0"}
		return entryOf("uid=user0,dc="+secret, attributes)
	}
	found := user(map[string][]string{})
	ad, ipa := inGroups("staff"), inGroups("staff")
	ad.Dialect, ad.Groups.Filter = named("ad"), ""
	domain := ad
	domain.Groups.BaseDNs = nil
	ipa.Dialect, ipa.Groups.Filter, ipa.Groups.Nested = named("freeipa"), "", true
	byDN := ipa
	byDN.Groups.Required = []string{"cn=staff," + ldaptest.GroupsDN}
	root := entryOf("", map[string][]string{"defaultNamingContext": {"dc=" + secret}, "configurationNamingContext": {"cn=" + secret}})
	group := entryOf("cn=STAFF,dc="+secret, map[string][]string{"cn": {"STAFF"}})
	for name, c := range map[string]struct {
		cfg      auth.Config
		username string
		answers  answers
		cause    string
	}{
		"partitions": {ad, `EXAMPLE\user0`, answers{"defaultNamingContext": {0, root}, "nETBIOSName": {32, nil}}, "CN=Partitions"},
		"default naming context": {domain, "user0", answers{"uid": {0, found}, "tokenGroups": {0, entryOf("x", map[string][]string{"tokenGroups": {"sid"}})},
			"defaultNamingContext": {0, root}, "nETBIOSName": {0, entryOf("x", map[string][]string{"nETBIOSName": {"EXAMPLE"}})}, "cn": {32, nil}}, "default naming context"},
		"DN of the user":      {ad, "user0", answers{"uid": {0, found}, "tokenGroups": {32, nil}}, "tokenGroups of the user's entry"},
		"no DN in memberOf":   {ipa, "user0", answers{"uid": {0, found}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {secret}})}}, "is not a DN"},
		"type in memberOf":    {ipa, "user0", answers{"uid": {0, found}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {secret + "_=x"}})}}, "is not a DN"},
		"DN in memberOf":      {ipa, "user0", answers{"uid": {0, found}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {"cn=\uff33TAFF,dc=" + secret}})}, "cn": {0, group}, "nsUniqueId": {50, nil}}, "value of memberOf"},
		"hidden DN":           {ipa, "user0", answers{"uid": {0, found}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {"cn=\uff33TAFF,dc=" + secret}})}, "cn": {0, group}, "nsUniqueId": {0, nil}}, "value of memberOf"},
		"DN of a group":       {inGroups("staff"), "user0", answers{"uid": {0, found}, "cn": {0, group}, "1.1": {50, nil}}, `required name "staff"`},
		"userAccountControl":  {ad, "user0", answers{"uid": {0, user(map[string][]string{"userAccountControl": {secret}})}}, "userAccountControl"},
		"configured base":     {inGroups("staff"), "user0", answers{"uid": {0, found}, "cn": {32, nil}}, fmt.Sprintf("base %q", ldaptest.GroupsDN)},
		"configured group DN": {byDN, "user0", answers{"uid": {0, found}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {"CN=STAFF," + ldaptest.GroupsDN}})}, "cn": {0, entryOf("CN=STAFF,"+ldaptest.GroupsDN, nil)}, "nsUniqueId": {50, nil}}, fmt.Sprintf("group %q", "cn=staff,"+ldaptest.GroupsDN)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := newAuthenticator(t, c.cfg, &scripted{search: c.answers.search})
			r := a.Authenticate(t.Context(), auth.Credentials{Username: c.username, Password: "password0"})
			requireOutcome(t, auth.DirectoryUnavailable, r)
			require.ErrorContains(t, r.Cause, c.cause)
			require.NotContains(t, r.Cause.Error(), secret)
		})
	}
}

// adOf is an Active Directory whose domain has the short name that netBIOS returns.
func adOf(netBIOS func() string, reads *int) *scripted {
	return &scripted{search: func(req *ldap.SearchRequest) (uint16, []*ldap.Entry) {
		if slices.Contains(req.Attributes, "defaultNamingContext") {
			*reads++
		}
		return answers{
			"defaultNamingContext": {0, entryOf("", map[string][]string{"defaultNamingContext": {ldaptest.BaseDN}, "configurationNamingContext": {"cn=configuration"}})},
			"nETBIOSName":          {0, entryOf("x", map[string][]string{"nETBIOSName": {netBIOS()}})},
			"uid":                  {0, entryOf(ldaptest.UserDN(0), map[string][]string{"uid": {"user0"}})},
		}.search(req)
	}}
}

func TestADDomain_NamesAreReadAgain(t *testing.T) {
	t.Parallel()
	cfg := byFilter()
	cfg.Dialect = named("ad")
	start := func(t *testing.T) (name *string, reads *int, try func(string) auth.Outcome) {
		t.Helper()
		name, reads = new(string), new(int)
		a, _ := newAuthenticator(t, cfg, adOf(func() string { return *name }, reads))
		return name, reads, func(username string) auth.Outcome {
			time.Sleep(time.Millisecond) // of the bubble's clock: the next login begins later
			return a.Authenticate(context.Background(), auth.Credentials{Username: username, Password: "x"}).Outcome
		}
	}
	t.Run("before a name is refused", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			name, reads, try := start(t)
			*name = "OTHER" // once, a hostile or broken server
			require.Equal(t, auth.InvalidUser, try(`EXAMPLE\user0`))
			require.Equal(t, 1, *reads, "a fresh answer is not read twice")
			*name = "EXAMPLE"
			require.Equal(t, auth.OK, try(`EXAMPLE\user0`))
			require.Equal(t, 2, *reads)
			require.Equal(t, auth.OK, try(`EXAMPLE\user0`))
			require.Equal(t, 2, *reads, "a cached answer permits")
		})
	})
	t.Run("after a minute", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			name, reads, try := start(t)
			*name = "OTHER"
			require.Equal(t, auth.OK, try(`OTHER\user0`))
			*name = "EXAMPLE"
			require.Equal(t, auth.OK, try(`OTHER\user0`), "cached")
			time.Sleep(time.Minute) // of the bubble's clock
			require.Equal(t, auth.InvalidUser, try(`OTHER\user0`))
			require.Equal(t, 2, *reads)
		})
	})
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// largeText returns a text that is a part of one of 3 MiB.
func largeText(s string) string { return (s + strings.Repeat("z", 3<<20))[:len(s)] }

// TestLogin_KeepsLittleOfAnEntryWhileItWaits: a thousand logins may wait. It runs alone, since it
// measures memory.
func TestLogin_KeepsLittleOfAnEntryWhileItWaits(t *testing.T) {
	const logins = 20
	waiting, release := make(chan struct{}), make(chan struct{})
	d := &scripted{
		search: func(*ldap.SearchRequest) (uint16, []*ldap.Entry) {
			return 0, []*ldap.Entry{entryOf(largeText(ldaptest.UserDN(0)), map[string][]string{
				largeText("uid"): {largeText("user0")}, "other": {strings.Repeat("z", 3<<20)},
			})}
		},
		bind: func() { waiting <- struct{}{}; <-release },
	}
	a, o := newAuthenticator(t, byFilter(), d)
	before := heap()
	var all sync.WaitGroup
	for range logins {
		all.Go(func() { a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "password0"}) })
	}
	for range logins {
		<-waiting
	}
	kept := heap() - before
	close(release)
	all.Wait()
	require.Less(t, kept, int64(3<<20), "bytes of %d logins", logins)
	for _, l := range o.all() {
		requireOutcome(t, auth.OK, l.result)
		require.Equal(t, ldaptest.UserDN(0), l.result.User.DN)
		require.Equal(t, "user0", l.result.User.Username)
	}
}

// TestLogin_RequestedAttributesAreBounded: above 1 MiB in all they are a fault, also as values or
// attributes without a byte.
func TestLogin_RequestedAttributesAreBounded(t *testing.T) {
	t.Parallel()
	manyAttributes := entryOf(ldaptest.UserDN(0), nil)
	for range 20_000 {
		manyAttributes.Attributes = append(manyAttributes.Attributes, ldap.NewEntryAttribute("mail", nil))
	}
	large := strings.Repeat("z", 600<<10)
	for name, c := range map[string]struct {
		entry *ldap.Entry
		want  auth.Outcome
	}{
		"a photo":         {entryOf(ldaptest.UserDN(0), map[string][]string{"mail": {large}}), auth.OK},
		"two attributes":  {entryOf(ldaptest.UserDN(0), map[string][]string{"mail": {large}, "uid": {large}}), auth.DirectoryUnavailable},
		"two values":      {entryOf(ldaptest.UserDN(0), map[string][]string{"mail": {large, large}}), auth.DirectoryUnavailable},
		"of the state":    {entryOf(ldaptest.UserDN(0), map[string][]string{"loginDisabled": {large, large}}), auth.DirectoryUnavailable},
		"not asked for":   {entryOf(ldaptest.UserDN(0), map[string][]string{"other": {large, large}}), auth.OK},
		"empty values":    {entryOf(ldaptest.UserDN(0), map[string][]string{"mail": make([]string, 100_000)}), auth.DirectoryUnavailable},
		"many attributes": {manyAttributes, auth.DirectoryUnavailable},
		"a DN":            {entryOf("uid="+large+"+cn="+large, nil), auth.DirectoryUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := byFilter()
			cfg.Attributes = []string{"mail"}
			a, _ := newAuthenticator(t, cfg, &scripted{search: func(*ldap.SearchRequest) (uint16, []*ldap.Entry) { return 0, []*ldap.Entry{c.entry} }})
			requireOutcome(t, c.want, a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "password0"}))
		})
	}
}

// TestGroups_CacheKeepsLittle: each login finds another group, in a large entry. It runs alone,
// since it measures memory.
func TestGroups_CacheKeepsLittle(t *testing.T) {
	for name, more := range map[string]string{"long name": strings.Repeat("z", 3<<20), "short name": "z"} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			d := &scripted{search: func(req *ldap.SearchRequest) (uint16, []*ldap.Entry) {
				sid := fmt.Sprint("sid", n.Load())
				return answers{
					"uid":         {0, entryOf(ldaptest.UserDN(0), map[string][]string{"uid": {"user0"}})},
					"tokenGroups": {0, entryOf("x", map[string][]string{"tokenGroups": {sid}})},
					"cn":          {0, entryOf(largeText("cn=staff,ou="+sid), map[string][]string{"objectSid": {sid}, "cn": {largeText("staff"), more}})},
				}.search(req)
			}}
			cfg := inGroups("staff")
			cfg.Dialect, cfg.Groups.Filter = named("ad"), ""
			a, _ := newAuthenticator(t, cfg, d)
			before := heap()
			for range 20 {
				n.Add(1)
				requireOutcome(t, auth.OK, a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "password0"}))
			}
			kept := heap() - before
			require.Less(t, kept, int64(2<<20))
			runtime.KeepAlive(a)
		})
	}
}

// TestGroups_NamesAreBounded: what one login keeps of its groups, in bytes.
func TestGroups_NamesAreBounded(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("z", 3<<20)
	user := entryOf(ldaptest.UserDN(0), map[string][]string{"uid": {"user0"}})
	ipa := inGroups("staff")
	ipa.Dialect, ipa.Groups.Filter, ipa.Groups.Nested = named("freeipa"), "", true
	for name, c := range map[string]struct {
		cfg     auth.Config
		answers answers
		cause   string
	}{
		"names": {inGroups("staff"), answers{"uid": {0, user}, "cn": {0, entryOf("cn=x", map[string][]string{"cn": {"staff", large, large}})}}, "exceed 4 MiB"},
		"names of others": {ipa, answers{"uid": {0, user}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {"cn=y"}})},
			"cn": {0, entryOf("cn=x", map[string][]string{"cn": {"staff", large, large}})}}, "exceed 4 MiB"},
		"memberOf": {ipa, answers{"uid": {0, user}, "memberOf": {0, entryOf("x", map[string][]string{"memberOf": {large}})}}, "exceed 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := newAuthenticator(t, c.cfg, &scripted{search: c.answers.search})
			r := a.Authenticate(t.Context(), auth.Credentials{Username: "user0", Password: "password0"})
			requireOutcome(t, auth.DirectoryUnavailable, r)
			require.ErrorContains(t, r.Cause, c.cause)
		})
	}
}
