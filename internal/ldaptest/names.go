package ldaptest

import "strconv"

// The tree that [StartSlapd] and [NewDirectory] serve.
const (
	// BaseDN is the suffix of the tree.
	BaseDN = "dc=example,dc=org"
	// PeopleDN is the parent of the users.
	PeopleDN = "ou=people," + BaseDN
	// GroupsDN is an empty parent for groups.
	GroupsDN = "ou=groups," + BaseDN
	// ServiceDN may read everything but the passwords.
	ServiceDN = "cn=service," + BaseDN
	// ServicePassword belongs to ServiceDN.
	ServicePassword = "service-secret"
	// RootDN is slapd's rootdn: no access rule, limit or overlay binds it.
	RootDN = "cn=admin," + BaseDN
	// RootPassword belongs to RootDN.
	RootPassword = "root-secret"
)

// Username is the uid of the i-th user, counted from 0: "user0".
func Username(i int) string { return "user" + strconv.Itoa(i) }

// UserDN is the DN of the i-th user: "uid=user0,ou=people,dc=example,dc=org".
func UserDN(i int) string { return "uid=" + Username(i) + "," + PeopleDN }

// Password is the password of the i-th user: "password0".
func Password(i int) string { return "password" + strconv.Itoa(i) }
