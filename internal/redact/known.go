package redact

import (
	"regexp"
	"slices"
)

// microsoft is the form of Active Directory's and Samba's messages: nothing in it is free but
// numbers.
var microsoft = regexp.MustCompile(`^[0-9A-F]{8}: (LdapErr|SvcErr|SecErr|NameErr|AtrErr|UpdErr): DSID-[0-9A-F]{8}, ` +
	`(comment: (AcceptSecurityContext error|` +
	`In order to perform this operation a successful bind must be completed on the connection\.|` +
	`The server requires binds to turn on integrity checking if SSL\\TLS are not already active on the connection|` +
	`Error processing control|Error initializing SSL/TLS)|problem \d{4} \([A-Z_]{1,40}\)), data [0-9a-fA-F]{1,8}(, v[0-9a-f]{1,5})?$`)

// microsoftHead is how such a message begins that has words of an entry behind it.
var microsoftHead = regexp.MustCompile(`^[0-9A-F]{8}: (LdapErr|SvcErr|SecErr|NameErr|AtrErr|UpdErr): DSID-[0-9A-F]{8}, (problem \d{4} \([A-Z_]{1,40}\), data [0-9a-fA-F]{1,8})?`)

// messages are the whole texts with which OpenLDAP, 389 DS, FreeIPA and Samba answer binds and
// searches. Result codes say the same of most others.
var messages = []string{
	// OpenLDAP
	"anonymous bind disallowed", "unauthenticated bind (DN with no password) disallowed", "unwilling to perform simple authentication",
	"confidentiality required", "TLS confidentiality required", "SASL confidentiality required", "transport confidentiality required",
	"stronger confidentiality required", "stronger TLS confidentiality required", "stronger transport confidentiality required",
	"historical protocol version requested, use LDAPv3 instead", "requested protocol version not supported",
	"operation restricted to BIND/EXTENDED/UNBIND", "operations are restricted to bind/unbind/abandon/StartTLS/modify password",
	"Operations are restricted to bind/unbind/abandon/StartTLS/modify password", "operation restricted", "read operations restricted",
	"restricted to LDAPv3 clients", "authentication required", "BIND required", "invalid DN", "invalid credentials", "no global superior knowledge",
	"naming violation", "referral missing", "shadow context; no update referral", "user must change own password",
	"Account Locked", "account locked", "Password expired", "slapd shutting down", "too many kerberos principal attributes",
	// 389 DS
	"Invalid credentials", "Invalid credentials, you now have exceeded the password retry limit.", "Inappropriate authentication",
	"Entry does not have userpassword set", "No suffix for bind dn found", "No such entry", "No such object", "password expired!",
	"Account inactivated. Contact system administrator.", "Account inactivity limit exceeded. Contact system administrator to reset.",
	"Exceed password retry limit. Contact system administrator to reset.", "Exceed password retry limit. Please try later.",
	"Anonymous access is not allowed", "Anonymous access is not allowed.", "Anonymous Binds are not allowed.",
	"Unauthenticated binds are not allowed", "Minimum SSF not met", "Minimum SSF not met.", "Operation requires a secure connection.",
	"Failed to find backend for target entry", "database is read-only", "Server is read-only", "Cannot bind to a referral entry",
	"The search filter is too deeply nested", "UNPROCESSED OPERATION - need new password", "Server is busy", "Too many failed logins",
	// FreeIPA
	"Too many failed logins.", "Entry permanently locked.", "Account (Kerberos principal) is expired", "Password is expired.",
	// Samba
	"Simple Bind Failed: NT_STATUS_LOGON_FAILURE", "Operation unavailable without authentication",
	"BindSimple: Transport encryption required.",
}

// Known reports whether a diagnostic message is one that directories are known to send, all of it.
func Known(text string) bool {
	return slices.Contains(messages, text) || microsoft.MatchString(text)
}
