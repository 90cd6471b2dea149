package dialect

import "strings"

// lldap is LLDAP (github.com/lldap/lldap). Users are right below ou=people of the base DN, as
// uid=NAME, and groups right below ou=groups. Over LDAP its accounts are never locked, disabled or
// expired: a bind succeeds, or is answered with 49 without a word, also if there is no such user.
var lldap = Dialect{
	Name:    "lldap",
	Product: "lldap",
	Defaults: Defaults{
		// Groups have a uid too, their name: below the base DN a user's name could match both.
		UserFilter:  "(&(objectClass=person)(uid={username}))",
		GroupFilter: "(member={dn})",
		// Before version 0.6.0 lldap closes the connection when a control arrives that it does not
		// know.
		PasswordPolicy: "off",
	},
	Groups:          Groups{Below: "ou=groups"},
	IDAttribute:     "entryUUID",
	HidesUnknownDNs: true,

	recognize: func(root RootDSE) bool { return strings.EqualFold(root.First("vendorname"), "LLDAP") },
}
