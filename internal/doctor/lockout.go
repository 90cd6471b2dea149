package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// number reads an attribute that is one.
func number(e *ldap.Entry, attribute string) (int64, bool) {
	n, err := strconv.ParseInt(e.GetEqualFoldAttributeValue(attribute), 10, 64)
	return n, err == nil
}

// lockout compares when the directory locks an account with when we stop trying.
func (s *patient) lockout(ctx context.Context) finding {
	after, window, where := s.lockoutRule(ctx)
	switch {
	case where == "":
		return unseen("the directory does not tell the service identity when it locks accounts; keep AUTH_THROTTLE_FAILURES (%d) and AUTH_THROTTLE_ACCOUNT_FAILURES (%d) under its number",
			s.ClientFailures, s.AccountFailures)
	case after == 0:
		return well("the directory locks no accounts (%s)", where)
	}
	f := well("the directory locks an account after %d failures%s (%s); we stop before", after, within(window), where)
	oneClient := int64(s.ClientFailures)
	if oneClient == 0 {
		oneClient = int64(s.AccountFailures)
	}
	remedy := fmt.Sprintf("set AUTH_THROTTLE_FAILURES=%d and AUTH_THROTTLE_ACCOUNT_FAILURES=%d, or a higher number in the directory", max(after/2, 1), max(after-1, 1))
	switch {
	case s.ClientFailures == 0 && s.AccountFailures == 0:
		f = unwise(remedy, "the directory locks an account after %d failures%s (%s), and the throttle is off: anybody who reaches the service can lock anybody out", after, within(window), where)
	case oneClient >= after && (s.AccountFailures == 0 || int64(s.AccountFailures) >= after):
		f = unwise(remedy, "the directory locks an account after %d failures%s (%s), and one client may try %d: it can lock anybody out", after, within(window), where, oneClient)
	case s.AccountFailures == 0 || int64(s.AccountFailures) >= after:
		f = unwise(remedy, "the directory locks an account after %d failures%s (%s), and several clients together may try %s: they can lock anybody out",
			after, within(window), where, unlimited(s.AccountFailures))
	}
	if s.Logins.Preset == auth.OpenLDAP {
		s.useLockout(ctx, &f)
	}
	return f
}

// useLockout adds whether slapd tells that an account is locked (slapo-ppolicy(5), ppolicy_use_lockout), which only its configuration says.
func (s *patient) useLockout(ctx context.Context, f *finding) {
	const otherwise = "a locked account gets status 2, wrong password, in place of 3, account locked"
	entries, _, _, err := s.ask(ctx, "cn=config", ldap.ScopeWholeSubtree, "(objectClass=olcPPolicyConfig)", 0, "olcPPolicyUseLockout")
	switch {
	case err != nil || len(entries) == 0:
		f.Details = append(f.Details, "whether slapd has ppolicy_use_lockout cannot be seen from here: the service identity may not read cn=config, as is usual. Without it "+otherwise)
	case slices.ContainsFunc(entries, func(e *ldap.Entry) bool {
		return !strings.EqualFold(e.GetEqualFoldAttributeValue("olcPPolicyUseLockout"), "TRUE")
	}):
		const remedy = "set \"olcPPolicyUseLockout: TRUE\" on the ppolicy overlay in cn=config (slapd.conf: ppolicy_use_lockout)"
		f.Details = append(f.Details, "slapd has no ppolicy_use_lockout: "+otherwise)
		if f.Remedy != "" {
			f.Remedy += "; and "
		}
		f.Mark, f.Remedy = Warn, f.Remedy+remedy
	default:
		f.Details = append(f.Details, "slapd has ppolicy_use_lockout: a locked account is told as one")
	}
}

func within(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " within " + d.String()
}

func unlimited(n int) string {
	if n == 0 {
		return "without a limit"
	}
	return strconv.Itoa(n)
}

// lockoutRule is after how many failures the directory locks, within which time, and where that is written; "" where it is not
// told, 0 where it locks nobody.
func (s *patient) lockoutRule(ctx context.Context) (after int64, window time.Duration, where string) {
	switch s.Logins.Preset {
	case auth.AD:
		return s.lockoutAD(ctx)
	case auth.DS389:
		return s.lockout389(ctx)
	case auth.FreeIPA:
		return 0, 0, ""
	}
	if len(s.root["supportedcontrol"]) > 0 && among(s.root["supportedcontrol"], oidPPolicy) != "among them" {
		return 0, 0, "it has no password policy"
	}
	for _, suffix := range s.root["namingcontexts"] {
		entries, _, _, err := s.ask(ctx, suffix, ldap.ScopeWholeSubtree, "(objectClass=pwdPolicy)", 50, "pwdLockout", "pwdMaxFailure", "pwdFailureCountInterval")
		if err != nil {
			return 0, 0, ""
		}
		for _, e := range entries { // the strictest counts
			n, ok := number(e, "pwdMaxFailure")
			if where == "" {
				where = e.DN
			}
			if ok && n > 0 && strings.EqualFold(e.GetEqualFoldAttributeValue("pwdLockout"), "TRUE") && (after == 0 || n < after) {
				seconds, _ := number(e, "pwdFailureCountInterval")
				after, window, where = n, time.Duration(seconds)*time.Second, e.DN
			}
		}
	}
	return after, window, where
}

// lockoutAD reads the domain's own rule; those of fine-grained policies are for some accounts.
func (s *patient) lockoutAD(ctx context.Context) (int64, time.Duration, string) {
	root := s.first("defaultnamingcontext")
	if root == "" {
		return 0, 0, ""
	}
	e := s.read(ctx, root, "lockoutThreshold", "lockOutObservationWindow")
	if e == nil {
		return 0, 0, ""
	}
	after, ok := number(e, "lockoutThreshold")
	if !ok {
		return 0, 0, ""
	}
	ticks, _ := number(e, "lockOutObservationWindow") // negative, in 100 ns
	return after, time.Duration(-ticks) * 100, "lockoutThreshold of " + root
}

// lockout389 reads 389 DS' global rule, where the service identity may; those of subtrees and users are for some accounts.
func (s *patient) lockout389(ctx context.Context) (int64, time.Duration, string) {
	e := s.read(ctx, "cn=config", "passwordLockout", "passwordMaxFailure", "passwordResetFailureCount")
	if e == nil {
		return 0, 0, ""
	}
	after, ok := number(e, "passwordMaxFailure")
	on := e.GetEqualFoldAttributeValue("passwordLockout")
	switch {
	case on == "" || !ok:
		return 0, 0, ""
	case !strings.EqualFold(on, "on"):
		after = 0
	}
	seconds, _ := number(e, "passwordResetFailureCount")
	return after, time.Duration(seconds) * time.Second, "passwordMaxFailure of cn=config"
}
