package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// checkLockout compares the directory's lockout with the throttle's limits.
func (s *target) checkLockout(ctx context.Context) finding {
	rule := s.Logins.Dialect.Lockout(ctx, reader{s})
	after, window, where := rule.After, rule.Window, rule.Where
	switch {
	case where == "":
		return skip("the directory does not show the service identity after how many failures it locks accounts; keep AUTH_THROTTLE_FAILURES (%d) and AUTH_THROTTLE_ACCOUNT_FAILURES (%d) below that number",
			s.ClientFailures, s.AccountFailures)
	case after == 0:
		return pass("the directory does not lock accounts (%s)", where)
	}
	f := pass("the directory locks an account after %d failures%s (%s); the throttle stops attempts before that", after, within(window), where)
	oneClient := int64(s.ClientFailures)
	if oneClient == 0 {
		oneClient = int64(s.AccountFailures)
	}
	remedy := s.lockoutRemedy(after)
	switch {
	case s.ClientFailures == 0 && s.AccountFailures == 0:
		f = warn(remedy, "the directory locks an account after %d failures%s (%s), and the throttle is off: any client that reaches the service can lock any account", after, within(window), where)
	case oneClient >= after && (s.AccountFailures == 0 || int64(s.AccountFailures) >= after):
		f = warn(remedy, "the directory locks an account after %d failures%s (%s), and the throttle allows %d failures per client: one client can lock any account", after, within(window), where, oneClient)
	case s.AccountFailures == 0 || int64(s.AccountFailures) >= after:
		f = warn(remedy, "the directory locks an account after %d failures%s (%s), and the throttle allows %s failures per account: several clients together can lock any account",
			after, within(window), where, unlimited(s.AccountFailures))
	}
	s.noteLockout(ctx, &f)
	return f
}

// fewFailures is a lockout limit so low that a throttle below it hinders users who mistype.
const fewFailures = 10

// lockoutRemedy returns the settings that prevent callers from locking accounts, with their cost. A
// directory that locks after a few failures also locks out users who mistype, so its configuration
// should change first.
func (s *target) lockoutRemedy(after int64) string {
	ours := max(after/2, 1)
	throttle := fmt.Sprintf("set AUTH_THROTTLE_FAILURES=%d and AUTH_THROTTLE_ACCOUNT_FAILURES=%d", ours, max(after-1, 1))
	price := fmt.Sprintf(" (then after %s a user waits up to %v for the next attempt)", mistakes(ours),
		(s.window() / time.Duration(ours)).Round(time.Second))
	name := s.Logins.Dialect.LockoutAttribute
	if after < fewFailures {
		return fmt.Sprintf("configure the directory to lock after %d failures or more (%s), and to unlock automatically after some minutes; or ", 2*fewFailures,
			name) + throttle + price
	}
	return throttle + price + ", or configure the directory to lock after more failures (" + name + ")"
}

// window returns the time in which the throttle refunds an exhausted budget.
func (d *doctor) window() time.Duration { return orDefault(d.Window, 5*time.Minute) }

// mistakes formats a number of wrong passwords.
func mistakes(n int64) string {
	if n == 1 {
		return "one wrong password"
	}
	return fmt.Sprintf("%d wrong passwords", n)
}

// noteLockout adds whether the directory reports locked accounts to callers.
func (s *target) noteLockout(ctx context.Context, f *finding) {
	note := s.Logins.Dialect.LockoutNote(ctx, reader{s})
	if note.Detail == "" {
		return
	}
	f.Details = append(f.Details, note.Detail)
	if note.Remedy == "" {
		return
	}
	if f.Remedy != "" {
		f.Remedy += "; and "
	}
	f.Mark, f.Remedy = Warn, f.Remedy+note.Remedy
}

func within(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " within " + d.String()
}

func unlimited(n int) string {
	if n == 0 {
		return "any number of"
	}
	return strconv.Itoa(n)
}
