// Package telemetry is what an operator sees of the service: metrics for Prometheus, one audit line for every
// login, and a line in the log when a directory server changes for the worse or the better. It implements the
// observers that auth and ldappool call and has no say in what they do. It never sees a password go by: of
// [auth.Credentials] it reads every field but that one.
//
// # The audit line
//
// Every login that ended is one line with the message "login", whatever became of it. Its level is Info for the
// directory's verdicts and for refused requests (statuses 0 to 10 and 15), Warn for faults of the directory (11
// to 13), Error for faults of the service itself (14). Its fields are a stable schema: docs/audit.md. What came
// from outside is bounded in length, valid UTF-8, and free of characters that garble a terminal: see clean.
//
// # Lines about the directory
//
// A server's outage is told by its changes of state and not by each attempt that fails: "directory server
// suspect" and "directory server down" at Warn, "directory server usable" at Info with the time it was away. A
// connection on which a server sent a Notice of Disconnection or what is no answer is "directory connection
// retired" at Warn. What is learnt of a server's limits on connections is "directory connection limit learnt" or
// "... forgotten" at Info. All kinds are limited for each server to a burst of 5 and one a minute after that; the
// field suppressed counts what was left out since the last line. Everything else is at Debug.
package telemetry
