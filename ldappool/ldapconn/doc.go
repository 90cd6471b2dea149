// Package ldapconn is a single LDAP connection (RFC 4511): it dials, establishes TLS, searches,
// binds, and reports when the connection has ended. It has no pool.
//
// [Dial] opens a connection within its context's deadline. [Conn.Bind], [Conn.BindExternal] and
// [Conn.Search] send one request and wait for its whole answer; only one of them may be under way
// at a time. An answer is a value, whatever its result code. An error is a [*Fault], which says
// whether the request was sent, whether any of an answer arrived, and why the connection ended;
// after a fault the connection cannot be used. The exception is [ErrInvalidRequest]: nothing was
// sent, and the connection can still be used.
//
// [Conn.Done] is closed as soon as the connection ends, also while it is idle: when the server or
// the network closes it, when the server sends a notice of disconnection, and when it sends
// anything that was not requested.
//
// Bytes from the network are untrusted. The size of a message, of an answer, of a control, of a
// name and of a text are bounded, and so is the number of elements; memory grows with the bytes
// received and not with the announced lengths; and no error quotes what the server sent, because it
// may repeat a password.
package ldapconn
