package demo

import (
	_ "embed" // for the sample directory
	"fmt"

	"github.com/go-ldap/ldif"
)

// The sample directory's fixed points.
const (
	// BaseDN is the suffix: everything lives below it.
	BaseDN = "dc=example,dc=org"
	// PeopleDN holds the users.
	PeopleDN = "ou=people," + BaseDN
	// GroupsDN holds the groups, each a groupOfNames.
	GroupsDN = "ou=groups," + BaseDN
	// ServiceDN is the identity that searches for users.
	ServiceDN = "cn=service," + BaseDN
	// ServicePassword is the password of ServiceDN; it is no secret.
	ServicePassword = "service-password"
)

//go:embed directory.ldif
var directoryLDIF string

// LDIF returns the sample directory in the form of RFC 2849. slapadd loads it
// where the schemas core, cosine and inetorgperson are present.
func LDIF() []byte { return []byte(directoryLDIF) }

// User is a sample user that can log in.
type User struct {
	// Username is the entry's uid.
	Username string
	// Password is in the clear: the directory is for demonstration only.
	Password string
	// DN is the entry's name as the LDIF spells it.
	DN string
}

// parseLDIF builds the tree of an LDIF whose first entry is the suffix and in
// which each entry follows its parent.
func parseLDIF(text string) (*tree, error) {
	parsed, err := ldif.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse LDIF: %w", err)
	}
	t := newTree()
	for _, record := range parsed.Entries {
		if record.Entry == nil {
			return nil, fmt.Errorf("parse LDIF: a change record; want entries only")
		}
		if err := t.add(record.Entry); err != nil {
			return nil, fmt.Errorf("parse LDIF: %w", err)
		}
	}
	if len(t.entries) == 0 {
		return nil, fmt.Errorf("parse LDIF: no entry")
	}
	return t, nil
}

// users lists the people that have a password, in the LDIF's order.
func (t *tree) users() []User {
	var users []User
	for _, e := range t.entries {
		uid, password := e.values("uid"), e.values(passwordAttribute)
		if len(uid) == 0 || len(password) == 0 {
			continue
		}
		users = append(users, User{Username: uid[0], Password: password[0], DN: e.dn})
	}
	return users
}
