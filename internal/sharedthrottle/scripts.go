package sharedthrottle

import (
	_ "embed" // for the scripts
	"fmt"

	"authsvc/internal/throttle"

	"github.com/redis/go-redis/v9"
)

//go:embed common.lua
var commonPart string

//go:embed reserve.lua
var reservePart string

//go:embed settle.lua
var settlePart string

// The sources of the scripts.
var reserveSource, settleSource = commonPart + reservePart, commonPart + settlePart

// scripts are what the server runs.
type scripts struct{ reserve, settle *redis.Script }

func newScripts() scripts {
	return scripts{redis.NewScript(reserveSource), redis.NewScript(settleSource)}
}

// code is reserve.lua's decision.
type code int64

// The decisions.
const (
	granted   code = iota
	exhausted      // failures have used up a budget
	busy           // undecided attempts hold the rest of a budget
	late           // the question arrived after its caller had stopped to wait; nothing was done
)

// answer is what reserve.lua returned.
type answer struct {
	code   code
	now    int64 // of the server's clock, in microseconds
	budget int   // the index of the one that decided
	left   int64 // microseconds until it has a part again
}

// parseAnswer reads what reserve.lua returned. Anything else than it can return is an error.
func parseAnswer(reply any, budgets int) (answer, error) {
	values, ok := reply.([]any)
	var n [4]int64
	ok = ok && len(values) == len(n)
	for i := 0; ok && i < len(n); i++ {
		n[i], ok = values[i].(int64)
	}
	a := answer{code(n[0]), n[1], int(n[2]) - 1, n[3]}
	decided := a.code == exhausted || a.code == busy
	if !ok || a.code < granted || a.code > late || a.now <= 0 || a.left < 0 || decided && (a.budget < 0 || a.budget >= budgets) {
		return answer{}, fmt.Errorf("%w: not what the script returns", errGarbage)
	}
	return a, nil
}

// verdictOf returns a verdict as settle.lua knows it.
func verdictOf(v throttle.Verdict) string {
	switch v {
	case throttle.Failed:
		return "failed"
	case throttle.Succeeded:
		return "succeeded"
	case throttle.Unanswered:
		return "unanswered"
	}
	return refunded
}

// The verdicts of settle.lua that are not a [throttle.Verdict]'s alone.
const (
	refunded = "refunded"
	counted  = "counted" // a failure that was not reserved
)
