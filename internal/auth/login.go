package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// Config says how a login is done. Either a filter below base DNs finds the user, or a template makes the DN.
type Config struct {
	Preset Preset // how the directory tells its verdicts

	BaseDNs       []string // where users live; all are searched
	Filter        string   // RFC 4515, with {username}
	OneLevel      bool     // search right below the base only, not the whole subtree
	NameAttribute string   // what User.Username is taken from
	Attributes    []string // what User.Attributes may hold

	// RFC 4514, with {username}; excludes all of the above but Preset. With AD also {username}@example.org.
	DNTemplate string

	Groups GroupConfig // which groups a user is told of, and must be in

	Timeout time.Duration // of one login, all its steps

	Throttle throttle.Throttle // says whether an account may be tried; nil is no throttle

	// UniformDelay, where not zero, is uniform mode: what the directory says without having seen the right password is
	// one answer, given at a multiple of this since the login began.
	UniformDelay time.Duration
}

// Authenticator decides logins. Its method may be called by many goroutines at once.
type Authenticator struct {
	cfg       Config
	filter    filterTemplate
	template  dnTemplate
	suffix    string       // of a user principal name, in place of template
	requested []string     // attributes of a search
	groups    *groupFinder // nil where no groups are asked for
	directory Directory
	observer  Observer
	spellings *throttle.Spellings // that led to exhausted accounts
	grid      *grid               // nil without uniform mode

	cachedDomain atomic.Pointer[adDomain] // once it was read
}

// errNameless is the cause of a fault of the directory's own.
var errNameless = errors.New("the entry found has no name")

// The causes of an unknown user.
var (
	errNoEntry   = errors.New("no entry matches")
	errAmbiguous = errors.New("the name matches more than one entry") // which of them is meant nobody can know
)

// New makes an Authenticator. It fails where the filter or the template is not of its form.
func New(cfg Config, directory Directory, observer Observer) (*Authenticator, error) {
	a := &Authenticator{cfg: cfg, directory: directory, observer: observer, spellings: throttle.NewSpellings()}
	var err error
	switch suffix, principal := cfg.Preset.principalSuffix(cfg.DNTemplate); {
	case principal:
		a.suffix = suffix
	case cfg.DNTemplate != "":
		a.template, err = parseDNTemplate(cfg.DNTemplate)
	default:
		a.filter, err = parseFilter(cfg.Filter)
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
	if a.groups, err = newGroupFinder(cfg.Preset, cfg.Groups); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if cfg.Timeout <= 0 {
		return nil, errors.New("auth: Timeout must be positive")
	}
	if cfg.UniformDelay < 0 {
		return nil, errors.New("auth: UniformDelay must not be negative")
	}
	if cfg.UniformDelay > 0 {
		a.grid = newGrid(cfg.UniformDelay)
	}
	a.requested = append([]string{cfg.NameAttribute}, cfg.Attributes...)
	for _, name := range cfg.Preset.stateAttributes() {
		if !slices.ContainsFunc(a.requested, func(r string) bool { return strings.EqualFold(r, name) }) {
			a.requested = append(a.requested, name)
		}
	}
	return a, nil
}

// Authenticate decides one login. Once begun it is finished, counted and logged within Config.Timeout, even if ctx ends:
// a caller that hangs up would otherwise leave behind a try that the directory counts and nobody else does. In uniform mode
// the observer is told the truth at once, and the caller what it may know, later.
func (a *Authenticator) Authenticate(caller context.Context, c Credentials) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), a.cfg.Timeout)
	defer cancel()
	// Not on the stack: a thousand logins that wait for a connection are a thousand stacks.
	l := &login{Authenticator: a, username: c.Username, password: c.Password, client: c.Client}
	l.result.Outcome = InternalError // the zero Outcome lets people in: it must be earned
	began := time.Now()
	if err := c.Validate(); err != nil {
		l.result = Result{Outcome: BadRequest, Detail: err.Error()}
	} else {
		l.run(ctx)
	}
	l.result.Phases.Total = time.Since(began)
	a.observer.LoginDone(ctx, c, l.result)
	return a.tell(caller, began, l.result)
}

// login is one attempt under way.
type login struct {
	*Authenticator
	username, password string
	client             string
	found              []*ldap.Entry // without two of the same name
	user               User
	nameless           bool                    // the entry shows no value of the name attribute
	reservations       [2]throttle.Reservation // by accounts; nil before there are any
	result             Result
}

// run takes the steps of a login until one of them decides.
func (l *login) run(ctx context.Context) {
	if l.throttled(ctx) {
		return
	}
	found := l.identify(ctx)
	if !found && l.countsAs(l.result) != throttle.Failed {
		return // nobody knows whether there is such a user, or the name is none
	}
	if found {
		l.result.DN = l.user.DN
	}
	if !l.reserve(ctx, found) {
		return
	}
	defer l.settle(ctx)
	if !found {
		return
	}
	l.bind(ctx)
	if l.result.Outcome == OK {
		l.checkState()
	}
	if l.result.Outcome == OK {
		l.authorize(ctx)
	}
	if l.result.Outcome == OK {
		l.result.User = &l.user
	}
}

// identify finds out who is to bind, and tells whether anybody is. If not, the login is decided.
func (l *login) identify(ctx context.Context) bool {
	switch {
	case l.suffix != "":
		return l.nameByPrincipal()
	case l.template != "":
		l.user = User{Username: l.username, DN: l.template.fill(l.username)}
		return true
	}
	return l.find(ctx)
}

// end decides the login. That the directory saw the right password holds for all that comes after it.
func (l *login) end(r Result) {
	r.DN, r.Server, r.Phases = l.result.DN, l.result.Server, l.result.Phases
	r.PasswordSeen = r.PasswordSeen || l.result.PasswordSeen || r.Outcome == OK
	if !r.Bind.Answered {
		r.Bind = l.result.Bind
	}
	l.result = r
}

// find looks for the user's entry below every base, and tells whether there is exactly one. If not, the login is decided.
func (l *login) find(ctx context.Context) bool {
	filter, ok := l.userFilter(ctx)
	if !ok {
		return false
	}
	for _, base := range l.cfg.BaseDNs {
		answer, err := l.search(ctx, base, filter)
		if !l.heed(base, answer, err) {
			return false
		}
	}
	if len(l.found) == 0 {
		l.end(Result{Outcome: InvalidUser, Cause: errNoEntry})
		return false
	}
	if l.cfg.Preset == AD && isComputer(l.found[0]) {
		l.result.DN = l.found[0].DN
		l.end(Result{Outcome: InvalidUser, Cause: errComputer})
		return false
	}
	if strings.TrimSpace(l.found[0].DN) == "" { // to a directory that is no name, and a bind as nobody may succeed
		l.end(Result{Outcome: InternalError, Cause: errNameless})
		return false
	}
	l.describe(l.found[0])
	return true
}

// userFilter makes the filter that finds the user, and tells whether there is one. If not, the login is decided.
func (l *login) userFilter(ctx context.Context) (string, bool) {
	if l.cfg.Preset != AD || !qualified(l.username) {
		return l.filter.fill(l.username), true
	}
	d, ok := l.domain(ctx)
	if !ok {
		return "", false
	}
	filter, ok := adFilter(l.filter, l.username, d)
	if !ok {
		l.end(Result{Outcome: InvalidUser, Cause: errOtherDomain})
	}
	return filter, ok
}

// search looks for the user below one base.
func (l *login) search(ctx context.Context, base, filter string) (*ldappool.SearchResult, error) {
	scope := ldap.ScopeWholeSubtree
	if l.cfg.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	// Two entries are enough to know that there are too many. Some servers ignore the limit.
	return l.ask(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, filter, l.requested, nil))
}

// ask does one search and takes its times.
func (l *login) ask(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	began := time.Now()
	answer, err := l.directory.Search(ctx, req)
	var wait time.Duration
	if l.result.Server, wait = about(err); err == nil {
		l.result.Server, wait = answer.Server, answer.Wait
	}
	l.result.Phases.Wait += wait
	l.result.Phases.Search += time.Since(began) - wait
	return answer, err
}

// heed takes in what a search below base gave, and tells whether the login goes on.
func (l *login) heed(base string, answer *ldappool.SearchResult, err error) bool {
	if err != nil {
		l.end(judgeFault(err))
		return false
	}
	if r := judgeSearch(answer.Result); r.Outcome != OK {
		r.Cause = fmt.Errorf("base %q: %w", base, r.Cause)
		l.end(r)
		return false
	}
	l.merge(answer.Entries)
	if len(l.found) > 1 || answer.Code == ldap.LDAPResultSizeLimitExceeded {
		l.end(Result{Outcome: InvalidUser, Cause: errAmbiguous})
		return false
	}
	return true
}

// bind asks whether the password is the user's, and decides the login.
func (l *login) bind(ctx context.Context) {
	unknown := InvalidUser
	if l.cfg.DNTemplate != "" {
		unknown = InvalidPassword // nobody can tell the two apart
	}
	began := time.Now()
	answer, err := l.directory.Bind(ctx, l.user.DN, l.password, policyRequest)
	var wait time.Duration
	if l.result.Server, wait = about(err); err == nil {
		l.result.Server, wait = answer.Server, answer.Wait
	}
	l.result.Phases.Wait += wait
	l.result.Phases.Bind = time.Since(began) - wait
	if err != nil {
		l.end(withhold(judgeFault(err), l.password))
		return
	}
	l.end(withhold(judgeBind(l.cfg.Preset, answer.Result, unknown), l.password))
}

// about tells at which server an operation failed, and how long it had waited for a connection.
func about(err error) (server string, wait time.Duration) {
	var op *ldappool.OpError
	if errors.As(err, &op) {
		return op.Server, op.Wait
	}
	return "", 0
}
