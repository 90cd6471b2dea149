// Package telemetry is what an operator sees of the service: metrics for Prometheus, one audit line for every
// login, and a line in the log when a directory server changes for the worse or the better. It implements the
// observers that auth and ldappool call and has no say in what they do. It never sees a password go by: of
// [auth.Credentials] it reads every field but that one.
//
// # The audit line
//
// Every login that ended is one line with the message "login", whatever became of it. Its level is Info for the
// directory's verdicts and for refused requests (statuses 0 to 10 and 15), Warn for faults of the directory (11
// to 13), Error for faults of the service itself (14). Its fields:
//
//	outcome     the outcome's code: ok, invalid_user, ... (always)
//	status      the outcome's number (always)
//	username    as typed, at most 256 bytes
//	dn          the entry that was tried, where one was found
//	request_id  as in the answer's X-Request-ID
//	client      the caller's address
//	wait_ms     waiting for connections, dialling included (always)
//	search_ms   the directory's answers to searches (always)
//	bind_ms     the directory's answer to the user's bind (always)
//	total_ms    from first to last (always)
//	server      URL of the server that decided, or that failed; none where several did
//	throttle_ms waiting for other attempts on the same account to be decided, from a millisecond on
//	detail      with bad_request: what is wrong with the input
//	cause       the explanation of anything but ok
//
// A field that is not marked "always" is left out where it is empty. The times are milliseconds with three
// decimals; a phase that did not happen is 0. What came from outside (username, dn, detail, cause, client,
// request_id) is bounded in length, valid UTF-8, and free of characters that garble a terminal: see clean.
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
