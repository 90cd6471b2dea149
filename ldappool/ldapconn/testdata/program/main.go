// Program is a user of ldapconn in a module of its own: it looks one user up, checks the password,
// and waits until the connection ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(url, base, username, password string) error {
	to, err := ldapconn.ParseURL(url)
	if err != nil {
		return err
	}
	filter, err := ldapconn.CompileTemplate("(&(objectClass=person)(uid={username}))")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := ldapconn.Dial(ctx, to, ldapconn.Options{})
	if err != nil {
		return err
	}
	defer conn.Close()
	search := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false, "", []string{"1.1"}, nil)
	found, err := conn.Search(ctx, time.Time{}, search, filter.Fill(username))
	if err != nil {
		return err
	}
	if found.Code != ldap.LDAPResultSuccess || len(found.Entries) != 1 {
		return fmt.Errorf("%d entries, code %d", len(found.Entries), found.Code)
	}
	verdict, err := conn.Bind(ctx, time.Time{}, found.Entries[0].DN, password)
	if err != nil {
		return err
	}
	fmt.Println(ldap.LDAPResultCodeMap[verdict.Code])
	<-conn.Done()
	end, _ := errors.AsType[*ldapconn.EndError](conn.Err())
	fmt.Println("ended:", end.Reason)
	return nil
}
