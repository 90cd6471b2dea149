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
const decoyRemedy = "make the entry as docs/throttle.md says under The decoy"

// checkDecoy checks the entry of AUTH_UNIFORM_DECOY_DN: whether it exists, whether the directory
// compares passwords with its password, and whether wrong passwords can lock it. It binds as the
// decoy once with a random password.
func (s *target) checkDecoy(ctx context.Context) finding {
	dn := s.Logins.DecoyDN
	entry := s.read(ctx, dn, cmp.Or(s.Logins.Dialect.PolicyAttribute(), "1.1"))
	a := s.dial(ctx, s.url, "", false)
	if a.conn == nil {
		return fail("try again", "no second connection for a bind as the decoy: %v", a.steps[len(a.steps)-1].err)
	}
	defer a.conn.Close()
	login, err := auth.New(s.logins(), &directory{search: s.conn, bind: a.conn}, discardLogins{})
	if err != nil {
		return fail("see the configuration", "%v", err)
	}
	r, compared := login.ProbeDecoy(ctx)
	switch {
	case r.Outcome.IsFault():
		return fail(decoyRemedy, "a bind as %s fails, and every login of a name without an entry with it: %v", dn, r.Cause)
	case !compared:
		return fail(decoyRemedy+"; unlock and enable it", "the directory compares no password for a bind as %s (%s, result code %d), so names without an entry cost it less than others",
			dn, r.Outcome.Message(), r.Bind.Code)
	case entry == nil:
		return warn("let the service identity read the entry, or see for yourself that it is there and cannot be locked",
			"a bind as %s is refused as a wrong password is, and the service identity cannot see whether there is such an entry", dn)
	}
	f := s.decoyLockout(ctx, entry)
	f.Details = append(f.Details, fmt.Sprintf("a wrong password took %v; AUTH_UNIFORM_DELAY should be above one and a half times that", r.Phases.Bind.Round(100*time.Microsecond)))
	return f
}

// decoyLockout reports whether wrong passwords lock the decoy.
func (s *target) decoyLockout(ctx context.Context, entry *ldap.Entry) finding {
	rule := s.Logins.Dialect.EntryLockout(ctx, reader{s}, entry)
	switch {
	case rule.Where == "":
		return warn("see for yourself that no policy locks it: docs/throttle.md says how, under The decoy",
			"%s is there and refuses a wrong password, and the service identity cannot see whether wrong passwords lock it", entry.DN)
	case rule.After > 0:
		return warn(decoyRemedy, "%s is locked after %d failures (%s), and costs the directory nothing from then on", entry.DN, rule.After, rule.Where)
	}
	return pass("%s refuses a wrong password, and no number of them locks it (%s)", entry.DN, rule.Where)
}
