package dialect

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// Domain is what an Active Directory says of itself. [Dialect.AccountAttribute] says whether a
// directory has one.
type Domain struct {
	Root    string // DN of the domain, which holds its users and groups
	DNS     string // its DNS name: ad.example.org
	NetBIOS string // its short name, which stands before the backslash: AD
}

// The errors of ReadDomain for a directory that is none of Microsoft's, or that may not be read.
var (
	errNoDomain     = errors.New("the root DSE has no defaultNamingContext or configurationNamingContext: check LDAP_PRESET")
	errNoPartitions = errors.New("no crossRef with a nETBIOSName below CN=Partitions is the domain's: check that the service identity may read it")
)

// Search runs a search of which all entries are needed. searched names in an error what was
// searched.
type Search func(ctx context.Context, searched string, req *ldap.SearchRequest) ([]*ldap.Entry, error)

// ReadDomain reads the domain's names. An error of search is returned as it is.
func ReadDomain(ctx context.Context, search Search) (Domain, error) {
	entries, err := search(ctx, "root DSE", ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)",
		[]string{"defaultNamingContext", "configurationNamingContext"}, nil))
	if err != nil {
		return Domain{}, err
	}
	var root, configuration string
	if len(entries) == 1 {
		root = entries[0].GetEqualFoldAttributeValue("defaultNamingContext")
		configuration = entries[0].GetEqualFoldAttributeValue("configurationNamingContext")
	}
	parsed, err := ldapname.ParseDN(root)
	if root == "" || configuration == "" || err != nil {
		return Domain{}, errNoDomain
	}
	// MS-ADTS 6.1.1.2.1.1: every domain of the forest has its crossRef.
	entries, err = search(ctx, "CN=Partitions of the configuration naming context", ldap.NewSearchRequest("CN=Partitions,"+configuration,
		ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 2, 0, false,
		"(&(objectClass=crossRef)(nETBIOSName=*)(nCName="+ldap.EscapeFilter(root)+"))", []string{"nETBIOSName"}, nil))
	if err != nil {
		return Domain{}, err
	}
	if len(entries) != 1 {
		return Domain{}, errNoPartitions
	}
	return Domain{Root: strings.Clone(root), DNS: ldapname.DNSName(parsed), NetBIOS: strings.Clone(entries[0].GetEqualFoldAttributeValue("nETBIOSName"))}, nil
}

// IsQualified reports whether a name may have a domain in it, so that only the domain's names say
// what it means.
func (d *Dialect) IsQualified(username string) bool {
	return d.AccountAttribute != "" && strings.ContainsAny(username, `\@`)
}

// Name is how a directory reads a name that was typed. At least one of its fields is not empty.
type Name struct {
	Typed   string // the whole of it, which the user filter looks for
	Account string // the part that is an account's name in the domain, and only that
}

// Parse reads a name as it is typed at an Active Directory (MS-ADTS 5.1.1.1.1):
//
//   - DOMAIN\name is the account of that sAMAccountName, and of no other attribute. Another
//     domain's name is nobody's: false.
//   - name@suffix is whatever the filter finds by the whole of it, a userPrincipalName. With the
//     domain's DNS name as its suffix it is the sAMAccountName name too, which every account has as
//     an implicit userPrincipalName and no attribute holds.
//   - anything else is what the filter finds.
func (d Domain) Parse(username string) (n Name, ok bool) {
	if prefix, account, ok := strings.Cut(username, `\`); ok {
		if account == "" || d.NetBIOS == "" || ldapname.PermitKey(prefix) != ldapname.PermitKey(d.NetBIOS) {
			return Name{}, false
		}
		return Name{Account: account}, true
	}
	n = Name{Typed: username}
	at := strings.LastIndexByte(username, '@')
	if at > 0 && d.DNS != "" && ldapname.PermitKey(username[at+1:]) == ldapname.PermitKey(d.DNS) {
		n.Account = username[:at]
	}
	return n, true
}

// AccountKey returns the key of the account's own name: what is left of a name's [Dialect.NameKey]
// without this domain's name.
func (d Domain) AccountKey(key string) string {
	if prefix, name, ok := strings.Cut(key, `\`); ok && name != "" && prefix == ldapname.CountKeyAD(d.NetBIOS) {
		return name
	}
	if at := strings.LastIndexByte(key, '@'); at > 0 && key[at+1:] == ldapname.CountKeyAD(d.DNS) {
		return key[:at]
	}
	return key
}

// Placeholders of filters and templates.
const (
	Placeholder   = "{username}" // the name that was typed; in a group filter the user's own name
	DNPlaceholder = "{dn}"       // in a group filter the DN of the user, or of a group whose own groups are looked for
)

// PrincipalSuffix returns what follows the name in a template that makes a user principal name,
// {username}@example.org, which AD takes in place of a DN ([MS-ADTS] section 5.1.1.1.1). ok is
// false for other templates, and at other directories.
func (d *Dialect) PrincipalSuffix(template string) (suffix string, ok bool) {
	suffix, ok = strings.CutPrefix(template, Placeholder)
	domain, isDomain := strings.CutPrefix(suffix, "@")
	ok = ok && isDomain && d.AccountAttribute != "" && domain != "" && !strings.ContainsFunc(domain, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return suffix, ok
}

// ErrNotAccount is the error of PrincipalName for a name that would make a bind name of another
// form: AD reads DOMAIN\name, name@domain, canonical names and service principals with slashes, and
// DNs.
var ErrNotAccount = errors.New(`username: must not contain @ \ / or =`)

// ErrMachine is the error for the name or the entry of a machine.
var ErrMachine = errors.New("the entry is a computer, not a user")

// CheckPrincipal returns what is wrong with a name that a user principal name is to be made of:
// ErrNotAccount or ErrMachine.
func CheckPrincipal(name string) error {
	key := ldapname.CountKeyAD(name) // AD takes the wide forms of characters for them
	switch {
	case strings.ContainsAny(key, `@\/=`):
		return ErrNotAccount
	case isComputerName(key):
		return ErrMachine
	}
	return nil
}
