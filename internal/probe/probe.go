// Package probe lets authsvc check see how its own request arrived at the service. The check logs
// in by a name that nobody has. The service keeps the addresses of the last requests with such a
// name, and shows them on the admin listener to those who know the name.
package probe

import (
	"crypto/rand"
	"regexp"
	"strings"
	"sync"
)

// Path is where the admin listener shows an arrival: GET Path?username=NAME.
const Path = "/api/forward/probe"

// prefix begins the names.
const prefix = "authsvc-check-"

// form is that of a name. What follows the prefix has 130 random bits.
var form = regexp.MustCompile(`^` + prefix + `[a-z2-7]{26}$`)

// NewName returns a name that no user has.
func NewName() string { return prefix + strings.ToLower(rand.Text()) }

// IsName reports whether a name may be one of NewName's.
func IsName(name string) bool { return form.MatchString(name) }

// Arrival is how a request arrived at the service.
type Arrival struct {
	Peer         string   `json:"peer"`          // the address that the connection came from
	Trusted      bool     `json:"trusted"`       // the peer is in HTTP_TRUSTED_PROXIES
	ForwardedFor []string `json:"forwarded_for"` // the fields X-Forwarded-For, in their order
	Client       string   `json:"client"`        // who is counted by the throttle
}

// Bounds of what is kept.
const (
	maxKept   = 16  // arrivals
	maxFields = 8   // of X-Forwarded-For in one arrival, the last ones
	maxField  = 256 // bytes of a field, the last ones
)

// Memory keeps the last arrivals. The zero value is empty.
type Memory struct {
	mu   sync.Mutex
	kept []kept // the oldest first; guarded by mu
}

type kept struct {
	name    string
	arrival Arrival
}

// Keep keeps the arrival of a request with a name that IsName accepts, and forgets the oldest one
// if there are too many.
func (m *Memory) Keep(name string, a Arrival) {
	fields := make([]string, 0, maxFields)
	for _, field := range a.ForwardedFor[max(0, len(a.ForwardedFor)-maxFields):] {
		fields = append(fields, strings.Clone(field[max(0, len(field)-maxField):]))
	}
	a.ForwardedFor = fields
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, kept{strings.Clone(name), a})
	if len(m.kept) > maxKept {
		m.kept = append(m.kept[:0:0], m.kept[1:]...)
	}
}

// Find returns the last arrival of a request with a name.
func (m *Memory) Find(name string) (Arrival, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.kept) - 1; i >= 0; i-- {
		if m.kept[i].name == name {
			return m.kept[i].arrival, true
		}
	}
	return Arrival{}, false
}
