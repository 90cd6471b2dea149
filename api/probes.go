package api

import (
	"net/http"

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
	// SharedThrottle is nil if the throttle is not shared. It changes neither Usable nor Answered,
	// and is shown on the admin listener only.
	SharedThrottle *SharedThrottleStatus
}

// The probes' statuses.
const (
	probeOK          = "ok"
	probeUnavailable = "unavailable"
	ProbeDraining    = "draining" // the service is shutting down
)

// livez answers for as long as the process serves.
func (s *Server) livez(c echo.Context) error {
	return s.answerProbe(c, Probe{Status: probeOK})
}

// readyz reports whether logins should be sent here.
func (s *Server) readyz(c echo.Context) error {
	switch {
	case s.unready.Load():
		return s.answerProbe(c, Probe{Status: ProbeDraining})
	case !s.health.Health().Answered:
		return s.answerProbe(c, Probe{Status: probeUnavailable})
	}
	return s.answerProbe(c, Probe{Status: probeOK})
}

// healthz reports to anyone whether the directory can be asked.
func (s *Server) healthz(c echo.Context) error {
	return s.answerProbe(c, Probe{Status: statusOf(s.health.Health())})
}

// healthzServers is healthz for the operator.
func (s *Server) healthzServers(c echo.Context) error {
	h := s.health.Health()
	return s.answerProbe(c, Probe{Status: statusOf(h), Missing: h.Missing, Servers: h.Servers, SharedThrottle: h.SharedThrottle})
}

// statusOf is h in one word.
func statusOf(h HealthStatus) string {
	if h.Usable {
		return probeOK
	}
	return probeUnavailable
}

// answerProbe writes p, with 503 for anything but ok.
func (s *Server) answerProbe(c echo.Context, p Probe) error {
	status := http.StatusOK
	if p.Status != probeOK {
		status = http.StatusServiceUnavailable
	}
	return s.writeJSON(c, status, p)
}
