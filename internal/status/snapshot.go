package status

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The values of status.
const (
	statusOK       = "ok"       // every server is usable
	statusDegraded = "degraded" // logins are served, and some server is not usable
	statusDown     = "down"     // no server is usable: logins get status 11
	statusDraining = "draining" // about to end
)

// snapshot is the state of the service at a moment. Its JSON is described in api/openapi.yaml.
type snapshot struct {
	Status   string         `json:"status"`
	Time     time.Time      `json:"time"`
	Service  service        `json:"service"`
	Servers  []server       `json:"servers"`
	Pool     pool           `json:"pool"`
	Retired  []retired      `json:"retired"`
	Logins   logins         `json:"logins"`
	Faults   []fault        `json:"faults"`
	Throttle *throttleState `json:"throttle,omitempty"`
}

// fullSnapshot is a snapshot with the configuration.
type fullSnapshot struct {
	snapshot
	Configuration []Setting `json:"configuration"`
}

type service struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"`
	Uptime  float64   `json:"uptime_seconds"`
}

type server struct {
	Address     string    `json:"address"`
	State       string    `json:"state"`
	Since       time.Time `json:"since,omitzero"`
	StateFor    float64   `json:"state_seconds"`
	Answered    time.Time `json:"answered,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	BreakerOpen bool      `json:"breaker_open"`
	Connections int       `json:"connections"`
	IdleLimit   float64   `json:"idle_limit_seconds"` // 0: none is known
	AgeLimit    float64   `json:"age_limit_seconds"`
}

type pool struct {
	MaxConns   int    `json:"max_connections"`
	Lanes      []lane `json:"lanes"`
	Dials      int64  `json:"dials"`
	DialErrors int64  `json:"dial_errors"`
	Retries    int64  `json:"retries"`
	Refused    int64  `json:"refused"`
}

type lane struct {
	Lane     string `json:"lane"`
	InUse    int    `json:"in_use"`
	Idle     int    `json:"idle"`
	Dialing  int    `json:"dialing"`
	Waiting  int    `json:"waiting"`
	Outdated int    `json:"outdated"`
}

type retired struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// logins are those of the last minutes, in steps, the latest last.
type logins struct {
	Step     float64   `json:"step_seconds"`
	Outcomes []outcome `json:"outcomes"`
	Phases   []phase   `json:"phases"`
}

type outcome struct {
	Outcome   string    `json:"outcome"`
	Total     uint64    `json:"total"`
	Recent    uint64    `json:"recent"`
	PerSecond []float64 `json:"per_second"`
}

type phase struct {
	Phase  string    `json:"phase"`
	Recent uint64    `json:"recent"`
	P50    float64   `json:"p50_seconds"`
	P99    float64   `json:"p99_seconds"`
	P50s   []float64 `json:"p50_seconds_by_step"`
	P99s   []float64 `json:"p99_seconds_by_step"`
}

type fault struct {
	Server string    `json:"server,omitempty"`
	What   string    `json:"what"`
	Text   string    `json:"text"`
	Count  int64     `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Ago    float64   `json:"last_seconds_ago"`
}

type throttleState struct {
	Entries   int       `json:"entries"`
	Waiting   int       `json:"waiting"`
	Forgotten uint64    `json:"forgotten"`
	Refused   []refused `json:"refused"` // without limits that refused nothing
}

// refused are the attempts that a limit of the throttle refused.
type refused struct {
	Limit string `json:"limit"`
	Count uint64 `json:"count"`
}

// encode makes JSON of v, in one line: an event of a stream ends at a newline. Invalid UTF-8
// becomes U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // every type above can be encoded
	}
	return b
}
