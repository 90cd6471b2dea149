package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"authsvc/internal/credcache"
	"authsvc/internal/dialect"
	"authsvc/internal/redact"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Config says how a login is done. The user is found by a filter below base DNs, or by a template
// that makes the DN.
type Config struct {
	Dialect *dialect.Dialect // the kind of directory; nil is dialect.Default

	BaseDNs       []string // the base DNs of users; all are searched
	Filter        string   // RFC 4515, with {username}
	OneLevel      bool     // search only one level below the base, not the whole subtree
	NameAttribute string   // the attribute for User.Username
	Attributes    []string // the attributes for User.Attributes, in the form of ParseAttribute

	// RFC 4514, with {username}; excludes all of the above but Dialect. With AD also
	// {username}@example.org.
	DNTemplate string

	Groups GroupConfig // the groups for User.Groups, and those that a user must be in

	// If NoPasswordPolicy is set, binds have no password policy control. Otherwise each has one,
	// and the Directory decides which servers get it.
	NoPasswordPolicy bool

	Timeout time.Duration // of one login, all its steps

	Throttle throttle.Throttle // limits attempts; nil is no throttle

	// ThrottleWait bounds the wait of one login for pending attempts, over all its budgets. 0: only
	// each budget's own bound applies.
	ThrottleWait time.Duration

	// UniformDelay, if not zero, turns on uniform mode: every verdict that was reached without the
	// right password becomes the same answer, at a multiple of this delay after the login began.
	UniformDelay time.Duration
	// UniformJitter bounds the random delay that is added to each of these answers.
	UniformJitter time.Duration
	// DecoyDN is an entry that never logs in. In uniform mode the directory compares a password
	// with the decoy's if it does not compare it with another. Empty: no decoy.
	DecoyDN string
	// TurnWait bounds the wait of an attempt in uniform mode for earlier attempts on the same name;
	// zero is Timeout.
	TurnWait time.Duration
	// Sleep sleeps for up to a millisecond, more precisely than Go's timers, for uniform mode; nil
	// is time.Sleep. See [Nanosleep].
	Sleep func(time.Duration)

	// Remember bounds the cache of credentials that Verify has. The zero value is none.
	Remember credcache.Config
}

// Authenticator decides logins. Its methods may be called by many goroutines at once.
type Authenticator struct {
	cfg             Config
	filter          *userFilter      // nil with a template
	qualified       qualifiedFilters // if names may contain a domain
	template        dnTemplate
	comparesNumber  bool         // the directory may compare the template's attribute as a telephone number
	principalSuffix string       // of a user principal name, instead of template
	attributes      []Attribute  // to return of a user
	requested       []string     // attributes of a search
	groups          *groupFinder // nil without groups
	directory       Directory
	observer        Observer
	exhaustedNames  *throttle.ExhaustedNames // that led to exhausted accounts
	clock           *responseClock           // nil without uniform mode
	turns           *throttle.Turns          // nil without uniform mode
	remembered      *remembered              // nil without a cache of credentials

	cachedDomain atomic.Pointer[domain] // read last
}

// errUnnamed is the cause if an entry has an empty DN.
var errUnnamed = errors.New("the entry found has no name")

// The causes of an unknown user.
var (
	errNoEntry   = errors.New("no entry matches")
	errAmbiguous = errors.New("the name matches more than one entry") // it is not known which one is meant
)

// New makes an Authenticator. It fails if the filter or the template is invalid.
func New(cfg Config, directory Directory, observer Observer) (*Authenticator, error) {
	if cfg.Dialect == nil {
		cfg.Dialect = dialect.Default()
	}
	a := &Authenticator{cfg: cfg, directory: directory, observer: observer, exhaustedNames: throttle.NewExhaustedNames()}
	var err error
	switch suffix, principal := cfg.Dialect.PrincipalSuffix(cfg.DNTemplate); {
	case principal:
		a.principalSuffix = suffix
	case cfg.DNTemplate != "":
		a.template, err = parseDNTemplate(cfg.DNTemplate)
		a.comparesNumber = err == nil && !a.template.comparesText()
	default:
		a.filter, err = parseFilter(cfg.Filter)
		if account := cfg.Dialect.AccountAttribute; err == nil && account != "" {
			a.qualified, err = newQualifiedFilters(a.filter, account)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if cfg.DNTemplate == "" && len(cfg.BaseDNs) == 0 {
		return nil, errors.New("auth: a filter needs a base DN")
	}
	if cfg.Groups.Enabled && a.principalSuffix != "" {
		return nil, errors.New("auth: groups need the user's DN, which a user principal name does not give")
	}
	if a.groups, err = newGroupFinder(cfg.Dialect.Groups, cfg.Groups); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if cfg.Timeout <= 0 {
		return nil, errors.New("auth: Timeout must be positive")
	}
	if cfg.UniformDelay < 0 {
		return nil, errors.New("auth: UniformDelay must not be negative")
	}
	if cfg.UniformDelay > 0 {
		a.clock = newResponseClock(cfg.UniformDelay, cfg.UniformJitter, cfg.Sleep, time.Now())
		a.turns = throttle.NewTurns(cmp.Or(cfg.TurnWait, cfg.Timeout))
	}
	if cfg.Remember.TTL > 0 {
		a.remembered = newRemembered(cfg.Remember)
	}
	a.requested = []string{cfg.NameAttribute}
	for _, item := range cfg.Attributes {
		attribute := ParseAttribute(item)
		if slices.ContainsFunc(a.attributes, func(other Attribute) bool { return other.Name == attribute.Name }) {
			continue
		}
		a.attributes = append(a.attributes, attribute)
		a.requested = append(a.requested, attribute.Name)
	}
	for _, name := range cfg.Dialect.StateAttributes {
		if !slices.ContainsFunc(a.requested, func(r string) bool { return strings.EqualFold(r, name) }) {
			a.requested = append(a.requested, name)
		}
	}
	return a, nil
}

// Authenticate decides one login. The attempt continues within Config.Timeout even if reqCtx ends,
// so that every bind that the directory counts is counted and logged here too. In uniform mode the
// observer gets the real result, and the caller gets the visible one after a delay.
func (a *Authenticator) Authenticate(reqCtx context.Context, c Credentials) Result {
	l := a.newLogin(c)
	defer l.releaseTurn()
	return l.visibleAnswer(l.decide(reqCtx, c, l.attempt))
}

// newLogin begins a login.
func (a *Authenticator) newLogin(c Credentials) *login {
	// Allocated on the heap to keep the stacks of many waiting logins small.
	l := &login{Authenticator: a, username: c.Username, password: c.Password, client: c.Client, forwarded: c.Forward != nil, began: time.Now()}
	if a.clock != nil {
		l.step = a.clock.step(l.began)
	}
	return l
}

// decide does the steps of a login, and reports the result to the observer, before the answer is
// visible.
func (l *login) decide(reqCtx context.Context, c Credentials, steps func(context.Context) Result) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(reqCtx), l.cfg.Timeout)
	defer cancel()
	began := l.began
	var r Result
	if err := c.Validate(); err != nil {
		r = Result{Outcome: BadRequest, Detail: err.Error()}
	} else {
		r = steps(ctx)
	}
	l.phases.Total = time.Since(began)
	r.Server, r.Phases = l.server, l.phases
	l.observer.LoginDone(ctx, c, r)
	return r
}

// login is one attempt under way.
type login struct {
	*Authenticator
	username, password string
	client             string
	forwarded          bool      // a reverse proxy asks
	identity           identity  // once it is found
	groupsFound        *groupSet // once they are found
	groupSearches      int       // made so far
	rangeSearches      int       // made so far
	phases             Phases    // so far
	server             string    // used last

	// In uniform mode:
	began         time.Time     // the answer's time is measured from here: the start, or the beginning of its turn
	step          time.Duration // of the response clock, at the start
	release       func()        // releases the turn, while the login has one
	decoyAnswered bool
}

// identity is the entry to bind as.
type identity struct {
	user    User
	entry   *ldap.Entry // a copy; nil with a template
	unnamed bool        // the entry shows no value of the name attribute
}

// run does the steps of a login until one of them decides, and returns the result without server
// and times. Only run makes and changes a login's result; a step returns its value, or a
// *resultError.
func (l *login) run(ctx context.Context) (r Result) {
	if err := l.checkThrottle(ctx); err != nil {
		return resultOf(err)
	}
	if err := l.takeTurn(ctx); err != nil {
		return resultOf(err)
	}
	id, unknown := l.identify(ctx)
	if unknown != nil {
		r = resultOf(unknown)
		if l.throttleVerdict(r) != throttle.Failed {
			return r // it is not known whether there is such a user, or the name is invalid
		}
	} else {
		l.identity = id
		r.DN = id.user.DN
	}
	reserved, err := l.reserve(ctx, l.account())
	if err != nil {
		return r.followedBy(resultOf(err))
	}
	unanswered := false
	defer func() { l.settle(ctx, &reserved, &r, unanswered) }()
	if unknown == nil {
		var bound Result
		bound, unanswered = l.tryPassword(ctx, id.user.DN)
		r = r.followedBy(bound)
		l.forget(r) // the decoy may fail
	}
	if l.needsDecoy(r) {
		var notice string
		if notice, unanswered, err = l.compareWithDecoy(ctx); err != nil {
			return r.followedBy(resultOf(err))
		}
		if r.Notice == "" {
			r.Notice = notice
		}
	}
	if r.Outcome != OK {
		return r
	}
	return l.finish(ctx, r)
}

// finish does the steps after a successful bind with the result r. Attributes and groups are only
// evaluated when the password is known to be right.
func (l *login) finish(ctx context.Context, r Result) Result {
	expiry, err := l.checkState()
	if err != nil {
		return r.followedBy(resultOf(err))
	}
	if len(r.Warnings) == 0 {
		r.Warnings = expiry
	}
	if l.identity.user.Attributes, err = l.userAttributes(ctx, l.identity.entry); err != nil {
		return r.followedBy(resultOf(err))
	}
	if l.identity.user.Groups, err = l.authorize(ctx); err != nil {
		return r.followedBy(resultOf(err))
	}
	user := l.identity.user // a copy does not keep the groups in memory
	r.User = &user
	return r
}

// identify finds the entry to bind as.
func (l *login) identify(ctx context.Context) (identity, error) {
	switch {
	case l.principalSuffix != "":
		return l.nameByPrincipal()
	case l.template != "":
		dn := l.template.fill(l.username)
		if l.isDecoy(dn) {
			return identity{}, asError(Result{Outcome: InvalidPassword, Cause: errDecoy})
		}
		return identity{user: User{Username: l.username, DN: dn}}, nil
	}
	return l.find(ctx)
}

// find searches for the user's entry below every base. There must be exactly one.
func (l *login) find(ctx context.Context) (identity, error) {
	filter, err := l.userFilter(ctx)
	if err != nil {
		return identity{}, err
	}
	var found []*ldap.Entry // without duplicates
	for _, base := range l.cfg.BaseDNs {
		if found, err = l.findBelow(ctx, base, filter, found); err != nil {
			return identity{}, err
		}
	}
	if len(found) == 0 {
		return identity{}, asError(Result{Outcome: InvalidUser, Cause: errNoEntry})
	}
	entry := found[0]
	switch {
	case l.cfg.Dialect.IsMachine(entry):
		return identity{}, asError(Result{Outcome: InvalidUser, DN: entry.DN, Cause: dialect.ErrMachine})
	case strings.TrimSpace(entry.DN) == "": // an empty DN would make the bind anonymous, and successful
		return identity{}, asError(Result{Outcome: InternalError, Cause: errUnnamed})
	case l.isDecoy(entry.DN):
		return identity{}, asError(Result{Outcome: InvalidUser, DN: entry.DN, Cause: errDecoy})
	}
	return l.identityOf(entry), nil
}

// userFilter returns the filter that finds the user.
func (l *login) userFilter(ctx context.Context) (ldapconn.Filter, error) {
	if !l.cfg.Dialect.IsQualified(l.username) {
		return l.filter.fill(l.username, ""), nil
	}
	d, err := l.domain(ctx)
	if err != nil {
		return ldapconn.Filter{}, err
	}
	filter, ok := l.qualified.fill(l.username, d.Domain)
	if !ok && d.readAt.Before(l.began) { // cached names can permit a login, but not deny it
		if d, err = l.readDomain(ctx); err != nil {
			return ldapconn.Filter{}, err
		}
		filter, ok = l.qualified.fill(l.username, d.Domain)
	}
	if !ok {
		return ldapconn.Filter{}, asError(Result{Outcome: InvalidUser, Cause: errOtherDomain})
	}
	return filter, nil
}

// findBelow adds the entries below one base to those found before. More than one is an error.
func (l *login) findBelow(ctx context.Context, base string, filter ldapconn.Filter, found []*ldap.Entry) ([]*ldap.Entry, error) {
	answer, err := l.search(ctx, base, filter)
	if err != nil {
		return nil, asError(judgeFault(err))
	}
	if err := judgeSearch(answer.Result); err != nil {
		return nil, withContext(fmt.Sprintf("base %q", base), err)
	}
	if found, err = l.addFound(found, answer.Entries); err != nil {
		return nil, err
	}
	if len(found) > 1 || answer.Code == ldap.LDAPResultSizeLimitExceeded {
		return nil, asError(Result{Outcome: InvalidUser, Cause: errAmbiguous})
	}
	return found, nil
}

// search searches for the user below one base.
func (l *login) search(ctx context.Context, base string, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	scope := ldap.ScopeWholeSubtree
	if l.cfg.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	// Two entries are enough to know that there are too many. Some servers ignore the limit.
	return l.doSearchWithFilter(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, "", l.requested, nil), filter)
}

// doSearch does one search and records its times.
func (l *login) doSearch(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	return l.doSearchWithFilter(ctx, req, ldapconn.Filter{})
}

// doSearchWithFilter is doSearch with a compiled filter, if it is not zero, instead of the
// request's text.
func (l *login) doSearchWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	began := time.Now()
	answer, err := l.directory.SearchWithFilter(ctx, req, filter)
	var wait time.Duration
	if l.server, wait = opInfo(err); err == nil {
		l.server, wait = answer.Server, answer.Wait
		redacted := *answer // no search is evaluated by its diagnostic message
		redacted.Diagnostic = redact.Diagnostic(answer.Diagnostic, l.password)
		answer = &redacted
	}
	l.phases.Wait += wait
	l.phases.Search += time.Since(began) - wait
	return answer, err
}

// tryPassword binds as dn with the password. unanswered reports that the directory sent no answer
// and may have counted a wrong password.
func (l *login) tryPassword(ctx context.Context, dn string) (r Result, unanswered bool) {
	unknown := InvalidUser
	if l.cfg.DNTemplate != "" {
		unknown = InvalidPassword // the two cannot be distinguished
	}
	began := time.Now()
	answer, err := l.directory.Bind(ctx, dn, l.password, l.bindControls()...)
	var wait time.Duration
	if l.server, wait = opInfo(err); err == nil {
		l.server, wait = answer.Server, answer.Wait
	}
	l.phases.Wait += wait
	l.phases.Bind += time.Since(began) - wait
	if err != nil {
		unanswered = errors.Is(err, ldappool.ErrTimeout) || errors.Is(err, ldappool.ErrConnLost)
		return withhold(judgeFault(err), l.password), unanswered
	}
	return withhold(judgeBind(l.cfg.Dialect, answer.Result, unknown), l.password), false
}

// bindControls are the controls of a user's bind.
func (a *Authenticator) bindControls() []ldappool.Control {
	if a.cfg.NoPasswordPolicy {
		return nil
	}
	return dialect.PolicyControls()
}

// opInfo returns the server at which an operation failed, and how long it waited for a connection.
func opInfo(err error) (server string, wait time.Duration) {
	if err != nil { // saves the allocation of errors.As's target
		var op *ldappool.OpError
		if errors.As(err, &op) {
			return op.Server, op.Wait
		}
	}
	return "", 0
}
