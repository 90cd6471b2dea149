// A program of another module that uses ldappool: it reads "username password" from each line and
// says whose it is.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

func main() {
	pool, err := ldappool.New(ldappool.Config{Servers: os.Args[1:2], BindDN: os.Args[2], BindPassword: os.Args[3]})
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var username, password string
		_, _ = fmt.Sscan(lines.Text(), &username, &password)
		fmt.Println(login(context.Background(), pool, os.Args[4], username, password))
	}
	fmt.Println("closed:", pool.Close(context.Background()))
}

func login(ctx context.Context, pool *ldappool.Pool, base, username, password string) string {
	found, err := pool.Search(ctx, ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		"(uid="+ldap.EscapeFilter(username)+")", []string{"1.1"}, nil))
	if err != nil {
		return "fault: " + err.Error()
	}
	if found.Code != ldap.LDAPResultSuccess || len(found.Entries) != 1 {
		return "unknown"
	}
	verdict, err := pool.Bind(ctx, found.Entries[0].DN, password)
	if err != nil {
		return "fault: " + err.Error()
	}
	return ldap.LDAPResultCodeMap[verdict.Code]
}
