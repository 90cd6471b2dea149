package auth

import (
	"time"

	"authsvc/internal/throttle"
)

// FillDN is the DN that a template makes of a name.
func FillDN(template, name string) (string, error) {
	t, err := parseDNTemplate(template)
	return t.fill(name), err
}

// VisibleResult is what a caller sees of a result, in uniform mode if there is a delay.
func VisibleResult(delay time.Duration, r Result) Result { return inMode(delay).visibleResult(r) }

// Verdict is what a result is to the throttle.
func Verdict(delay time.Duration, r Result) string {
	names := map[throttle.Verdict]string{throttle.Refunded: "returned", throttle.Failed: "failed", throttle.Succeeded: "succeeded"}
	return names[inMode(delay).throttleVerdict(r)]
}

// inMode is an Authenticator in uniform mode where there is a delay.
func inMode(delay time.Duration) *Authenticator {
	a := &Authenticator{}
	if delay > 0 {
		a.clock = newResponseClock(delay, 0, nil, time.Time{})
	}
	return a
}

// NameInDN is the name that an entry has which shows no name attribute.
var NameInDN = nameInDN

// AnswerAfter is when an attempt that took so long is answered.
var AnswerAfter = answerAfter

// NewSleeper returns a sleeper's until.
func NewSleeper(sleep func(time.Duration)) func(time.Time) {
	return (&sleeper{sleep: sleep}).waitUntil
}

// GuessesUnderWay returns how many requests compare passwords that are not decided yet.
func (a *Authenticator) GuessesUnderWay() (n int) {
	a.remembered.mu.Lock()
	defer a.remembered.mu.Unlock()
	for _, g := range a.remembered.guesses {
		for _, requests := range g.requests {
			n += requests
		}
	}
	return n
}
