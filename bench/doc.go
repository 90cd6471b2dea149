// Package bench measures the whole service against what limits it: a bare go-ldap client on the same directory, and a
// bare echo handler under the same HTTP load. It judges nothing; run it with make bench.
package bench
