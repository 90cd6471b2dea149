package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// Config says how a login is done. Either a filter below base DNs finds the user, or a template makes the DN.
type Config struct {
	BaseDNs       []string // where users live; all are searched
	Filter        string   // RFC 4515, with {username}
	OneLevel      bool     // search right below the base only, not the whole subtree
	NameAttribute string   // what User.Username is taken from
	Attributes    []string // what User.Attributes may hold

	DNTemplate string // RFC 4514, with {username}; excludes all of the above

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
	requested []string // attributes of a search
	directory Directory
	observer  Observer
	spellings *throttle.Spellings // that led to exhausted accounts
	grid      *grid               // nil without uniform mode
}

// The causes of an unknown user.
var (
	errNoEntry   = errors.New("no entry matches")
	errAmbiguous = errors.New("the name matches more than one entry") // which of them is meant nobody can know
)

// New makes an Authenticator. It fails where the filter or the template is not of its form.
func New(cfg Config, directory Directory, observer Observer) (*Authenticator, error) {
	a := &Authenticator{cfg: cfg, directory: directory, observer: observer, spellings: throttle.NewSpellings()}
	var err error
	if cfg.DNTemplate != "" {
		a.template, err = parseDNTemplate(cfg.DNTemplate)
	} else {
		a.filter, err = parseFilter(cfg.Filter)
	}
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	if cfg.DNTemplate == "" && len(cfg.BaseDNs) == 0 {
		return nil, errors.New("auth: a filter needs a base DN")
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
	reservation        throttle.Reservation // nil before there is one
	result             Result
}

// run takes the steps of a login until one of them decides.
func (l *login) run(ctx context.Context) {
	if l.throttled(ctx) {
		return
	}
	unknown, found := InvalidUser, true
	if l.template != "" {
		l.user = User{Username: l.username, DN: l.template.fill(l.username)}
		unknown = InvalidPassword // nobody can tell the two apart
	} else {
		found = l.find(ctx)
	}
	if !found && l.result.Outcome != InvalidUser {
		return // nobody knows whether there is such a user
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
	l.bind(ctx, unknown)
	if l.result.Outcome == OK {
		l.result.User = &l.user
	}
}

// end decides the login. That the directory saw the right password holds for all that comes after it.
func (l *login) end(r Result) {
	r.DN, r.Server, r.Phases = l.result.DN, l.result.Server, l.result.Phases
	r.PasswordSeen = r.PasswordSeen || l.result.PasswordSeen || r.Outcome == OK
	l.result = r
}

// find looks for the user's entry below every base, and tells whether there is exactly one. If not, the login is decided.
func (l *login) find(ctx context.Context) bool {
	filter := l.filter.fill(l.username)
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
	l.describe(l.found[0])
	return true
}

// search does one search and takes its times.
func (l *login) search(ctx context.Context, base, filter string) (*ldappool.SearchResult, error) {
	scope := ldap.ScopeWholeSubtree
	if l.cfg.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	began := time.Now()
	// Two entries are enough to know that there are too many. Some servers ignore the limit.
	answer, err := l.directory.Search(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, filter, l.requested, nil))
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
func (l *login) bind(ctx context.Context, unknown Outcome) {
	began := time.Now()
	answer, err := l.directory.Bind(ctx, l.user.DN, l.password)
	var wait time.Duration
	if l.result.Server, wait = about(err); err == nil {
		l.result.Server, wait = answer.Server, answer.Wait
	}
	l.result.Phases.Wait += wait
	l.result.Phases.Bind = time.Since(began) - wait
	if err != nil {
		l.end(judgeFault(err))
		return
	}
	l.end(judgeBind(answer.Result, unknown))
}

// about tells at which server an operation failed, and how long it had waited for a connection.
func about(err error) (server string, wait time.Duration) {
	var op *ldappool.OpError
	if errors.As(err, &op) {
		return op.Server, op.Wait
	}
	return "", 0
}
