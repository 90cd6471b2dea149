package ldapconn_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// A bind with the password policy control, and what an error of it says.
func ExampleConn_Bind() {
	login := func(ctx context.Context, conn *ldapconn.Conn, dn, password string) {
		ppolicy := ldapconn.Control{OID: ldap.ControlTypeBeheraPasswordPolicy}
		r, err := conn.Bind(ctx, time.Now().Add(5*time.Second), dn, password, ppolicy)
		var fault *ldapconn.Fault
		switch {
		case err == nil && r.Code == ldap.LDAPResultSuccess:
			fmt.Println("the password is right")
		case err == nil:
			fmt.Println("the directory answered:", ldap.LDAPResultCodeMap[r.Code])
		case errors.As(err, &fault) && !fault.Sent:
			fmt.Println("nothing was sent, so another connection may be tried:", fault.End.Reason)
		default:
			fmt.Println("a fault, which says nothing about the password:", err)
		}
	}
	_ = login
}

// A template is compiled once. A value needs no escaping, whatever it contains.
func ExampleCompileTemplate() {
	filter, err := ldapconn.CompileTemplate("(|(uid={username})(mail={username}))")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filter.Names())
	search := func(ctx context.Context, conn *ldapconn.Conn, username string) (*ldapconn.SearchResult, error) {
		req := ldap.NewSearchRequest("dc=example,dc=org", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "", nil, nil)
		return conn.Search(ctx, time.Now().Add(5*time.Second), req, filter.Fill(username))
	}
	_ = search
	// Output: [username]
}
