// Package ldappool is a pool of connections to an LDAP directory, for programs that search and
// check passwords. It hides the end of a connection from every caller whose operation could have
// succeeded.
//
// A [Pool] has two lanes. [Pool.Search] uses connections bound as the service identity. [Pool.Bind]
// uses connections on which nothing but users' binds ever happens: no connection that carried a
// user's identity does a search. Connections are checked before use if they were quiet, closed
// before they grow old, and closed immediately when the server ends them or sends something that
// was not requested.
//
// An error of Search or Bind is never what the directory answered: that is a result, with the LDAP
// result code in it. An error is a fault of the network, of the server or of the pool, and matches
// one of the sentinels ([ErrUnavailable], [ErrOverloaded], [ErrTimeout], [ErrConnLost],
// [ErrClosed]); or the request could not be sent as it was ([ErrInvalidRequest]); or the caller
// went away ([context.Canceled]). So a fault cannot be mistaken for a refused password.
//
// Programs that use the pool test against a directory in memory: package ldappooltest.
//
// The pool does searches and simple binds, and no writes. A paged search (RFC 2696) does not work
// through it: most servers bind the cookie to a connection.
//
// How it works: package internal/core decides, package ldapconn speaks LDAP, and this package
// connects the two. In reading order: pool.go executes what the core decides, operation.go sends an
// operation once or twice, conn.go dials and checks connections, exchange.go has what is asked on a
// new one, controls.go which controls a server is sent, store.go keeps connections in puddle,
// servers.go resolves and reconfigures, close.go ends it all.
package ldappool
