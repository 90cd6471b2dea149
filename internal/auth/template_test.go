package auth

import (
	"strings"
	"testing"
	"unicode/utf8"

	"authsvc/internal/ldapname"
	"authsvc/ldappool/ldapconn"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// node is a filter as a directory sees it (RFC 4511 section 4.5.1): an operator with its operands,
// or octets.
type node struct {
	tag      ber.Tag
	children []node
	octets   string
}

func and(of ...node) node { return node{tag: ldap.FilterAnd, children: of} }
func or(of ...node) node  { return node{tag: ldap.FilterOr, children: of} }
func not(of node) node    { return node{tag: ldap.FilterNot, children: []node{of}} }

func octets(s string) node { return node{tag: ber.TagOctetString, octets: s} }

func equal(name, value string) node {
	return node{tag: ldap.FilterEqualityMatch, children: []node{octets(name), octets(value)}}
}

func present(name string) node { return node{tag: ldap.FilterPresent, octets: name} }

func begins(name, value string) node {
	initial := node{tag: ldap.FilterSubstringsInitial, octets: value}
	return node{tag: ldap.FilterSubstrings, children: []node{octets(name), {tag: ber.TagSequence, children: []node{initial}}}}
}

func inChain(name, rule, value string) node {
	return node{tag: ldap.FilterExtensibleMatch, children: []node{
		{tag: ldap.MatchingRuleAssertionMatchingRule, octets: rule},
		{tag: ldap.MatchingRuleAssertionType, octets: name},
		{tag: ldap.MatchingRuleAssertionMatchValue, octets: value},
	}}
}

// count is how often the octets are somewhere in the filter.
func (n node) count(octets string) int {
	total := 0
	if len(n.children) == 0 && n.octets == octets {
		total++
	}
	for _, c := range n.children {
		total += c.count(octets)
	}
	return total
}

// sentText is what a directory reads when a filter of that text is sent to it.
func sentText(t *testing.T, filter string) node {
	t.Helper()
	compiled, err := ldapconn.CompileFilter(filter)
	require.NoError(t, err, "%q", filter)
	return sent(t, compiled)
}

// sent is what a directory reads of a filter.
func sent(t *testing.T, filter ldapconn.Filter) node {
	t.Helper()
	packet, err := ber.DecodePacketErr(filter.Bytes())
	require.NoError(t, err)
	return read(packet)
}

func read(p *ber.Packet) node {
	n := node{tag: p.Tag}
	if p.TagType == ber.TypePrimitive {
		n.octets = p.Data.String()
		return n
	}
	for _, c := range p.Children {
		n.children = append(n.children, read(c))
	}
	return n
}

// filters are templates with what they are to become.
var filters = []struct {
	template string
	want     func(name string) node
}{
	{"(uid={username})", func(name string) node { return equal("uid", name) }},
	{"(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))", func(name string) node {
		return and(equal("objectCategory", "person"), equal("objectClass", "user"),
			or(equal("sAMAccountName", name), equal("userPrincipalName", name)))
	}},
	{"(&(mail={username}@example.org)(!(uid={username}))(uid=*))", func(name string) node {
		return and(equal("mail", name+"@example.org"), not(equal("uid", name)), present("uid"))
	}},
	{"(mail={username}*)", func(name string) node { return begins("mail", name) }},
	{"(member:1.2.840.113556.1.4.1941:={username})", func(name string) node {
		return inChain("member", "1.2.840.113556.1.4.1941", name)
	}},
}

// hostileNames have whatever filters and DNs treat as special, and attempts to break out of one.
var hostileNames = []string{
	"user0", "*", "**", "(", ")", `\`, `\\`, "\x00", "a\x00b", "a*b", `\2a`, `\5c2a`, `a\`, "#", "#04024869", "##", " ", "  ", " a", "a ", " a ", "a  b",
	`"`, `"a"`, "+", ",", ";", "<", ">", "=", "a=b", "a+b=c", "a,b=c", "/", "|", "&", "!", "~", ":", ":=", ":dn:=", "{username}", "{", "%s", "$0", "\n", "\r\n", "a\nb", "\t", "\x7f",
	"\u0085", "\u00a0", "\u2028", "\ufeff", "\ufffd", "ä", "ÄÖÜß", "u\u0308", "🙂", "👩\u200d💻", "\U0010ffff", "（＊）", "，", "＝",
	"*)(uid=*", "*)(|(uid=*", "x)(objectClass=*))(&(uid=x", "x))(|(uid=*", "user0,ou=people", "x,uid=user0", "x+cn=y", `x\,ou=y`, `x\2c`, "x;y", "<GUID=1>", "cn=service,dc=example,dc=org",
}

func FuzzFilterTemplate(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name)
	}
	f.Add("\xff")
	f.Add("a\xc3")
	f.Add("\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			t.Skip("Validate refuses it")
		}
		for _, c := range filters {
			template, err := parseFilter(c.template)
			require.NoError(t, err)
			got := sent(t, template.fill(name, ""))
			require.Equal(t, c.want(name), got, "%q in %s", name, c.template)
		}
		// The count is of a template in which nothing else can be taken for the name.
		template, err := parseFilter("(&(0.0={username})(0.1=0.2))")
		require.NoError(t, err)
		got := sent(t, template.fill(name, ""))
		if !strings.HasPrefix(name, "0.") {
			require.Equal(t, 1, got.count(name), "%q", name)
		}
	})
}

// pair is an attribute type with its value; an RDN is one or more of them.
type pair struct{ name, value string }

// dnTemplates are templates with what they are to become.
var dnTemplates = []struct {
	template string
	want     func(name string) [][]pair
}{
	{"uid={username}", func(name string) [][]pair { return [][]pair{{{"uid", name}}} }},
	{"uid={username},ou=people,dc=example,dc=org", func(name string) [][]pair {
		return [][]pair{{{"uid", name}}, {{"ou", "people"}}, {{"dc", "example"}}, {{"dc", "org"}}}
	}},
	{`cn={username}+sn=x,ou=a\,b,o={username}`, func(name string) [][]pair {
		return [][]pair{{{"cn", name}, {"sn", "x"}}, {{"ou", "a,b"}}, {{"o", name}}}
	}},
	{"mail=x{username}@example.org,dc=org", func(name string) [][]pair {
		return [][]pair{{{"mail", "x" + name + "@example.org"}}, {{"dc", "org"}}}
	}},
}

func FuzzDNTemplate(f *testing.F) {
	for _, name := range hostileNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || !utf8.ValidString(name) {
			t.Skip("Validate refuses it")
		}
		for _, c := range dnTemplates {
			template, err := parseDNTemplate(c.template)
			require.NoError(t, err)
			require.Equal(t, c.want(name), rdns(t, template.fill(name)), "%q in %s", name, c.template)
		}
	})
}

// rdns takes a DN apart.
func rdns(t *testing.T, text string) [][]pair {
	t.Helper()
	dn, err := ldap.ParseDN(text)
	require.NoError(t, err, "%q", text)
	var all [][]pair
	for _, rdn := range dn.RDNs {
		var pairs []pair
		for _, a := range rdn.Attributes {
			pairs = append(pairs, pair{a.Type, a.Value})
		}
		all = append(all, pairs)
	}
	return all
}

func TestDNTemplate_EscapesValuesByRFC4514(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"user0":                    "user0",
		"James \"Jim\" Smith, III": `James \"Jim\" Smith\, III`, // section 4 of the RFC, but for the case
		"Before\rAfter":            `Before\0dAfter`,
		"Lučić":                    "Lučić",
		`+,;<>="\`:                 `\+\,\;\<\>\=\"\\`,
		"#a#":                      `\#a#`,
		" a b ":                    `\ a b\ `,
		" ":                        `\ `,
		"  ":                       `\ \ `,
		"\x00\n\x1f\x7f":           `\00\0a\1f\7f`,
		"🙂":                        "🙂",
	} {
		require.Equal(t, want, ldapname.EscapeValue(value), "%q", value)
	}
}

func TestDNTemplate_RejectsAnInvalidTemplate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ filter, dn, want string }{
		"a filter without the placeholder":       {filter: "(uid=user0)", want: "has no {username}"},
		"a filter with another placeholder":      {filter: "(uid={user})", want: "has no {username}"},
		"a filter without brackets":              {filter: "uid={username}", want: "uid={username}"},
		"a filter that does not end":             {filter: "(&(uid={username})", want: "unexpected end"},
		"a filter and more":                      {filter: "(uid={username}))", want: "(uid={username}))"},
		"two filters":                            {filter: "(uid={username})(uid=*)", want: "(uid={username})(uid=*)"},
		"a filter with half an escape":           {filter: `(uid=\{username})`, want: `uid=`},
		"a filter that is the name":              {filter: "({username})", want: "({username})"},
		"a DN without the placeholder":           {dn: "uid=user0,dc=org", want: "has no {username}"},
		"a DN that is the name":                  {dn: "{username}", want: "not a DN"},
		"a DN whose first part is the name":      {dn: "{username},dc=org", want: "not a DN"},
		"a DN with a part that is none":          {dn: "uid={username},org", want: "not a DN"},
		"a DN that ends in a comma":              {dn: "uid={username},", want: "not a DN"},
		"a DN whose value is hexadecimal BER":    {dn: "uid=#{username}", want: "not a DN"},
		"a DN in which a backslash is before it": {dn: `uid=\{username}`, want: "not a DN"},
		"a DN with quotes as RFC 2253 had them":  {dn: `uid="{username}",dc=org`, want: "not a DN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseDNTemplate(c.dn)
			if c.filter != "" {
				_, err = parseFilter(c.filter)
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
