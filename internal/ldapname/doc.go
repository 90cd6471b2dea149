// Package ldapname compares names and DNs that may be one to a directory. No folding of ours equals
// a directory's: each directory has its own tables. So there are two kinds of comparison, and the
// name of each function says which kind it is.
//
// Permit: [PermitKey] and [PermitDNKey] are never coarser than a directory. Two names with one key
// are one name to every directory that ignores case. Use them where equality grants something.
//
// Count: [CountKey], [CountKeyAD] and [CountDNKey] are never finer than a directory. Two names that
// are one to a directory have one key. Use them where equality refuses or counts: different keys
// prove that the names are different.
//
// The tests of this package hold both to every code point at slapd, and at 389 DS and Samba to
// those that share a key with another; with -long, to every code point there too.
package ldapname
