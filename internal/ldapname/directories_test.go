package ldapname_test

import (
	"flag"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"authsvc/internal/ldapname"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// Without -long every code point is tried at slapd alone. At 389 DS and Samba those are tried that
// a key changes or shares; that takes seconds instead of minutes.
var long = flag.Bool("long", false, "try every code point at 389 DS and Samba too")

// inAName puts a code point between letters, so that no rule about the ends of a name applies.
func inAName(r rune) string { return "q" + string(r) + "q" }

// class is the names that have one CountKey.
type class []string

// classes is computed once for all tests.
var classes = sync.OnceValues(allClasses)

// allClasses returns all names of one code point each, by their CountKey, with their decomposed
// forms and those in other case where these are other names. The classes are in order of their
// first name.
func allClasses() (all []class, codePoints int) {
	index := map[string]int{}
	seen := map[string]bool{}
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		key := ldapname.CountKey(name)
		i, ok := index[key]
		if !ok {
			i = len(all)
			index[key] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], name)
	}
	for r := range rune(utf8.MaxRune + 1) {
		if utf8.ValidRune(r) {
			codePoints++
			for _, name := range variants(inAName(r)) {
				add(name)
			}
		}
	}
	return all, codePoints
}

// variants returns a name and what Unicode makes of it.
func variants(name string) []string {
	list := []string{name}
	r, _ := utf8.DecodeRuneInString(name[1:])
	if norm.NFKD.IsNormalString(name) && unicode.SimpleFold(r) == r {
		return list
	}
	for _, v := range []string{
		norm.NFD.String(name), norm.NFKD.String(name), norm.NFC.String(name), norm.NFKC.String(name), cases.Fold().String(name),
		"q" + strings.ToUpper(name[1:len(name)-1]) + "q", "q" + cases.Upper(language.Und).String(name[1:len(name)-1]) + "q",
		cases.Lower(language.Und).String(name), cases.Lower(language.Turkish).String(name),
	} {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// layers returns lists of the first name of each class, the second, and so on: a directory rejects
// names of one class next to each other if they are one to it.
func layers(all []class) (lists [][]string) {
	for i := 0; ; i++ {
		var names []string
		for _, members := range all {
			if i < len(members) {
				names = append(names, members[i])
			}
		}
		if len(names) == 0 {
			return lists
		}
		lists = append(lists, names)
	}
}

// client is a connection to a directory as somebody who may do anything there.
type client struct {
	t *testing.T
	*ldap.Conn
	parent    string // of the entries made
	objects   []string
	attribute string // has many values, compared without case
	together  int    // how many names requireNeverCoarser stores and looks for at once
}

func dial(t *testing.T, url, user, password string) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Bind(user, password))
	return c
}

func (c *client) dn(name string) string { return "cn=" + name + "," + c.parent }

// add makes an entry with these values, and returns the error.
func (c *client) add(name string, values []string) error {
	req := ldap.NewAddRequest(c.dn(name), nil)
	req.Attribute("objectClass", c.objects)
	req.Attribute(c.attribute, values)
	return c.Add(req)
}

// matches returns the entries that a filter matches, by their DN.
func (c *client) matches(base string, scope int, filter string) []string {
	c.t.Helper()
	r, err := c.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, []string{"1.1"}, nil))
	require.NoError(c.t, err)
	var dns []string
	for _, e := range r.Entries {
		dns = append(dns, strings.ToLower(e.DN))
	}
	return dns
}

// equalTo is the filter for entries that have this value.
func (c *client) equalTo(value string) string {
	return "(" + c.attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// requireNeverFinerInOneEntry checks that the directory keeps names apart whose CountKeys differ,
// at a directory that rejects a value which equals another of the entry. Within a class it finds
// the names that the directory keeps apart. One entry then has to take all of these of all classes.
func (c *client) requireNeverFinerInOneEntry(all []class) {
	c.t.Helper()
	var values []string
	apart := 0
	for i, names := range all {
		values = append(values, names[0])
		if len(names) == 1 {
			continue
		}
		name := fmt.Sprint("class", i)
		require.NoError(c.t, c.add(name, names[:1]))
		filter := "(&" + strings.Join(mapped(names[1:], c.equalTo), "") + ")"
		if len(c.matches(c.dn(name), ldap.ScopeBaseObject, filter)) == 1 {
			continue // all of them equal the first
		}
		for _, n := range names[1:] {
			req := ldap.NewModifyRequest(c.dn(name), nil)
			req.Add(c.attribute, []string{n})
			err := c.Modify(req)
			if ldap.IsErrorWithCode(err, ldap.LDAPResultAttributeOrValueExists) {
				continue
			}
			require.NoError(c.t, err, "%q", n)
			values = append(values, n)
			apart++
		}
	}
	c.t.Logf("%d names are one to CountKey and more to the directory", apart)
	if c.rejects(values) {
		c.reportPair(values)
	}
}

// notOf returns the entries that have one of the names and whose DN does not begin with own.
func (c *client) notOf(own string, names ...string) []string {
	c.t.Helper()
	found := c.matches(c.parent, ldap.ScopeSingleLevel, "(|"+strings.Join(mapped(names, c.equalTo), "")+")")
	return slices.DeleteFunc(found, func(dn string) bool { return strings.HasPrefix(dn, own) })
}

// reportPair fails the test for the first two of the values that are one to the directory, and
// returns the index of the second.
func (c *client) reportPair(values []string) (n int) {
	c.t.Helper()
	n = sort.Search(len(values), func(n int) bool { return c.rejects(values[:n+1]) }) // values[n] equals one before it
	m := sort.Search(n, func(m int) bool { return c.rejects(append(values[:m+1:m+1], values[n])) })
	one, other := values[m], values[n]
	c.t.Errorf("%+q and %+q are one to the directory and not to CountKey, which has %+q and %+q", one, other, ldapname.CountKey(one), ldapname.CountKey(other))
	return n
}

// rejects reports whether two of the values are one to the directory.
func (c *client) rejects(values []string) bool {
	c.t.Helper()
	err := c.add("all", values)
	if ldap.IsErrorWithCode(err, ldap.LDAPResultAttributeOrValueExists) {
		return true
	}
	require.NoError(c.t, err)
	require.NoError(c.t, c.Del(ldap.NewDelRequest(c.dn("all"), nil)))
	return false
}

// digraphs have three cases. 389 DS makes a small letter of each in turn, so that an assertion
// about a DN, which it folds twice, does not match. As an entry's DN it takes both spellings for
// one.
const digraphs = "ǄǅǆǇǈǉǊǋǌǱǲǳ"

// chunk is how many names one search is about.
const chunk = 100

// requireNeverCoarser checks that the directory takes all names for one that have one PermitKey,
// and the DNs with one PermitDNKey: each name is stored as it is, and looked for in other
// spellings.
func (c *client) requireNeverCoarser(all []class, dnAttribute string) (tried int) {
	c.t.Helper()
	for _, names := range layers(all) {
		for stored := range slices.Chunk(names, c.together) {
			entry := fmt.Sprint("permit", tried)
			req := ldap.NewAddRequest(c.dn(entry), nil)
			req.Attribute("objectClass", c.objects)
			req.Attribute(c.attribute, stored)
			if dnAttribute != "" {
				req.Attribute(dnAttribute, mapped(stored, plainDN))
			}
			require.NoError(c.t, c.Add(req))
			var filters []string
			for _, name := range stored {
				filters = append(filters, c.equalTo(respelt(name)))
				require.Equal(c.t, ldapname.PermitKey(name), ldapname.PermitKey(respelt(name)))
				if dnAttribute != "" && !strings.ContainsAny(name, digraphs) {
					filters = append(filters, "("+dnAttribute+"="+ldap.EscapeFilter(respeltDN(name))+")")
					require.Equal(c.t, ldapname.PermitDNKey(plainDN(name)), ldapname.PermitDNKey(respeltDN(name)))
				}
			}
			matches := func(filter string) bool { return len(c.matches(c.dn(entry), ldap.ScopeBaseObject, filter)) == 1 }
			if !matches("(&" + strings.Join(filters, "") + ")") {
				for _, filter := range filters {
					assert.True(c.t, matches(filter), "%+q has one permit key with a name that is another to the directory", filter)
				}
			}
			tried += len(stored)
		}
	}
	return tried
}

func mapped(list []string, f func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = f(s)
	}
	return out
}

// respelt is a name in the other case of ASCII.
func respelt(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// plainDN is a DN with a name in it.
func plainDN(name string) string {
	return ldapname.CanonicalDN("cn=" + escaped(name) + ",dc=example,dc=org")
}

// respeltDN is the same DN with each byte of the name escaped but spaces, in other case and with
// spaces around separators.
func respeltDN(name string) string {
	var b strings.Builder
	for _, c := range []byte(respelt(name)) {
		if c == ' ' {
			b.WriteString(`\ `)
		} else {
			fmt.Fprintf(&b, `\%02X`, c)
		}
	}
	return "CN = " + b.String() + " , DC=Example,dc = ORG"
}

func TestKeys_HoldForEveryCodePointAtSlapd(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{ExtraGlobal: "sockbuf_max_incoming_auth 67108864", ExtraDatabase: "envflags nosync writemap"})
	c := &client{t, dial(t, s.URL(), ldaptest.RootDN, ldaptest.RootPassword), ldaptest.GroupsDN, []string{"device"}, "description", 100}
	all, codePoints := classes()
	c.requireNeverFinerInOneEntry(all)
	names := c.requireNeverCoarser(all, "seeAlso")
	t.Logf("slapd: %d code points, %d names", codePoints, names)
	c.requireNeverFinerInSequences(2, 20000, ldapname.CountKey)
}

func TestKeys_HoldAt389DS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	c := &client{t, dial(t, s.URL(), ldaptest.DirectoryManagerDN, ldaptest.RootPassword), ldaptest.GroupsDN, []string{"device"}, "cn", 25}
	all := tried()
	c.requireNeverFiner(all)
	t.Logf("389 DS: %d names", c.requireNeverCoarser(all, "seeAlso"))
	c.attribute = "description" // which has no index
	c.requireNeverFinerInSequences(4, 2000, ldapname.CountKey)
}

func TestKeys_HoldAtSamba(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	c := &client{t, dial(t, s.URL(), ldaptest.SambaAdmin, ldaptest.SambaAdminPassword), ldaptest.SambaBaseDN, []string{"contact"}, "proxyAddresses", 25}
	all := tried()
	c.requireNeverFiner(all)
	t.Logf("Samba: %d names", c.requireNeverCoarser(all, ""))
	c.requireNeverFinerInSequences(2, 600, ldapname.CountKeyAD)
}

// tried returns the classes that are tried at the slower directories.
func tried() []class {
	all, _ := classes()
	if *long {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(c class) bool { return len(c) == 1 })
}

// requireNeverFiner checks that the directory keeps names apart whose CountKeys differ, with
// searches. It stores blocks of classes, and looks for the names of each block: no entry of another
// block may match. It does so twice with the classes in other order, so that two classes of one
// block are in different blocks the other time.
func (c *client) requireNeverFiner(all []class) {
	c.t.Helper()
	const size = 500
	blocks := (len(all) + size - 1) / size
	for order, place := range map[string]func(i int) int{
		"consecutive": func(i int) int { return i / size },
		"strided":     func(i int) int { return i % blocks },
	} {
		in := *c
		in.parent = "ou=" + order + "," + c.parent
		unit := ldap.NewAddRequest(in.parent, nil)
		unit.Attribute("objectClass", []string{"organizationalUnit"})
		require.NoError(c.t, c.Add(unit))
		lists := make([][]class, blocks)
		for i, names := range all {
			lists[place(i)] = append(lists[place(i)], names)
		}
		for i, list := range lists {
			for layer, names := range layers(list) {
				err := in.add(fmt.Sprintf("block%d-%d", i, layer), names)
				for ldap.IsErrorWithCode(err, ldap.LDAPResultAttributeOrValueExists) {
					n := in.reportPair(names)
					names = slices.Delete(names, n, n+1)
					err = in.add(fmt.Sprintf("block%d-%d", i, layer), names)
				}
				require.NoError(c.t, err)
			}
		}
		for i, list := range lists {
			own := fmt.Sprintf("cn=block%d-", i)
			for _, names := range layers(list) {
				for part := range slices.Chunk(names, chunk) {
					strange := in.notOf(own, part...)
					for i := 0; len(strange) > 0 && i < len(part); i++ {
						if where := in.notOf(own, part[i]); len(where) > 0 {
							c.t.Errorf("%+q is one with a name in %s to the directory and not to CountKey", part[i], where)
						}
					}
				}
			}
		}
	}
}
