package doctor

import (
	"fmt"
	"strings"
	"time"

	"authsvc/internal/redact"
)

// Mark is the result of a step.
type Mark string

// The marks.
const (
	OK      Mark = "ok"
	Warn    Mark = "warn"    // logins work, or may work, but something should be checked
	Failed  Mark = "failed"  // logins do not work, or not at this server
	Skipped Mark = "skipped" // it could not be checked
)

// Step is a finished check.
type Step struct {
	Server  string   `json:"server,omitempty"` // its URL; empty for checks of this machine
	Name    string   `json:"name"`
	Mark    Mark     `json:"mark"`
	TookMS  float64  `json:"took_ms"`
	Finding string   `json:"finding"`
	Remedy  string   `json:"remedy,omitempty"` // what to do, if anything
	Details []string `json:"details,omitempty"`
}

// finding is the result of a step.
type finding struct {
	Mark            Mark
	Finding, Remedy string
	Details         []string
}

func pass(format string, args ...any) finding {
	return finding{Mark: OK, Finding: fmt.Sprintf(format, args...)}
}

func fail(remedy, format string, args ...any) finding {
	return finding{Mark: Failed, Finding: fmt.Sprintf(format, args...), Remedy: remedy}
}

func warn(remedy, format string, args ...any) finding {
	return finding{Mark: Warn, Finding: fmt.Sprintf(format, args...), Remedy: remedy}
}

func skip(format string, args ...any) finding {
	return finding{Mark: Skipped, Finding: fmt.Sprintf(format, args...)}
}

// do does a step, and reports whether the next steps can be done.
func (d *doctor) do(server, name string, look func() finding) bool {
	began := time.Now()
	f := look()
	d.report(server, name, time.Since(began), f)
	return f.Mark != Failed
}

func (d *doctor) report(server, name string, took time.Duration, f finding) {
	d.Tell(Step{
		Server: server, Name: name, Mark: f.Mark, TookMS: float64(took.Microseconds()) / 1000,
		Finding: d.redactPasswords(f.Finding), Remedy: d.redactPasswords(f.Remedy), Details: d.redactDetails(f.Details),
	})
}

// Limits of the output of one step. A server can send any number of values of any length.
const (
	maxShown   = 1000 // bytes of a text
	maxDetails = 50
)

// redactPasswords truncates a text, and withholds it if it contains a password. A server may repeat
// a password in any attribute, DN or name of its certificate.
func (d *doctor) redactPasswords(text string) string {
	const ellipsis = "…"
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown-len(ellipsis)], "") + ellipsis
	}
	secrets := []string{d.Pool.BindPassword, d.Password}
	if d.Shared != nil {
		secrets = append(secrets, d.Shared.Server.Password, d.Shared.Server.SentinelPassword)
	}
	for _, secret := range secrets {
		if redact.Tells(text, secret) {
			return redact.Withheld + ": it contains a password"
		}
	}
	return text
}

func (d *doctor) redactDetails(lines []string) []string {
	var shown []string
	for _, line := range lines[:min(len(lines), maxDetails)] {
		shown = append(shown, d.redactPasswords(line))
	}
	if more := len(lines) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return shown
}
