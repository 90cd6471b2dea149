package ldappool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// exampleConfig is what every example connects with.
func exampleConfig(servers ...string) ldappool.Config {
	return ldappool.Config{Servers: servers, BindDN: "cn=service,dc=example,dc=org", BindPassword: "service-secret"}
}

// What the directory answered is a result, whatever its code; an error is a fault.
func ExamplePool_Search() {
	url, stop := startDirectory()
	defer stop()
	ctx := context.Background()
	pool, err := ldappool.New(exampleConfig(url))
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	for _, base := range []string{"ou=people,dc=example,dc=org", "ou=nowhere,dc=example,dc=org"} {
		found, err := pool.Search(ctx, ldap.NewSearchRequest(
			base, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 0, 0, false, "(|(uid=user1)(uid=user2))", []string{"mail"}, nil))
		if err != nil {
			fmt.Println("a fault:", err)
			return
		}
		fmt.Println(ldap.LDAPResultCodeMap[found.Code])
		for _, entry := range found.Entries {
			fmt.Println(entry.DN, entry.GetAttributeValue("mail"))
		}
	}

	// Output:
	// Success
	// uid=user1,ou=people,dc=example,dc=org user1@example.org
	// uid=user2,ou=people,dc=example,dc=org user2@example.org
	// No Such Object
}

// The result's code is the verdict on a password. An empty password, which a directory lets pass as
// nobody's, is not sent.
func ExamplePool_Bind() {
	url, stop := startDirectory()
	defer stop()
	ctx := context.Background()
	pool, err := ldappool.New(exampleConfig(url))
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	for _, password := range []string{"password1", "password2", ""} {
		verdict, err := pool.Bind(ctx, "uid=user1,ou=people,dc=example,dc=org", password)
		switch {
		case errors.Is(err, ldappool.ErrInvalidRequest):
			fmt.Println("not sent")
		case err != nil:
			fmt.Println("a fault, which says nothing about the password:", err)
		default:
			fmt.Println(ldap.LDAPResultCodeMap[verdict.Code])
		}
	}

	// Output:
	// Success
	// Invalid Credentials
	// not sent
}

// A snapshot has gauges of now (Idle, InUse, Waiting, Conns, ...) and counters since the start
// (Dials, Retired, ...).
func ExamplePool_Stat() {
	url, stop := startDirectory()
	defer stop()
	ctx := context.Background()
	cfg := exampleConfig(url)
	cfg.MinIdleConns = -1 // none but those that callers need
	pool, err := ldappool.New(cfg)
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	for range 3 {
		if _, err := pool.Bind(ctx, "uid=user1,ou=people,dc=example,dc=org", "password1"); err != nil {
			fmt.Println("a fault:", err)
		}
	}
	stat := pool.Stat()
	fmt.Printf("binds got a connection %d times, %d is idle, %d in use\n", stat.Bind.Acquired, stat.Bind.Idle, stat.Bind.InUse)
	for _, server := range stat.Servers {
		fmt.Printf("the server is %v, with %d connections\n", server.State, server.Conns)
	}
	_ = pool.Close(ctx)
	fmt.Println("closed with the pool:", pool.Stat().Retired[ldappool.RetiredClosed])

	// Output:
	// binds got a connection 3 times, 1 is idle, 0 in use
	// the server is usable, with 2 connections
	// closed with the pool: 2
}

// Hooks report events, for example to metrics: several goroutines call them at once, and they must
// not block.
func ExampleTrace() {
	url, stop := startDirectory()
	defer stop()
	ctx := context.Background()
	var mu sync.Mutex
	dialed, retired := map[ldappool.Lane]int{}, map[ldappool.RetireReason]int{}
	cfg := exampleConfig(url)
	cfg.MinIdleConns = -1
	cfg.Trace = ldappool.Trace{
		Operated: func(_ context.Context, e ldappool.OperationEvent) { // in the caller's goroutine
			fmt.Println(e.Op, ldap.LDAPResultCodeMap[e.Code], e.Err)
		},
		Dialed: func(e ldappool.DialEvent) {
			mu.Lock()
			defer mu.Unlock()
			dialed[e.Lane]++
		},
		Retired: func(e ldappool.RetireEvent) {
			mu.Lock()
			defer mu.Unlock()
			retired[e.Reason]++
		},
	}
	pool, err := ldappool.New(cfg)
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	for _, password := range []string{"password1", "password2"} {
		_, _ = pool.Bind(ctx, "uid=user1,ou=people,dc=example,dc=org", password)
	}
	_ = pool.Close(ctx)
	fmt.Println(dialed, retired)

	// Output:
	// bind Success <nil>
	// bind Invalid Credentials <nil>
	// map[bind:1 search:1] map[pool_closed:2]
}

// Servers are tried in their order: the first that is usable serves. New waits for none of them.
func ExampleNew_servers() {
	first, stop := startDirectory()
	stop() // it is away
	second, stop := startDirectory()
	defer stop()
	ctx := context.Background()
	pool, err := ldappool.New(exampleConfig(first, second))
	if err != nil {
		fmt.Println("the configuration is wrong:", err)
		return
	}
	defer func() { _ = pool.Close(ctx) }()

	verdict, err := pool.Bind(ctx, "uid=user1,ou=people,dc=example,dc=org", "password1")
	if err != nil {
		fmt.Println("a fault:", err)
		return
	}
	fmt.Println(ldap.LDAPResultCodeMap[verdict.Code], "says the second:", verdict.Server == second)

	_, err = ldappool.New(ldappool.Config{Servers: []string{"ldap.example.org"}, MaxConns: -1})
	fmt.Println(err)

	// Output:
	// Success says the second: true
	// ldappool: Config.Servers: "ldap.example.org" is not a URL: must be ldap://host:port, ldaps://host:port or ldapi://path
	// ldappool: Config.MaxConns is -1, but must be at least 1
}
