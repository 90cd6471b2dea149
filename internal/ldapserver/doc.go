// Package ldapserver is the core of an LDAP server in this process. It decodes requests within
// bounds and encodes answers; a [Handler] decides what to answer. The demo's directory and the
// scripted server of the tests stand on it.
//
// Requests of one connection are handled one after the other. A message has at most 1 MiB and 64
// levels. What is longer, deeper or no LDAP ends its connection.
package ldapserver
