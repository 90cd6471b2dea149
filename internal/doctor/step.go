package doctor

import (
	"fmt"
	"time"
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

func well(format string, args ...any) finding {
	return finding{Mark: OK, Finding: fmt.Sprintf(format, args...)}
}

func ill(remedy, format string, args ...any) finding {
	return finding{Mark: Failed, Finding: fmt.Sprintf(format, args...), Remedy: remedy}
}

func unwise(remedy, format string, args ...any) finding {
	return finding{Mark: Warn, Finding: fmt.Sprintf(format, args...), Remedy: remedy}
}

func unseen(format string, args ...any) finding {
	return finding{Mark: Skipped, Finding: fmt.Sprintf(format, args...)}
}

// do takes a step, and tells whether it went well enough for the next.
func (d *doctor) do(server, name string, look func() finding) bool {
	began := time.Now()
	f := look()
	d.tell(server, name, time.Since(began), f)
	return f.Mark != Failed
}

func (d *doctor) tell(server, name string, took time.Duration, f finding) {
	d.Tell(Step{
		Server: server, Name: name, Mark: f.Mark, TookMS: float64(took.Microseconds()) / 1000,
		Finding: f.Finding, Remedy: f.Remedy, Details: f.Details,
	})
}
