package api

import (
	"authsvc/internal/auth"
)

// fields collects the two fields of a login, each to be given exactly once. What they may hold is
// for auth to say.
type fields struct {
	username, password field
}

// field is one of them.
type field struct {
	name  string
	value string
	given bool
}

// newFields returns the fields, none of them given.
func newFields() fields {
	return fields{username: field{name: "username"}, password: field{name: "password"}}
}

// take returns the field called name for its value to be set.
func (f *fields) take(name string) (*field, error) {
	var taken *field
	switch name {
	case f.username.name:
		taken = &f.username
	case f.password.name:
		taken = &f.password
	default:
		return nil, errUnknownField
	}
	if taken.given {
		return nil, taken.refuse("must be given once")
	}
	taken.given = true
	return taken, nil
}

// refuse is the refusal of a request for what is wrong with this field.
func (f *field) refuse(rule string) error {
	return badRequest(f.name + ": " + rule)
}

// credentials returns the fields once all have come.
func (f *fields) credentials() (auth.Credentials, error) {
	for _, one := range [...]*field{&f.username, &f.password} {
		if !one.given {
			return auth.Credentials{}, one.refuse("must be given")
		}
	}
	return auth.Credentials{Username: f.username.value, Password: f.password.value}, nil
}
