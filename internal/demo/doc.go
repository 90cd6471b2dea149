// Package demo is the embedded directory behind "authsvc demo": a dozen sample
// users, some groups and a service identity to try the service with.
//
// It answers as slapd does where the service can tell: simple binds, searches
// with scopes, filters, attribute selection and size limits, and the root DSE.
// Known differences: it is read-only, it ignores controls, ">=" and "<=" order
// text (slapd's core schema has no ordering rule for it, so there they are
// Undefined), "~=" is equality, and an extended operation (StartTLS, Who am I?)
// is answered with protocolError.
//
// The protocol is gldap's. gldap can neither stop while a client is connected
// nor hand out a client's socket, so it listens on a loopback port of its own
// and a front relays to it. The front owns the clients' sockets: it closes them
// before gldap is stopped, and can reset those that are idle (Config.CutIdle),
// as firewalls and directories do.
package demo
