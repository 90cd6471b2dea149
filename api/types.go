package api

import "time"

// The bodies of the answers, as openapi.yaml describes them. encoding/json decodes them too.

// Answer is the body of every answer to a login, and of every error.
type Answer struct {
	Status    int       `json:"status"` // of an auth.Outcome; clients branch on it
	Code      string    `json:"code"`   // the name of the status
	Message   string    `json:"message"`
	RequestID string    `json:"request_id"`
	User      *User     `json:"user,omitzero"`      // with status 0 only
	Warnings  []Warning `json:"warnings,omitempty"` // with status 0 only
}

// User is the entry that logged in.
type User struct {
	Username   string              `json:"username"`
	DN         string              `json:"dn"`
	Attributes map[string][]string `json:"attributes,omitempty"`
	Groups     []string            `json:"groups,omitzero"` // nil where none are asked for
}

// Warning is something that a user who was let in should know.
type Warning struct {
	Code      string `json:"code"`
	Seconds   *int64 `json:"seconds,omitzero"`   // until the password expires
	Remaining *int64 `json:"remaining,omitzero"` // logins with the expired password
}

// Probe is the body of /livez, /readyz and /healthz.
type Probe struct {
	Status  string         `json:"status"`
	Missing string         `json:"missing,omitempty"` // on the admin listener only, as Servers
	Servers []ServerStatus `json:"servers,omitempty"`

	SharedThrottle *SharedThrottleStatus `json:"shared_throttle,omitempty"` // on the admin listener only
}

// SharedThrottleStatus is the server in which several instances count failures together.
type SharedThrottleStatus struct {
	Address   string    `json:"address"`
	State     string    `json:"state"` // up or down
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error,omitempty"`
}

// ServerStatus is one server of the directory.
type ServerStatus struct {
	Address   string    `json:"address"`
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"`       // of the state
	LastError string    `json:"last_error,omitempty"` // seen last; stays after recovery
}
