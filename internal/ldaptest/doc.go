// Package ldaptest holds what the tests stand on: a real slapd, a scripted
// LDAP server for faults on the wire, a proxy for faults of the network, and
// certificates.
//
//   - [StartSlapd] runs OpenLDAP's slapd in the foreground on loopback ports,
//     with a small tree and as many users as wanted.
//   - [StartSamba] runs Samba as an Active Directory domain controller.
//   - [NewServer] answers LDAP in this process; a [Handler] decides what.
//   - [NewProxy] stands before any address and breaks connections to order.
//   - [NewNameServer] gives a host the addresses that a test wants.
//   - [NewCA] issues certificates for servers and clients.
//
// Everything is cleaned up by t.Cleanup and waits for its goroutines and
// processes, so a package that uses it can check for leaks. Functions that
// take a testing.TB end the test when they cannot do their work; call them
// from the test's own goroutine.
package ldaptest
