package api

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// Health tells how the directory does.
type Health interface {
	// Health is a snapshot, made without asking the directory.
	Health() HealthStatus
}

// HealthStatus is one moment of the directory.
type HealthStatus struct {
	// Usable reports whether a login can succeed now.
	Usable bool
	// Answered reports whether the directory has answered since the start, and had what every login
	// needs.
	Answered bool
	// Missing is what logins need and the directory does not have or show. Only the admin listener
	// shows it.
	Missing string
	// Servers are shown on the admin listener only.
	Servers []ServerStatus
}

// ServerStatus is one server's part of a HealthStatus.
type ServerStatus struct {
	Address   string    `json:"address"`
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"`       // of the state
	LastError string    `json:"last_error,omitempty"` // seen last; stays after recovery
}

// probe is the body of /livez, /readyz and /healthz.
type probe struct {
	Status  string         `json:"status"`
	Missing string         `json:"missing,omitempty"`
	Servers []ServerStatus `json:"servers,omitempty"`
}

// The probes' statuses.
const (
	probeOK          = "ok"
	probeUnavailable = "unavailable"
	probeDraining    = "draining"
)

// livez answers for as long as the process serves.
func (s *Server) livez(c echo.Context) error {
	return answerProbe(c, probe{Status: probeOK})
}

// readyz reports whether logins should be sent here.
func (s *Server) readyz(c echo.Context) error {
	switch {
	case s.draining.Load():
		return answerProbe(c, probe{Status: probeDraining})
	case !s.health.Health().Answered:
		return answerProbe(c, probe{Status: probeUnavailable})
	}
	return answerProbe(c, probe{Status: probeOK})
}

// healthz reports to anyone whether the directory can be asked.
func (s *Server) healthz(c echo.Context) error {
	return answerProbe(c, probe{Status: statusOf(s.health.Health())})
}

// healthzServers is healthz for the operator.
func (s *Server) healthzServers(c echo.Context) error {
	h := s.health.Health()
	return answerProbe(c, probe{Status: statusOf(h), Missing: h.Missing, Servers: h.Servers})
}

// statusOf is h in one word.
func statusOf(h HealthStatus) string {
	if h.Usable {
		return probeOK
	}
	return probeUnavailable
}

// answerProbe writes p, with 503 for anything but ok. A server's error may hold any bytes.
func answerProbe(c echo.Context, p probe) error {
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if p.Status != probeOK {
		status = http.StatusServiceUnavailable
	}
	return writeBody(c, status, typeJSON, append(body, '\n'))
}
