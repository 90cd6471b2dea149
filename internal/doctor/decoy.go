package doctor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// The remedy for all faults of a decoy.
const decoyRemedy = "create the entry as described in docs/throttle.md, section The decoy"

// checkDecoy checks the entry of AUTH_UNIFORM_DECOY_DN: whether it exists, whether the directory
// compares passwords with its password, and whether wrong passwords can lock it. It binds as the
// decoy once with a random password.
func (s *target) checkDecoy(ctx context.Context) finding {
	dn := s.Logins.DecoyDN
	entry := s.read(ctx, dn, cmp.Or(s.Logins.Dialect.PolicyAttribute(), "1.1"))
	a := s.dial(ctx, s.url, "", false)
	if a.conn == nil {
		return fail("try again", "cannot open a second connection for a bind as the decoy: %v", a.steps[len(a.steps)-1].err)
	}
	defer a.conn.Close()
	login, err := auth.New(s.logins(), &directory{search: s.conn, bind: a.conn}, discardLogins{})
	if err != nil {
		return fail("correct the configuration", "%v", err)
	}
	r, compared := login.ProbeDecoy(ctx)
	switch {
	case r.Outcome.IsFault():
		return fail(decoyRemedy, "a bind as %s fails, and therefore every login with a name that has no entry: %v", dn, r.Cause)
	case !compared:
		return fail(decoyRemedy+"; unlock and enable it", "the directory compares no password for a bind as %s (%s, result code %d), so it answers faster for names that have no entry",
			dn, r.Outcome.Message(), r.Bind.Code)
	case entry == nil:
		return warn("give the service identity read access to the entry, or check as an administrator that it exists and cannot be locked",
			"the directory rejects a bind as %s like a wrong password, and the service identity cannot see whether the entry exists", dn)
	}
	f := s.decoyLockout(ctx, entry)
	f.Details = append(f.Details, fmt.Sprintf("a wrong password took %v; set AUTH_UNIFORM_DELAY to more than one and a half times that", r.Phases.Bind.Round(100*time.Microsecond)))
	return f
}

// decoyLockout reports whether wrong passwords lock the decoy.
func (s *target) decoyLockout(ctx context.Context, entry *ldap.Entry) finding {
	rule := s.Logins.Dialect.EntryLockout(ctx, reader{s}, entry)
	switch {
	case rule.Where == "":
		return warn("check as an administrator that no policy locks it, as described in docs/throttle.md, section The decoy",
			"%s exists and a wrong password is rejected, but the service identity cannot see whether wrong passwords lock it", entry.DN)
	case rule.After > 0:
		return warn(decoyRemedy, "%s is locked after %d failures (%s); from then on the directory compares no password for it", entry.DN, rule.After, rule.Where)
	}
	return pass("%s exists, a wrong password is rejected, and wrong passwords never lock it (%s)", entry.DN, rule.Where)
}
