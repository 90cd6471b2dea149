// Package status is the status page: the pool, its servers and connections, logins and how long
// they take, the last faults, and the configuration. The same data is available as JSON, and as a
// stream of JSON.
//
// The page is pull-only: it reads the state of the pool and the observers, so it costs logins
// nothing. Once a second it reads the counters, and keeps them for five minutes. A snapshot is made
// on request or while a stream is open, at most once in an interval, and all readers get the same
// bytes. A slow reader misses snapshots and delays no other reader.
//
// The page is one HTML file, one style sheet and one script, all embedded, under a
// Content-Security-Policy that permits nothing else. The template renders the complete page, so it
// works without the script. The script renders the same page again with the data of the stream:
// format.go and spark.go have counterparts in status.js, and a test in a browser compares the two.
package status
