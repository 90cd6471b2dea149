package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// number reads an attribute that is one.
func number(e *ldap.Entry, attribute string) (int64, bool) {
	n, err := strconv.ParseInt(e.GetEqualFoldAttributeValue(attribute), 10, 64)
	return n, err == nil
}

// groups looks whether the places of groups and the required groups are there.
func (s *patient) groups(ctx context.Context) finding {
	g := s.Logins.Groups
	for _, base := range g.BaseDNs {
		if f := s.base(ctx, base); f.Mark == Failed {
			f.Remedy = strings.ReplaceAll(f.Remedy, "LDAP_BASE_DN", "LDAP_GROUP_BASE_DN")
			return f
		}
	}
	a, err := s.authenticator(s.conn)
	if err != nil {
		return ill("see LDAP_GROUP_FILTER", "%v", err)
	}
	missing, err := a.MissingGroups(ctx)
	switch {
	case err != nil:
		return ill("see the directory's log", "the required groups cannot be looked for: %v", err)
	case len(missing) > 0 && len(missing) == len(g.Required):
		return ill("correct LDAP_REQUIRED_GROUPS, or have the access rules show the groups to the service identity",
			"none of the required groups is there, so nobody may log in: %s", strings.Join(missing, "; "))
	case len(missing) > 0:
		return unwise("take it out of LDAP_REQUIRED_GROUPS, or have the access rules show it to the service identity", "a required group is not there: %s", strings.Join(missing, "; "))
	case len(g.Required) > 0:
		return well("every required group is there: %s", strings.Join(g.Required, "; "))
	}
	return well("groups are looked up; none is required")
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
	remedy := fmt.Sprintf("AUTH_THROTTLE_FAILURES=%d and AUTH_THROTTLE_ACCOUNT_FAILURES=%d, or a higher number in the directory", max(after/2, 1), max(after-1, 1))
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
		f.Details = append(f.Details, "whether slapd has ppolicy_use_lockout cannot be seen from here: without it a locked account is told as a wrong password (status 2 in place of 3)")
	}
	return f
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
	case auth.DS389, auth.FreeIPA:
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

// limits compares the directory's limit on connections with ours.
func (s *patient) limits(ctx context.Context) finding {
	most, where := s.maxConnections(ctx)
	ours := max(s.Pool.MaxConns, 1)
	switch {
	case where == "":
		return unseen("the directory does not tell its limit on connections; ours is LDAP_POOL_MAX_CONNS=%d for each instance", ours)
	case int64(ours) > most:
		return unwise(fmt.Sprintf("LDAP_POOL_MAX_CONNS=%d or less for all instances together, or a higher limit in the directory", most/2),
			"the directory takes %d connections (%s), and LDAP_POOL_MAX_CONNS is %d", most, where, ours)
	}
	return well("the directory takes %d connections (%s), one instance opens %d at the most", most, where, ours)
}

// maxConnections reads the limit where a directory shows it: AD's query policy (MS-ADTS 3.1.1.3.4.6), OpenLDAP's monitor.
func (s *patient) maxConnections(ctx context.Context) (int64, string) {
	if s.Logins.Preset == auth.AD {
		dn := "CN=Default Query Policy,CN=Query-Policies,CN=Directory Service,CN=Windows NT,CN=Services," + s.first("configurationnamingcontext")
		e := s.read(ctx, dn, "lDAPAdminLimits")
		if e == nil {
			return 0, ""
		}
		for _, v := range e.GetEqualFoldAttributeValues("lDAPAdminLimits") {
			if value, ok := strings.CutPrefix(v, "MaxConnections="); ok {
				n, err := strconv.ParseInt(value, 10, 64)
				if err == nil {
					return n, "MaxConnections of its query policy"
				}
			}
		}
		return 0, ""
	}
	const monitor = "cn=Max File Descriptors,cn=Connections,cn=Monitor"
	if s.first("monitorcontext") == "" {
		return 0, ""
	}
	e := s.read(ctx, monitor, "monitorCounter")
	if e == nil {
		return 0, ""
	}
	n, ok := number(e, "monitorCounter")
	if !ok {
		return 0, ""
	}
	return n, monitor
}

// authenticator does logins' steps on connections of our own.
func (s *patient) authenticator(search *ldappool.Conn) (*auth.Authenticator, error) {
	return auth.New(s.Logins, &directory{search: search}, nobody{})
}
