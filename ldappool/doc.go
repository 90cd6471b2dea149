// Package ldappool is a pool of connections to an LDAP directory, for programs that search and
// check passwords. An operation that could have succeeded does not fail because its connection was
// lost.
//
// A [Pool] has two lanes. [Pool.Search] uses connections bound as the service identity. [Pool.Bind]
// uses connections on which nothing but users' binds ever happens: no connection that carried a
// user's identity does a search. Connections are checked before use if they were quiet, closed
// before they grow old, and closed immediately when the server ends them or sends something that
// was not requested.
//
// The directory's answer to Search or Bind is always a result, with its LDAP result code, and never
// an error. An error is a fault of the network, of the server or of the pool, and matches one of
// the sentinels ([ErrUnavailable], [ErrOverloaded], [ErrTimeout], [ErrConnLost], [ErrClosed]).
// Other errors are a request that could not be sent ([ErrInvalidRequest]) and a canceled context
// ([context.Canceled]). So a fault cannot be mistaken for a wrong password.
//
// Programs that use the pool test against a directory in memory: package ldappooltest.
//
// The pool does searches and simple binds, and no writes. A paged search (RFC 2696) does not work
// through it: most servers bind the cookie to a connection.
//
// How it works: package internal/core decides, package ldapconn speaks LDAP, and this package
// connects the two. In reading order: pool.go executes what the core decides, operation.go sends an
// operation once or twice, conn.go dials and checks connections, comparison.go keeps users from
// servers that accept any password, exchange.go does the first exchange on a new connection,
// controls.go decides which controls a server is sent, store.go keeps connections in puddle,
// servers.go resolves and reconfigures, close.go closes the pool.
package ldappool
