// Package demo is the embedded directory behind "authsvc demo": a dozen sample users, some groups
// and a service identity to try the service with.
//
// It answers as slapd does where the service can see it: simple binds, searches with scopes,
// filters, attribute selection and size limits, and the root DSE. Known differences:
//
//   - It is read-only, ignores controls, and answers an extended operation (StartTLS, Who am I?)
//     with protocolError.
//   - Filters are and, or, not, equality, presence and substrings. Any other kind is answered with
//     unwillingToPerform.
//   - A filter is true or false, and never Undefined. An attribute that no schema has is one that
//     an entry lacks.
//   - Every attribute compares as text without regard to case and white space; member and manager
//     compare as DNs.
package demo
