package auth

import (
	"errors"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// errOtherDomain is the cause of an unknown user.
var errOtherDomain = errors.New("the name is of another domain")

// qualified tells whether a name may have a domain in it, so that the domain's names must be known to make a filter.
func qualified(username string) bool { return strings.ContainsAny(username, `\@`) }

// adFilter makes the filter for a name as it is typed at an Active Directory (MS-ADTS 5.1.1.1.1):
//
//   - DOMAIN\name is the account of that sAMAccountName, and of no other attribute. Another domain's name is nobody's: false.
//   - name@suffix is whatever the template finds by the whole of it, a userPrincipalName. With the domain's DNS name as its
//     suffix it is the sAMAccountName name too, which every account has as an implicit userPrincipalName and no attribute holds.
//   - anything else is what the template finds.
//
// Each part stands in the filter as one assertion value, whatever it contains.
func adFilter(template filterTemplate, username string, d adDomain) (string, bool) {
	if prefix, name, ok := strings.Cut(username, `\`); ok {
		if name == "" || d.netBIOS == "" || !strings.EqualFold(prefix, d.netBIOS) {
			return "", false
		}
		return byAccount(template, name), true
	}
	at := strings.LastIndexByte(username, '@')
	if at <= 0 || d.dns == "" || !strings.EqualFold(username[at+1:], d.dns) {
		return template.fill(username), true
	}
	return "(|" + template.fill(username) + byAccount(template, username[:at]) + ")", true
}

// byAccount finds what the template finds, if name is its sAMAccountName and not only another attribute's value.
func byAccount(template filterTemplate, name string) string {
	return "(&" + template.fill(name) + "(sAMAccountName=" + ldap.EscapeFilter(name) + "))"
}
