// Package doctor checks every step of a login, and reports for each a finding and, if something is
// wrong, a remedy. It uses the pool's code to dial and the login's code to find users. It changes
// nothing in the directory. It binds only with passwords that it was given, except as the decoy of
// uniform mode, with a random password.
package doctor

import (
	"context"
	"net"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/sharedthrottle"
	"authsvc/ldappool"
)

// Options say what to check.
type Options struct {
	Pool   ldappool.Config // as the service has it
	Logins auth.Config     // as the service has it; its throttle and its uniform mode are ignored
	// ClientFailures and AccountFailures are the throttle's budgets within Window; 0 is no limit.
	ClientFailures, AccountFailures int
	Window                          time.Duration
	Warnings                        []string // of the configuration
	// Shared is where the throttle is shared; nil if it is not.
	Shared *sharedthrottle.Config

	User     string // the user whose login is explained; empty: none
	Password string // tried once; empty: not tried
	Idle     time.Duration
	Replicas int // instances that share each server's limit on connections; 0: not known

	// Tell is called with each finished step, by one goroutine at a time.
	Tell func(Step)
	// Progress, if not nil, is called during long steps, as Tell is.
	Progress func(string)
}

// doctor is one examination.
type doctor struct {
	Options
	names     *net.Resolver
	anonymous bool            // logins have no service identity
	refused   string          // the server that refused the service identity's password
	tried     bool            // the user's password was
	hangsUp   map[string]bool // servers that end a connection on which a stranger reads the root DSE
}

// Examine runs all checks. It returns when they are done or ctx has ended.
func Examine(ctx context.Context, o Options) error {
	o.Logins.Throttle, o.Logins.UniformDelay = nil, 0
	if o.Logins.Dialect == nil {
		o.Logins.Dialect = dialect.Default()
	}
	d := &doctor{Options: o, names: net.DefaultResolver, anonymous: !o.Pool.HasIdentity(), hangsUp: map[string]bool{}}
	// An invalid filter is an error before anything is dialed.
	if _, err := auth.New(o.Logins, nil, discardLogins{}); err != nil {
		return err
	}
	d.do("", "configuration", d.checkConfiguration)
	d.do("", "file descriptors", d.checkDescriptors)
	if d.Shared != nil {
		d.do("", "shared throttle", func() finding { return d.checkShared(ctx) })
	}
	var servers []string
	for _, url := range d.Pool.Servers {
		servers = append(servers, d.resolve(ctx, url)...)
	}
	for _, url := range servers {
		d.checkServer(ctx, url)
	}
	if d.Idle > 0 {
		d.idle(ctx, servers)
	}
	return ctx.Err()
}

// checkConfiguration reports that every setting can be used, with the warnings. A setting that
// cannot be used is an error before this step.
func (d *doctor) checkConfiguration() finding {
	if len(d.Warnings) > 0 {
		return finding{Mark: Warn, Finding: "every setting is valid, but some are risky", Details: d.Warnings,
			Remedy: "change the settings named here as described in docs/configuration.md, or keep them if they are intended"}
	}
	return pass("every setting is valid; preset %s", d.Logins.Dialect)
}

// checkServer checks one server.
func (d *doctor) checkServer(ctx context.Context, url string) {
	c := d.connect(ctx, url)
	if c == nil {
		return
	}
	defer c.Close()
	s := &target{doctor: d, url: url, conn: c, root: dialect.RootDSE{}}
	defer s.afterErrors()
	s.do("root DSE", func() finding { return s.checkRootDSE(ctx) })
	s.do("clock", func() finding { return s.checkClock(ctx) })
	readable := d.Pool.BindOnly || s.checkDirectory(ctx)
	if d.Pool.BindOnly && d.Replicas > 0 {
		s.do("connection limits", func() finding { return s.checkLimits(ctx) })
	}
	if s.Logins.DecoyDN != "" {
		s.do("decoy", func() finding { return s.checkDecoy(ctx) })
	}
	switch {
	case readable:
		s.checkUser(ctx)
	case s.User != "":
		s.skip("user", "not checked: it needs a base DN that can be read")
	}
}

// checkDirectory checks what only the service identity can read, and reports whether users can be
// searched for.
func (s *target) checkDirectory(ctx context.Context) bool {
	bases := s.Logins.BaseDNs
	readable := true
	for _, base := range bases {
		readable = s.do("base DN", func() finding { return s.checkBase(ctx, base) }) && readable
	}
	switch {
	case len(bases) == 0: // a template needs none
	case readable:
		s.do("user filter", func() finding { return s.checkFilter(ctx) })
	default:
		s.skip("user filter", "not checked: it needs a base DN that can be read")
	}
	if len(bases) > 0 {
		s.do("attributes", func() finding { return s.checkAttributes(ctx) })
	}
	switch {
	case !s.Logins.Groups.Enabled:
	case !readable && (s.anonymous || s.Logins.Dialect.Groups.InDomain): // for the same reason
		s.skip("groups", "not checked: they need a base DN that can be read")
	default:
		s.do("groups", func() finding { return s.checkGroups(ctx) })
	}
	s.do("lockout", func() finding { return s.checkLockout(ctx) })
	s.do("connection limits", func() finding { return s.checkLimits(ctx) })
	return readable
}

// target is a server under test.
type target struct {
	*doctor
	url  string
	conn *conn
	root dialect.RootDSE
	// schema is what attributeNames returned; nil before its first call.
	schema map[string][]string
}

func (s *target) do(name string, look func() finding) bool { return s.doctor.do(s.url, name, look) }

func (s *target) skip(name, why string) {
	s.report(s.url, name, 0, finding{Mark: Skipped, Finding: why})
}

// discardLogins is an Observer that ignores the doctor's logins.
type discardLogins struct{}

func (discardLogins) LoginDone(context.Context, auth.Credentials, auth.Result) {}
