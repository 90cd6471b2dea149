package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

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
}

// Authenticator decides logins. Its method may be called by many goroutines at once.
type Authenticator struct {
	cfg       Config
	filter    filterTemplate
	template  dnTemplate
	requested []string // attributes of a search
	directory Directory
	observer  Observer
}

// errAmbiguous occurs when a name matches more than one entry. Which of them is meant nobody can know.
var errAmbiguous = errors.New("the name matches more than one entry")

// New makes an Authenticator. It fails where the filter or the template is not of its form.
func New(cfg Config, directory Directory, observer Observer) (*Authenticator, error) {
	a := &Authenticator{cfg: cfg, directory: directory, observer: observer}
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
	a.requested = append([]string{cfg.NameAttribute}, cfg.Attributes...)
	return a, nil
}

// Authenticate decides one login. Once begun it is finished, counted and logged within Config.Timeout, even if ctx ends:
// a caller that hangs up would otherwise leave behind a try that the directory counts and nobody else does.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Timeout)
	defer cancel()
	began := time.Now()
	var r Result
	if err := c.Validate(); err != nil {
		r = Result{Outcome: BadRequest, Detail: err.Error()}
	} else {
		l := login{Authenticator: a, username: c.Username, password: c.Password}
		r = l.run(ctx)
		r.Phases, r.DN = l.phases, l.user.DN
		if r.Outcome == OK {
			r.User = &l.user
		}
	}
	r.Phases.Total = time.Since(began)
	a.observer.LoginDone(ctx, c, r)
	return r
}

// login is one attempt under way.
type login struct {
	*Authenticator
	username, password string
	user               User
	phases             Phases
}

// run takes the steps of a login until one of them decides.
func (l *login) run(ctx context.Context) Result {
	unknown := InvalidUser
	if l.template != "" {
		l.user = User{Username: l.username, DN: l.template.fill(l.username)}
		unknown = InvalidPassword // nobody can tell the two apart
	} else if r := l.find(ctx); r.Outcome != OK {
		return r
	}
	return l.bind(ctx, unknown)
}

// find looks for the user's entry below every base. OK means that there is exactly one.
func (l *login) find(ctx context.Context) Result {
	var found []*ldap.Entry
	scope := ldap.ScopeWholeSubtree
	if l.cfg.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	filter := l.filter.fill(l.username)
	for _, base := range l.cfg.BaseDNs {
		// Two entries are enough to know that there are too many. Some servers ignore the limit.
		answer, err := l.search(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 2, 0, false, filter, l.requested, nil))
		if err != nil {
			return judgeFault(err)
		}
		if r := judgeSearch(answer.Result); r.Outcome != OK {
			r.Cause = fmt.Errorf("base %q: %w", base, r.Cause)
			return r
		}
		found = merge(found, answer.Entries)
		if len(found) > 1 || answer.Code == ldap.LDAPResultSizeLimitExceeded {
			return Result{Outcome: InvalidUser, Cause: errAmbiguous}
		}
	}
	if len(found) == 0 {
		return Result{Outcome: InvalidUser, Cause: errors.New("no entry matches")}
	}
	l.user = l.describe(found[0])
	return Result{Outcome: OK}
}

// merge adds entries that are not in found yet: bases may overlap.
func merge(found, more []*ldap.Entry) []*ldap.Entry {
next:
	for _, e := range more {
		for _, f := range found {
			if strings.EqualFold(e.DN, f.DN) {
				continue next
			}
		}
		found = append(found, e)
	}
	return found
}

// describe tells who an entry is.
func (l *login) describe(e *ldap.Entry) User {
	u := User{Username: l.username, DN: e.DN}
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, l.cfg.NameAttribute) && len(a.Values) > 0 {
			u.Username = text(a.Values[0])
		}
		for _, name := range l.cfg.Attributes {
			if !named(a, name) {
				continue
			}
			if u.Attributes == nil {
				u.Attributes = make(map[string][]string, len(l.cfg.Attributes))
			}
			values := make([]string, len(a.Values))
			for i, v := range a.Values {
				values[i] = text(v)
			}
			u.Attributes[name] = values
		}
	}
	return u
}

// named tells whether an attribute is the one asked for. Some have to be transferred as ";binary" (RFC 4522 section 3), and
// a server says so whether that was asked for or not.
func named(a *ldap.EntryAttribute, name string) bool {
	const binary = ";binary"
	return strings.EqualFold(a.Name, name) ||
		len(a.Name) == len(name)+len(binary) && strings.EqualFold(a.Name, name+binary)
}

// text makes a value fit for JSON: one that is not valid UTF-8 becomes base64.
func text(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	return base64.StdEncoding.EncodeToString([]byte(value))
}

// bind asks whether the password is the user's.
func (l *login) bind(ctx context.Context, unknown Outcome) Result {
	began := time.Now()
	answer, err := l.directory.Bind(ctx, l.user.DN, l.password)
	wait := waited(err)
	if err == nil {
		wait = answer.Wait
	}
	l.phases.Wait += wait
	l.phases.Bind = time.Since(began) - wait
	if err != nil {
		return judgeFault(err)
	}
	return judgeBind(answer.Result, unknown)
}

// search does one search and takes its times.
func (l *login) search(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	began := time.Now()
	answer, err := l.directory.Search(ctx, req)
	wait := waited(err)
	if err == nil {
		wait = answer.Wait
	}
	l.phases.Wait += wait
	l.phases.Search += time.Since(began) - wait
	return answer, err
}

// waited is how long an operation that failed had waited for a connection.
func waited(err error) time.Duration {
	var op *ldappool.OpError
	if errors.As(err, &op) {
		return op.Wait
	}
	return 0
}
