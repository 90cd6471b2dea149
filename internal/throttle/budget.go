package throttle

import "time"

// Budget is one count that an attempt takes from, and its limit.
type Budget struct {
	Key Account
	*limit
}

// Budgets returns the counts with a limit that an attempt takes from, for a Throttle that keeps
// them elsewhere too, and the account that they belong to: counts of one account have the same
// home.
func (m *Memory) Budgets(account Account, client string) (home Account, limited []Budget) {
	all, home := m.budgets(account, client)
	for _, b := range all {
		if b.limit != nil {
			limited = append(limited, b)
		}
	}
	return home, limited
}

// Limit returns the kind of limit.
func (b Budget) Limit() Limit { return b.kind }

// Failures returns how many failures the budget has room for.
func (b Budget) Failures() int { return b.failures }

// RefundTime returns the time in which one failure is given back.
func (b Budget) RefundTime() time.Duration { return time.Duration(b.refundTime) }

// Refuse counts an attempt that the budget does not allow, and returns its error.
func (b Budget) Refuse(retryAfter time.Duration, exhausted bool) *Refusal {
	return b.refuse(max(retryAfter, time.Second), exhausted)
}

// Unlimited returns a budget that nothing exhausts, to try out a Throttle.
func Unlimited(key Account) Budget {
	return Budget{key, newLimit(ClientLimit, "no limit", 1_000_000, time.Second)}
}
