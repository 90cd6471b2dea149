// Package journal logs the state of the directory for the people on call, and keeps the last faults
// for the status page.
//
// The lines about an outage report the server's changes of state, not every failed attempt:
// "directory server suspect" and "directory server down" at Warn, "directory server usable" at Info
// with the length of the outage. If a server sends a Notice of Disconnection, or something other
// than LDAP, the line is "directory connection retired" at Warn. A learned idle limit is "directory
// connection limit detected" or "... discarded" at Info. All kinds are limited for each server to a
// burst of 5 and then one a minute; the field suppressed counts the lines left out since the last
// one. Everything else is at Debug.
package journal
