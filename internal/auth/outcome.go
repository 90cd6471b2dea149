package auth

// Outcome is the outcome of one login. Its status, code and message never change. Outcomes up to
// NotPermitted are verdicts of the directory. TooManyAttempts and BadRequest mean that no password
// was tried, and CallerRefused that the caller may not ask. The others are faults, which say
// nothing about the password. The zero value, and every undefined number, is InternalError, so that
// no login is accepted by mistake.
type Outcome uint8

// The outcomes, in order of status: 0 is OK.
const (
	OK                   Outcome = iota + 1 // the directory accepted the password
	InvalidUser                             // no such user, or more than one
	InvalidPassword                         // the directory refused the password
	AccountLocked                           // locked after too many failures, or by an administrator
	AccountDisabled                         // switched off by an administrator
	AccountExpired                          // past the account's own end
	PasswordExpired                         // the password is too old
	MustChangePassword                      // the password must be changed before it is of use
	NotPermitted                            // not in a required group, or not now, or not from there
	TooManyAttempts                         // throttled before the password was tried
	BadRequest                              // malformed, empty or over-long input
	DirectoryUnavailable                    // no server could be reached, or it refused to serve
	Overloaded                              // the queue for a connection is full, or its deadline passed
	DirectoryTimeout                        // the directory did not answer in time
	InternalError                           // a fault of the service itself
	CallerRefused                           // the caller has no valid key or certificate

	afterLast
)

// outcomes is what testdata/outcomes.md lists: the code for programs and the message for people.
var outcomes = [afterLast]struct{ code, message string }{
	OK:                   {"ok", "auth ok"},
	InvalidUser:          {"invalid_user", "invalid user"},
	InvalidPassword:      {"invalid_password", "invalid password"},
	AccountLocked:        {"account_locked", "account locked"},
	AccountDisabled:      {"account_disabled", "account disabled"},
	AccountExpired:       {"account_expired", "account expired"},
	PasswordExpired:      {"password_expired", "password expired"},
	MustChangePassword:   {"must_change_password", "password must be changed"},
	NotPermitted:         {"not_permitted", "not permitted"},
	TooManyAttempts:      {"too_many_attempts", "too many attempts"},
	BadRequest:           {"bad_request", "bad request"},
	DirectoryUnavailable: {"directory_unavailable", "directory unavailable"},
	Overloaded:           {"overloaded", "overloaded"},
	DirectoryTimeout:     {"directory_timeout", "directory timeout"},
	InternalError:        {"internal_error", "internal error"},
	CallerRefused:        {"caller_refused", "caller refused"},
}

// Outcomes returns every outcome in order of status.
func Outcomes() []Outcome {
	all := make([]Outcome, 0, afterLast-OK)
	for o := OK; o < afterLast; o++ {
		all = append(all, o)
	}
	return all
}

// known returns the outcome, or InternalError if it is undefined.
func (o Outcome) known() Outcome {
	if o < OK || o >= afterLast {
		return InternalError
	}
	return o
}

// Status is the number that callers read.
func (o Outcome) Status() int { return int(o.known() - OK) }

// Code is the outcome's name for programs: snake case, stable.
func (o Outcome) Code() string { return outcomes[o.known()].code }

// Message is the outcome's text for people: stable, and the same for every user.
func (o Outcome) Message() string { return outcomes[o.known()].message }

// String is the Code.
func (o Outcome) String() string { return o.Code() }

// IsVerdict reports whether the directory itself decided: statuses 0 to 8.
func (o Outcome) IsVerdict() bool { return o >= OK && o <= NotPermitted }

// keepsOut reports whether the directory keeps out an account whatever its password is: statuses 3
// to 8.
func (o Outcome) keepsOut() bool { return o >= AccountLocked && o <= NotPermitted }

// isDirectoryFault reports whether the directory did not decide: statuses 11 to 13.
func (o Outcome) isDirectoryFault() bool { return o >= DirectoryUnavailable && o <= DirectoryTimeout }

// IsFault reports whether there is no verdict because of a fault: statuses 11 to 14.
func (o Outcome) IsFault() bool {
	o = o.known()
	return o >= DirectoryUnavailable && o <= InternalError
}
