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

	"authsvc/internal/dialect"
	"authsvc/internal/redact"
	"authsvc/internal/throttle"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
)

// Config says how a login is done. Either a filter below base DNs finds the user, or a template
// makes the DN.
type Config struct {
	Dialect *dialect.Dialect // what kind of directory it is; nil is dialect.Default

	BaseDNs       []string // where users live; all are searched
	Filter        string   // RFC 4515, with {username}
	OneLevel      bool     // search right below the base only, not the whole subtree
	NameAttribute string   // what User.Username is taken from
	Attributes    []string // what User.Attributes may hold, as ParseAttribute parses it

	// RFC 4514, with {username}; excludes all of the above but Dialect. With AD also
	// {username}@example.org.
	DNTemplate string

	Groups GroupConfig // which groups User.Groups may hold, and which a user must be in

	// If NoPasswordPolicy is set, no bind asks for the password policy control. Otherwise each
	// does, and the Directory decides which servers get the request.
	NoPasswordPolicy bool

	Timeout time.Duration // of one login, all its steps

	Throttle throttle.Throttle // says whether an account may be tried; nil is no throttle

	// ThrottleWait is the longest that one login waits for undecided attempts, over all its
	// budgets. 0: each budget's own bound holds.
	ThrottleWait time.Duration

	// UniformDelay, if not zero, turns on uniform mode. Every verdict that the directory gives
	// without having seen the right password becomes one answer. It is given at a multiple of this
	// delay since the login began.
	UniformDelay time.Duration
	// UniformJitter bounds the random time by which each of these answers is later.
	UniformJitter time.Duration
	// DecoyDN is an entry that never logs in. In uniform mode a password is compared with its
	// password if the directory compares it with no other. Empty: there is none.
	DecoyDN string
	// TurnWait is the longest that an attempt waits in uniform mode for the attempts before it on
	// the same name; zero is Timeout.
	TurnWait time.Duration
	// Sleep sleeps for up to a millisecond, more precisely than Go's timers, for uniform mode; nil
	// is time.Sleep. See [Nanosleep].
	Sleep func(time.Duration)
}

// Authenticator decides logins. Its method may be called by many goroutines at once.
type Authenticator struct {
	cfg            Config
	filter         *userFilter      // nil with a template
	qualified      qualifiedFilters // if names may have a domain in them
	template       dnTemplate
	asNumber       bool         // the template's attribute may be compared as a telephone number
	suffix         string       // of a user principal name, in place of template
	attributes     []Attribute  // to return of a user
	requested      []string     // attributes of a search
	groups         *groupFinder // nil where no groups are asked for
	directory      Directory
	observer       Observer
	exhaustedNames *throttle.ExhaustedNames // that led to exhausted accounts
	clock          *responseClock           // nil without uniform mode
	turns          *throttle.Turns          // nil without uniform mode

	cachedDomain atomic.Pointer[domain] // the last one that was read
}

// errNameless is the cause of a fault of the directory's own.
var errNameless = errors.New("the entry found has no name")

// The causes of an unknown user.
var (
	errNoEntry   = errors.New("no entry matches")
	errAmbiguous = errors.New("the name matches more than one entry") // which of them is meant cannot be known
)

// New makes an Authenticator. It fails if the filter or the template is not of its form.
func New(cfg Config, directory Directory, observer Observer) (*Authenticator, error) {
	if cfg.Dialect == nil {
		cfg.Dialect = dialect.Default()
	}
	a := &Authenticator{cfg: cfg, directory: directory, observer: observer, exhaustedNames: throttle.NewExhaustedNames()}
	var err error
	switch suffix, principal := cfg.Dialect.PrincipalSuffix(cfg.DNTemplate); {
	case principal:
		a.suffix = suffix
	case cfg.DNTemplate != "":
		a.template, err = parseDNTemplate(cfg.DNTemplate)
		a.asNumber = err == nil && !a.template.comparesText()
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
	if cfg.Groups.Enabled && a.suffix != "" {
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
	// Not on the stack: a thousand logins that wait for a connection are a thousand stacks.
	l := &login{Authenticator: a, username: c.Username, password: c.Password, client: c.Client, began: time.Now()}
	if a.clock != nil {
		l.step = a.clock.step(l.began)
	}
	defer l.releaseTurn()
	return l.answer(l.decide(reqCtx, c))
}

// decide takes all steps of a login, and reports the result to the observer. All of it is before
// the moment of the answer.
func (l *login) decide(reqCtx context.Context, c Credentials) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(reqCtx), l.cfg.Timeout)
	defer cancel()
	began := l.began
	var r Result
	if err := c.Validate(); err != nil {
		r = Result{Outcome: BadRequest, Detail: err.Error()}
	} else {
		r = l.run(ctx)
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
	who                identity // once it is known
	groupSearches      int      // made so far
	rangeSearches      int      // made so far
	phases             Phases   // so far
	server             string   // that was asked last

	// In uniform mode:
	began         time.Time     // the moment of the answer counts from here: the start, or the turn it waited for
	step          time.Duration // of the response clock, at the start
	release       func()        // of the turn, while it has one
	decoyAnswered bool
}

// identity is who is to bind.
type identity struct {
	user     User
	entry    *ldap.Entry // what is kept of it; nil with a template
	nameless bool        // the entry shows no value of the name attribute
}

// run takes the steps of a login until one of them decides, and returns the result but for its
// server and times. It alone makes and changes a login's result; a step returns what it found out,
// or a *decided.
func (l *login) run(ctx context.Context) (r Result) {
	if err := l.checkThrottle(ctx); err != nil {
		return resultOf(err)
	}
	if err := l.takeTurn(ctx); err != nil {
		return resultOf(err)
	}
	who, unknown := l.identify(ctx)
	if unknown != nil {
		r = resultOf(unknown)
		if l.throttleVerdict(r) != throttle.Failed {
			return r // nobody knows whether there is such a user, or the name is none
		}
	} else {
		l.who = who
		r.DN = who.user.DN
	}
	reserved, err := l.reserve(ctx, unknown == nil)
	if err != nil {
		return r.then(resultOf(err))
	}
	unanswered := false
	defer func() { l.settle(ctx, &reserved, &r, unanswered) }()
	if unknown == nil {
		var bound Result
		bound, unanswered = l.tryPassword(ctx, who.user.DN)
		r = r.then(bound)
	}
	if l.needsDecoy(r) {
		var notice string
		if notice, unanswered, err = l.compareWithDecoy(ctx); err != nil {
			return r.then(resultOf(err))
		}
		if r.Notice == "" {
			r.Notice = notice
		}
	}
	if r.Outcome != OK {
		return r
	}
	return l.admit(ctx, r)
}

// admit takes the steps after a bind that was accepted, with the result r: no attribute and no
// group says anything before the password is known to be right.
func (l *login) admit(ctx context.Context, r Result) Result {
	expiry, err := l.checkState()
	if err != nil {
		return r.then(resultOf(err))
	}
	if len(r.Warnings) == 0 {
		r.Warnings = expiry
	}
	if l.who.user.Attributes, err = l.attributesOf(ctx, l.who.entry); err != nil {
		return r.then(resultOf(err))
	}
	if l.who.user.Groups, err = l.authorize(ctx); err != nil {
		return r.then(resultOf(err))
	}
	r.User = &l.who.user
	return r
}

// identify finds out who is to bind.
func (l *login) identify(ctx context.Context) (identity, error) {
	switch {
	case l.suffix != "":
		return l.nameByPrincipal()
	case l.template != "":
		dn := l.template.fill(l.username)
		if l.isDecoy(dn) {
			return identity{}, end(Result{Outcome: InvalidPassword, Cause: errDecoy})
		}
		return identity{user: User{Username: l.username, DN: dn}}, nil
	}
	return l.find(ctx)
}

// find looks for the user's entry below every base. There must be exactly one.
func (l *login) find(ctx context.Context) (identity, error) {
	filter, err := l.userFilter(ctx)
	if err != nil {
		return identity{}, err
	}
	var found []*ldap.Entry // without two of the same name
	for _, base := range l.cfg.BaseDNs {
		if found, err = l.findBelow(ctx, base, filter, found); err != nil {
			return identity{}, err
		}
	}
	if len(found) == 0 {
		return identity{}, end(Result{Outcome: InvalidUser, Cause: errNoEntry})
	}
	entry := found[0]
	switch {
	case l.cfg.Dialect.IsMachine(entry):
		return identity{}, end(Result{Outcome: InvalidUser, DN: entry.DN, Cause: dialect.ErrMachine})
	case strings.TrimSpace(entry.DN) == "": // to a directory that is no name, and a bind as nobody may succeed
		return identity{}, end(Result{Outcome: InternalError, Cause: errNameless})
	case l.isDecoy(entry.DN):
		return identity{}, end(Result{Outcome: InvalidUser, DN: entry.DN, Cause: errDecoy})
	}
	return l.describe(entry), nil
}

// userFilter makes the filter that finds the user.
func (l *login) userFilter(ctx context.Context) (ldapconn.Filter, error) {
	if !l.cfg.Dialect.IsQualified(l.username) {
		return l.filter.fill(l.username, ""), nil
	}
	d, err := l.domain(ctx)
	if err != nil {
		return ldapconn.Filter{}, err
	}
	filter, ok := l.qualified.fill(l.username, d.Domain)
	if !ok && d.readAt.Before(l.began) { // a cached answer can permit, not refuse
		if d, err = l.readDomain(ctx); err != nil {
			return ldapconn.Filter{}, err
		}
		filter, ok = l.qualified.fill(l.username, d.Domain)
	}
	if !ok {
		return ldapconn.Filter{}, end(Result{Outcome: InvalidUser, Cause: errOtherDomain})
	}
	return filter, nil
}

// findBelow adds the entries below one base to those that were found. More than one is an error.
func (l *login) findBelow(ctx context.Context, base string, filter ldapconn.Filter, found []*ldap.Entry) ([]*ldap.Entry, error) {
	answer, err := l.search(ctx, base, filter)
	if err != nil {
		return nil, end(judgeFault(err))
	}
	if err := judgeSearch(answer.Result); err != nil {
		return nil, naming(fmt.Sprintf("base %q", base), err)
	}
	if found, err = l.merge(found, answer.Entries); err != nil {
		return nil, err
	}
	if len(found) > 1 || answer.Code == ldap.LDAPResultSizeLimitExceeded {
		return nil, end(Result{Outcome: InvalidUser, Cause: errAmbiguous})
	}
	return found, nil
}

// search looks for the user below one base.
func (l *login) search(ctx context.Context, base string, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	scope := ldap.ScopeWholeSubtree
	if l.cfg.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	// Two entries are enough to know that there are too many. Some servers ignore the limit.
	return l.askWithFilter(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, "", l.requested, nil), filter)
}

// ask does one search and takes its times.
func (l *login) ask(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	return l.askWithFilter(ctx, req, ldapconn.Filter{})
}

// askWithFilter is ask with a compiled filter, if it is not zero, in place of the request's text.
func (l *login) askWithFilter(ctx context.Context, req *ldap.SearchRequest, filter ldapconn.Filter) (*ldappool.SearchResult, error) {
	began := time.Now()
	answer, err := l.directory.SearchWithFilter(ctx, req, filter)
	var wait time.Duration
	if l.server, wait = about(err); err == nil {
		l.server, wait = answer.Server, answer.Wait
		quiet := *answer // no search is judged by its words
		quiet.Diagnostic = redact.Diagnostic(answer.Diagnostic, l.password)
		answer = &quiet
	}
	l.phases.Wait += wait
	l.phases.Search += time.Since(began) - wait
	return answer, err
}

// tryPassword asks the directory whether the password is that of dn. unanswered: the directory may
// have counted a wrong password, and did not say so.
func (l *login) tryPassword(ctx context.Context, dn string) (r Result, unanswered bool) {
	unknown := InvalidUser
	if l.cfg.DNTemplate != "" {
		unknown = InvalidPassword // nobody can tell the two apart
	}
	began := time.Now()
	answer, err := l.directory.Bind(ctx, dn, l.password, l.bindControls()...)
	var wait time.Duration
	if l.server, wait = about(err); err == nil {
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

// about returns at which server an operation failed, and how long it had waited for a connection.
func about(err error) (server string, wait time.Duration) {
	if err != nil { // and not otherwise: what errors.As fills is allocated
		var op *ldappool.OpError
		if errors.As(err, &op) {
			return op.Server, op.Wait
		}
	}
	return "", 0
}
