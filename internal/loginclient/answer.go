package loginclient

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Answer is an answer of authsvc.
type Answer struct {
	Status     int
	Message    string // of the status, in our words; for BadRequest the service's. Empty if Status is not known
	RequestID  string // empty if the service sent none that is well-formed
	Username   string // of an accepted login: the entry's own
	RetryAfter int    // seconds; 0 if the service sent none
	Warnings   []Warning
	JSON       string // all of the answer, in one line
}

// Warning is what an accepted user should know.
type Warning struct {
	Code      string `json:"code"`
	Seconds   int64  `json:"seconds"`
	Remaining int64  `json:"remaining"`
}

// message is the JSON of an answer.
type message struct {
	Status    *int      `json:"status"` // nil if absent: its zero value would let in
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	RequestID string    `json:"request_id"`
	User      user      `json:"user"`
	Warnings  []Warning `json:"warnings"`
}

type user struct {
	Username string `json:"username"`
}

var (
	// requestID is what authsvc takes for a request ID.
	requestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)
	// rule is the message of a status 10: a field and its rule.
	rule = regexp.MustCompile(`^[ -~]{1,200}$`)
	// wait is a Retry-After in seconds.
	wait = regexp.MustCompile(`^[0-9]{1,6}$`)
)

// parseAnswer reads an answer. ok is false if authsvc does not give such answers: a status without
// its code, or acceptance with another HTTP status than 200. Other services use {"status":0} too.
// A text that repeats secret, the password that the server was sent, is left out.
func parseAnswer(resp *http.Response, body []byte, secret string) (a Answer, ok bool) {
	var m message
	if json.Unmarshal(body, &m) != nil || m.Status == nil || *m.Status < 0 || m.Code == "" {
		return Answer{}, false
	}
	line := jsontext.Value(body)
	if line.Compact() != nil {
		return Answer{}, false
	}
	a = Answer{Status: *m.Status, Username: m.User.Username, Warnings: m.Warnings, JSON: string(line)}
	if outcomes := auth.Outcomes(); a.Status < len(outcomes) {
		outcome := outcomes[a.Status]
		if m.Code != outcome.Code() || outcome == auth.OK && resp.StatusCode != http.StatusOK {
			return Answer{}, false
		}
		a.Message = outcome.Message()
		if outcome == auth.BadRequest && rule.MatchString(m.Message) && !strings.Contains(m.Message, secret) {
			a.Message = m.Message
		}
	}
	if requestID.MatchString(m.RequestID) && !strings.Contains(m.RequestID, secret) {
		a.RequestID = m.RequestID
	}
	if after := resp.Header.Get("Retry-After"); wait.MatchString(after) {
		a.RetryAfter, _ = strconv.Atoi(after)
	}
	return a, true
}
