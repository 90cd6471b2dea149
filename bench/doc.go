// Package bench measures the whole service and what it is compared with: a bare go-ldap client on
// the same directory, an echo handler under the same HTTP load, Apache's mod_authnz_ldap with its
// caches and without, nginx that asks the service, another version of the service, and several
// replicas. It judges nothing; run it with make bench.
package bench
