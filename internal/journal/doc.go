// Package journal logs how the directory does, for the people on call, and keeps the last faults
// for the status page.
//
// The lines report a server's outage by its changes of state and not by each attempt that fails:
// "directory server suspect" and "directory server down" at Warn, "directory server usable" at Info
// with the time that the server was away. If a server sends a Notice of Disconnection, or bytes
// that are no LDAP, the line is "directory connection retired" at Warn. A server's limit on idle
// connections is "directory connection limit detected" or "... discarded" at Info.
// All kinds are limited for each server to a burst of 5 and then one a minute; the field suppressed
// counts the lines left out since the last one. Everything else is at Debug.
package journal
