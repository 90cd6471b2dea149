package auth

// Caller is the program that asks for a login on behalf of a user.
type Caller struct {
	Name string   // from its key's line or its certificate; empty if callers need neither
	By   CallerBy // how it authenticated
}

// CallerBy is how a caller authenticated.
type CallerBy string

// The ways to authenticate.
const (
	ByKey         CallerBy = "key"
	ByCertificate CallerBy = "certificate"
)
