package auth

// WarningCode names a warning for a user who logged in.
type WarningCode string

// The warnings of CONTRACT.
const (
	PasswordExpiring WarningCode = "password_expiring" // Count is in seconds
	GraceLogins      WarningCode = "grace_logins"      // the password has expired; Count more logins are left
)

// Warning is a warning with the outcome OK.
type Warning struct {
	Code  WarningCode
	Count int64 // not negative
}
