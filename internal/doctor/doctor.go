// Package doctor walks every step of a login and says of each what was seen and, where it is wrong,
// what to do about it. It dials as the pool dials and looks for users as a login does: by their
// code. It changes nothing in the directory and binds as nobody with a password that it was not
// given, except as the decoy of uniform mode, with a random one.
package doctor

import (
	"context"
	"net"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/ldappool"
)

// Options say what is to be looked at.
type Options struct {
	Pool   ldappool.Config // as the service has it
	Logins auth.Config     // as the service has it; its throttle and its uniform mode are left out
	// ClientFailures and AccountFailures are the throttle's budgets within Window; 0 is no limit.
	ClientFailures, AccountFailures int
	Window                          time.Duration
	Warnings                        []string // of the configuration

	User     string // whose login is explained; empty: nobody's
	Password string // and tried, once; empty: not
	Idle     time.Duration

	// Tell is called with each step when it is over, by one goroutine at a time.
	Tell func(Step)
	// Progress, where not nil, is called while something takes long, as Tell is.
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

// Examine looks at everything and returns when it is through or ctx has ended.
func Examine(ctx context.Context, o Options) error {
	o.Logins.Throttle, o.Logins.UniformDelay = nil, 0
	if o.Logins.Dialect == nil {
		o.Logins.Dialect = dialect.Default()
	}
	d := &doctor{Options: o, names: net.DefaultResolver, anonymous: o.Pool.BindDN == "", hangsUp: map[string]bool{}}
	// What is wrong with a filter is wrong before anything is dialled.
	if _, err := auth.New(o.Logins, nil, nobody{}); err != nil {
		return err
	}
	d.do("", "configuration", d.configuration)
	d.do("", "file descriptors", d.descriptors)
	var servers []string
	for _, url := range d.Pool.Servers {
		servers = append(servers, d.resolve(ctx, url)...)
	}
	for _, url := range servers {
		d.server(ctx, url)
	}
	if d.Idle > 0 {
		d.idle(ctx, servers)
	}
	return ctx.Err()
}

// configuration reports that every setting can be used, with the warnings. A setting that cannot be
// used is an error before this step.
func (d *doctor) configuration() finding {
	if len(d.Warnings) > 0 {
		return finding{Mark: Warn, Finding: "every setting is valid, but some are risky", Details: d.Warnings,
			Remedy: "change the settings named here as described in docs/configuration.md, or keep them if they are intended"}
	}
	return pass("every setting is valid; preset %s", d.Logins.Dialect)
}

// server looks at one server.
func (d *doctor) server(ctx context.Context, url string) {
	c := d.connect(ctx, url)
	if c == nil {
		return
	}
	defer c.Close()
	s := &target{doctor: d, url: url, conn: c, root: dialect.RootDSE{}}
	defer s.afterErrors()
	s.do("root DSE", func() finding { return s.rootDSE(ctx) })
	s.do("clock", func() finding { return s.clock(ctx) })
	readable := d.Pool.BindOnly || s.directory(ctx)
	if s.Logins.DecoyDN != "" {
		s.do("decoy", func() finding { return s.decoy(ctx) })
	}
	switch {
	case readable:
		s.user(ctx)
	case s.User != "":
		s.skip("user", "not checked: it needs a base DN that can be read")
	}
}

// directory looks at what only the service identity sees, and reports whether users can be searched
// for.
func (s *target) directory(ctx context.Context) bool {
	bases := s.Logins.BaseDNs
	readable := true
	for _, base := range bases {
		readable = s.do("base DN", func() finding { return s.base(ctx, base) }) && readable
	}
	switch {
	case len(bases) == 0: // a template
	case readable:
		s.do("user filter", func() finding { return s.filter(ctx) })
	default:
		s.skip("user filter", "not checked: it needs a base DN that can be read")
	}
	if len(bases) > 0 {
		s.do("attributes", func() finding { return s.attributes(ctx) })
	}
	switch {
	case !s.Logins.Groups.Enabled:
	case !readable && (s.anonymous || s.Logins.Dialect.Groups.InDomain): // for the same reason
		s.skip("groups", "not checked: they need a base DN that can be read")
	default:
		s.do("groups", func() finding { return s.groups(ctx) })
	}
	s.do("lockout", func() finding { return s.lockout(ctx) })
	s.do("connection limits", func() finding { return s.limits(ctx) })
	return readable
}

// target is a server that answers.
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
	s.tell(s.url, name, 0, finding{Mark: Skipped, Finding: why})
}

// nobody is an Observer that ignores logins: the doctor's are not the service's.
type nobody struct{}

func (nobody) LoginDone(context.Context, auth.Credentials, auth.Result) {}
