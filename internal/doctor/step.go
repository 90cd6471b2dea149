package doctor

import (
	"fmt"
	"strings"
	"time"

	"authsvc/internal/redact"
)

// Mark says how a step went.
type Mark string

// The marks.
const (
	OK      Mark = "ok"
	Warn    Mark = "warn"    // logins work, or may; somebody should look at it
	Failed  Mark = "failed"  // logins do not work, or not at this server
	Skipped Mark = "skipped" // nobody could look
)

// Step is something that was looked at.
type Step struct {
	Server  string   `json:"server,omitempty"` // its URL; empty for what is this machine's
	Name    string   `json:"name"`
	Mark    Mark     `json:"mark"`
	TookMS  float64  `json:"took_ms"`
	Finding string   `json:"finding"`
	Remedy  string   `json:"remedy,omitempty"` // what to do, where anything is to be done
	Details []string `json:"details,omitempty"`
}

// finding is a step's end.
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

// do takes a step, and reports whether it went well enough for the next.
func (d *doctor) do(server, name string, look func() finding) bool {
	began := time.Now()
	f := look()
	d.tell(server, name, time.Since(began), f)
	return f.Mark != Failed
}

func (d *doctor) tell(server, name string, took time.Duration, f finding) {
	d.Tell(Step{
		Server: server, Name: name, Mark: f.Mark, TookMS: float64(took.Microseconds()) / 1000,
		Finding: d.shown(f.Finding), Remedy: d.shown(f.Remedy), Details: d.shownDetails(f.Details),
	})
}

// Bounds of what is shown of one step: a server chooses how many values its entries and
// certificates have, and how long.
const (
	maxShown   = 1000 // bytes of a text
	maxDetails = 50
)

// shown is a text as it may be shown: bounded, and withheld if a password is in it, which a server
// may repeat in any attribute, DN or name of its certificate.
func (d *doctor) shown(text string) string {
	const ellipsis = "…"
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown-len(ellipsis)], "") + ellipsis
	}
	for _, secret := range []string{d.Pool.BindPassword, d.Password} {
		if redact.Tells(text, secret) {
			return redact.Withheld + ": it contains a password"
		}
	}
	return text
}

func (d *doctor) shownDetails(lines []string) []string {
	var shown []string
	for _, line := range lines[:min(len(lines), maxDetails)] {
		shown = append(shown, d.shown(line))
	}
	if more := len(lines) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return shown
}
