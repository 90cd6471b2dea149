package auth

// WarningCode names what a user who was let in should know.
type WarningCode string

// The warnings of CONTRACT.
const (
	PasswordExpiring WarningCode = "password_expiring" // Count is in seconds
	GraceLogins      WarningCode = "grace_logins"      // the password has expired; Count more logins are left
)

// Warning comes with OK.
type Warning struct {
	Code  WarningCode
	Count int64 // not negative
}
