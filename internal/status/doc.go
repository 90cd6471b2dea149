// Package status is the page on which an operator sees the service at work: the pool, its servers
// and connections, logins and how long they take, the last faults, the configuration. The same is
// there as JSON, and as a stream of that.
//
// It pulls: it reads what the pool and observers know anyway, so a login pays nothing
// for it. Once a second it reads the counters, of which it keeps five minutes. A snapshot is made
// where somebody asks or watches, at most once in a pace, and its bytes are the same for all. A
// slow reader misses snapshots and delays nobody.
//
// The page is one HTML, one style sheet and one script, embedded, under a Content-Security-Policy
// that lets in nothing else. The template draws it whole, so that it works without the script,
// which draws the same again from the events of the stream: status.js repeats format.go and
// spark.go, and a test in a browser compares the two.
package status
