package dialect

import (
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// ExampleAttributes are the attributes that ExampleRank reads.
func ExampleAttributes() []string {
	return []string{"objectClass", "sAMAccountName", "isCriticalSystemObject", "servicePrincipalName", "userAccountControl", "givenName", "mail"}
}

// ExampleRank orders entries by how well they serve as an example of a user; the lowest serves
// best. It is the same for every kind of directory: the preset may be wrong.
func ExampleRank(e *ldap.Entry) int {
	has := func(name string) bool { return e.GetEqualFoldAttributeValue(name) != "" }
	is := func(class string) bool {
		return slices.ContainsFunc(e.GetEqualFoldAttributeValues("objectClass"), func(c string) bool { return strings.EqualFold(c, class) })
	}
	control, _ := accountControl(e)
	switch {
	case is("computer"), isComputerName(e.GetEqualFoldAttributeValue("sAMAccountName")):
		return 4 // a machine
	case isTrue(e, "isCriticalSystemObject"), has("servicePrincipalName"), control&uacAccountDisable != 0:
		return 3 // an account of the directory itself or of a service, or a disabled one
	case has("givenName"), has("mail"):
		return 0
	case is("person"), is("organizationalPerson"), is("inetOrgPerson"), is("posixAccount"): // a server need not list superior classes
		return 1
	}
	return 2
}
