package ldappool_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// A login: find the user as the service, then ask whether the password is theirs.
func Example() {
	url, stop := startDirectory()
	defer stop()

	pool, err := ldappool.New(ldappool.Config{
		Servers:      []string{url}, // ldap://ldap1.example.org,ldap://ldap2.example.org
		BindDN:       "cn=service,dc=example,dc=org",
		BindPassword: "service-secret",
	})
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { _ = pool.Close(ctx) }()

	login := func(username, password string) {
		found, err := pool.Search(ctx, ldap.NewSearchRequest(
			"ou=people,dc=example,dc=org", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
			"(uid="+ldap.EscapeFilter(username)+")", []string{"1.1"}, nil))
		switch {
		case err != nil:
			fmt.Println("a fault, which says nothing about the user:", err)
			return
		case found.Code != ldap.LDAPResultSuccess || len(found.Entries) != 1:
			fmt.Println(username, "is not known")
			return
		}
		verdict, err := pool.Bind(ctx, found.Entries[0].DN, password)
		switch {
		case errors.Is(err, ldappool.ErrOverloaded), errors.Is(err, ldappool.ErrUnavailable):
			fmt.Println("ask again later:", err)
		case err != nil:
			fmt.Println("a fault, which says nothing about the password:", err)
		case verdict.Code == ldap.LDAPResultSuccess:
			fmt.Println(username, "is who they say")
		default:
			fmt.Println(username, "is refused:", ldap.LDAPResultCodeMap[verdict.Code])
		}
	}
	login("user1", "password1")
	login("user1", "password2")
	login("nobody", "password")

	// Output:
	// user1 is who they say
	// user1 is refused: Invalid Credentials
	// nobody is not known
}
