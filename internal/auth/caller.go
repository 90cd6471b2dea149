package auth

// Caller is the program that asks for a login on behalf of a user.
type Caller struct {
	Name string   // as its key's line or its certificate has it; empty where callers need neither
	By   CallerBy // how it showed that
}

// CallerBy is how a caller showed who it is.
type CallerBy string

// The ways to show it.
const (
	ByKey         CallerBy = "key"
	ByCertificate CallerBy = "certificate"
)
