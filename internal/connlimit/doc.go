// Package connlimit bounds what the peers of a listener can hold and use before anything is known
// of them: the number of open connections, the bytes of a TLS handshake, and the processor time of
// all handshakes together.
//
// All bounds are fair by address. An address is an IPv4 address or an IPv6 /64.
package connlimit
