// Package ldappool is a pool of connections to an LDAP directory that does one thing above all: it never lets a
// connection's end be seen by a caller whose operation could have succeeded.
//
// A [Pool] has two lanes. [Pool.Search] uses connections bound as the service identity, [Pool.Bind] uses
// connections on which nothing but users' binds ever happens: no connection that carried a user's identity does a
// search. Connections are checked before use, recycled before they grow old, and retired the moment that the
// server closes them or says something that nobody asked for.
//
// An error of Search or Bind is never what the directory answered: that is a result, with the LDAP result code in
// it. It is a fault of the network, of the server or of the pool, and matches one of the sentinels ([ErrUnavailable],
// [ErrOverloaded], [ErrTimeout], [ErrConnLost], [ErrClosed]); or the request could not be sent as it was
// ([ErrInvalidRequest]); or the caller went away ([context.Canceled]). So a fault cannot be mistaken for a refused
// password.
package ldappool
