// Package doctor walks every step of a login and says of each what was seen and, where it is wrong, what to do about it.
// It dials as the pool dials and looks for users as a login does: by their code. It changes nothing in the directory and
// binds as nobody with a password that it was not given.
package doctor

import (
	"context"
	"net"
	"time"

	"authsvc/internal/auth"
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
	anonymous bool   // logins have no service identity
	refused   string // the server that refused the service identity's password
	tried     bool   // the user's password was
}

// Examine looks at everything and returns when it is through or ctx has ended.
func Examine(ctx context.Context, o Options) error {
	o.Logins.Throttle, o.Logins.UniformDelay = nil, 0
	d := &doctor{Options: o, names: net.DefaultResolver, anonymous: o.Pool.BindDN == ""}
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

// configuration tells that what is set can be used; what cannot never comes as far as this.
func (d *doctor) configuration() finding {
	if len(d.Warnings) > 0 {
		return finding{Mark: Warn, Finding: "every setting can be used, and some are unwise", Details: d.Warnings,
			Remedy: "see docs/configuration.md, or have it so if that is what you want"}
	}
	return well("every setting can be used; preset %s", d.Logins.Preset)
}

// server looks at one server.
func (d *doctor) server(ctx context.Context, url string) {
	c := d.connect(ctx, url)
	if c == nil {
		return
	}
	defer c.Close()
	s := &patient{doctor: d, url: url, conn: c, root: map[string][]string{}}
	s.do("root DSE", func() finding { return s.rootDSE(ctx) })
	s.do("clock", func() finding { return s.clock(ctx) })
	switch {
	case d.Pool.BindOnly || s.directory(ctx):
		s.user(ctx)
	case s.User != "":
		s.skip("user", "it needs a base DN that can be read")
	}
}

// directory looks at what only the service identity sees, and tells whether users can be looked for.
func (s *patient) directory(ctx context.Context) bool {
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
		s.skip("user filter", "it needs a base DN that can be read")
	}
	switch {
	case !s.Logins.Groups.Enabled:
	case !readable && (s.anonymous || s.Logins.Preset == auth.AD): // for the same reason
		s.skip("groups", "they need a base DN that can be read")
	default:
		s.do("groups", func() finding { return s.groups(ctx) })
	}
	s.do("lockout", func() finding { return s.lockout(ctx) })
	s.do("connection limits", func() finding { return s.limits(ctx) })
	return readable
}

// patient is a server that answers.
type patient struct {
	*doctor
	url  string
	conn *ldappool.Conn
	root map[string][]string // of the root DSE, names in lower case
	// schema is what attributeNames gave; nil before it was asked.
	schema map[string][]string
}

func (s *patient) do(name string, look func() finding) bool { return s.doctor.do(s.url, name, look) }

func (s *patient) skip(name, why string) {
	s.tell(s.url, name, 0, finding{Mark: Skipped, Finding: why})
}

// first is the first value of a root DSE's attribute.
func (s *patient) first(name string) string {
	if v := s.root[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// nobody is told of logins that are none of the service's.
type nobody struct{}

func (nobody) LoginDone(context.Context, auth.Credentials, auth.Result) {}
