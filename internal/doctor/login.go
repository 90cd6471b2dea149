package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// directory is the auth.Directory of one server: a connection of the service identity, one for the
// user's bind, and a log of the requests.
type directory struct {
	search, bind *conn
	log          []string
	found        []string // by the last search that found anything
}

// SearchWithFilter implements auth.Directory.
func (d *directory) SearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	r, err := d.search.SearchWithFilter(ctx, req, filter)
	if err != nil {
		return nil, err
	}
	line := fmt.Sprintf("search below %s for %s: ", req.BaseDN, shortened(cmp.Or(filter.String(), req.Filter)))
	switch {
	case req.Scope == ldap.ScopeBaseObject && req.BaseDN == "":
		line = "the root DSE was read"
	case req.Scope == ldap.ScopeBaseObject && r.Code == ldap.LDAPResultSuccess && len(r.Entries) > 0:
		line = req.BaseDN + " was read"
	case r.Code != ldap.LDAPResultSuccess && r.Code != ldap.LDAPResultSizeLimitExceeded:
		line += result(r.Code)
	case len(r.Entries) == 0:
		line += "nothing"
	default:
		var names []string
		for _, e := range r.Entries {
			names = append(names, e.DN)
		}
		slices.Sort(names)
		line += strings.Join(names, "; ")
		d.found = names
	}
	d.log = append(d.log, line)
	return r, nil
}

// binaryValue matches a binary value in a filter (RFC 4515 section 3).
var binaryValue = regexp.MustCompile(`(\\[0-9a-f]{2}){8,}`)

// shortened returns a filter without binary values, truncated.
func shortened(filter string) string {
	const maxFilter = 250
	filter = binaryValue.ReplaceAllStringFunc(filter, func(value string) string { return fmt.Sprintf("<%d bytes>", len(value)/len(`\00`)) })
	if len(filter) > maxFilter {
		filter = fmt.Sprintf("%s... (%d characters)", strings.ToValidUTF8(filter[:maxFilter/2], ""), len(filter))
	}
	return filter
}

// Bind implements auth.Directory.
func (d *directory) Bind(ctx context.Context, dn, password string, controls ...ldappool.Control) (*ldappool.BindResult, error) {
	r, err := d.bind.Bind(ctx, dn, password, controls...)
	if err != nil {
		return nil, err
	}
	d.log = append(d.log, "bind as "+dn+": "+result(r.Code))
	return r, nil
}

// checkUser explains a user's login: at every server without the password, and at one server with
// it, because each wrong password counts.
func (s *target) checkUser(ctx context.Context) {
	if s.User == "" {
		return
	}
	var outcome auth.Outcome
	s.do("user", func() (f finding) {
		f, outcome = s.explain(ctx)
		return f
	})
	switch {
	case s.Password == "":
	case outcome == auth.InvalidUser, outcome == auth.BadRequest:
		s.skip("password", "not tried: there is no user to bind as")
	case s.tried:
		s.skip("password", "not tried again: it was tried at another server, and each wrong password counts")
	default:
		s.tried = true
		s.do("password", func() finding { return s.tryLogin(ctx) })
	}
}

// explain does a login's steps except the bind.
func (s *target) explain(ctx context.Context) (finding, auth.Outcome) {
	d := &directory{search: s.conn}
	a, err := auth.New(s.Logins, d, discardLogins{})
	if err != nil {
		return fail("correct the configuration", "%v", err), auth.InternalError
	}
	r := a.Explain(ctx, s.User)
	if r.Outcome == auth.AccountDisabled {
		r.Cause = errors.New("according to the user's entry") // without a bind
	}
	var b dialect.Blocker
	if r.Outcome == auth.OK && s.Logins.DNTemplate == "" {
		var found bool
		if b, found = s.blockers(ctx, r.User.DN); found {
			r.Outcome, r.Cause = auth.OutcomeOf(b.Verdict), errors.New(b.Why)
		}
	}
	f := s.outcome(d, r)
	if b.Perhaps {
		f.Mark = Warn
	}
	if r.Outcome == auth.OK {
		f = pass("%q is %s; only a wrong password would prevent a login", s.User, r.User.DN)
		if s.Logins.DNTemplate != "" {
			f.Finding = fmt.Sprintf("the template gives %s for %q; only a bind shows whether that entry exists", r.User.DN, s.User)
		}
	}
	f.Details = d.log
	if r.User != nil && r.User.Groups != nil {
		f.Details = append(f.Details, "groups: "+list(r.User.Groups))
	}
	return f, r.Outcome
}

// logins returns how the service does logins at this server. With OnlyListedControls, its pool
// leaves out a control that the server does not list.
func (s *target) logins() auth.Config {
	c := s.Logins
	if s.Pool.OnlyListedControls && !slices.Contains(s.root["supportedcontrol"], dialect.PolicyOID) {
		c.NoPasswordPolicy = true
	}
	return c
}

// tryLogin does a complete login.
func (s *target) tryLogin(ctx context.Context) finding {
	a := s.dial(ctx, s.url, "", false)
	if a.conn == nil {
		return fail("try again", "cannot open a second connection for the user's bind: %v", a.steps[len(a.steps)-1].err)
	}
	defer a.conn.Close()
	d := &directory{search: s.conn, bind: a.conn}
	login, err := auth.New(s.logins(), d, discardLogins{})
	if err != nil {
		return fail("correct the configuration", "%v", err)
	}
	r := login.Authenticate(ctx, auth.Credentials{Username: s.User, Password: s.Password})
	f := s.outcome(d, r)
	if r.Outcome == auth.OK {
		f = pass("%q may log in as %s", s.User, r.User.DN)
		for _, w := range r.Warnings {
			f.Details = append(f.Details, fmt.Sprintf("warning: %s %d", w.Code, w.Count))
		}
	}
	for _, line := range d.log { // the previous step has reported the searches
		if strings.HasPrefix(line, "bind as ") {
			f.Details = append(f.Details, line)
		}
	}
	return f
}

// outcome explains a login that did not succeed.
func (s *target) outcome(d *directory, r auth.Result) finding {
	remedy := map[auth.Outcome]string{
		auth.InvalidUser:          "check the name; check that LDAP_USER_FILTER, LDAP_BASE_DN and LDAP_USER_SCOPE match the user's entry, and that the service identity may read it",
		auth.InvalidPassword:      "try the right password",
		auth.AccountLocked:        "unlock the account in the directory",
		auth.AccountDisabled:      "enable the account in the directory",
		auth.AccountExpired:       "extend the account's expiry date in the directory",
		auth.PasswordExpired:      "change the user's password",
		auth.MustChangePassword:   "change the user's password",
		auth.NotPermitted:         "add the user to one of the required groups, or correct LDAP_REQUIRED_GROUPS",
		auth.BadRequest:           "use a name that the service accepts",
		auth.DirectoryUnavailable: "fix the steps that failed above",
		auth.DirectoryTimeout:     "index the filter's attributes in the directory; check the directory's load",
	}[r.Outcome]
	if remedy == "" {
		remedy = "read the directory's log"
	}
	what := fmt.Sprintf("%q would get status %d, %s", s.User, r.Outcome.Status(), r.Outcome.Message())
	switch {
	case r.Detail != "":
		what += ": " + r.Detail
	case r.Cause != nil:
		what += ": " + r.Cause.Error()
	}
	switch {
	case r.Outcome == auth.DirectoryUnavailable && d.bind != nil && errors.Is(r.Cause, ldappool.ErrConnLost) && !s.logins().NoPasswordPolicy:
		remedy = "read the server's log; if the server closes connections that carry the password policy control, set LDAP_PASSWORD_POLICY=off"
	case r.Outcome == auth.InvalidUser && len(d.found) > 1:
		what += ": " + strings.Join(d.found, "; ")
		remedy = "narrow LDAP_USER_FILTER or LDAP_BASE_DN so that a name matches one entry"
	case r.Outcome == auth.InvalidPassword && s.Logins.DNTemplate != "":
		remedy += "; with a DN template, an unknown user gets the same answer"
	case r.Outcome == auth.InvalidPassword && s.Logins.Dialect.Advice.WrongPassword != "":
		remedy += "; " + s.Logins.Dialect.Advice.WrongPassword
	case r.Outcome == auth.NotPermitted && r.Bind.SubCode != "":
		remedy = "allow the account to log on at this hour and from this machine (its logon hours and workstations)"
	case r.Outcome == auth.NotPermitted:
		what += " (required: " + strings.Join(s.Logins.Groups.Required, "; ") + ")"
	}
	return fail(remedy, "%s", what)
}
