package doctor_test

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// settings returns the doctor's options as the service has them by default, with a service
// identity.
func settings(urls ...string) doctor.Options {
	o := doctor.Options{
		Pool: ldappool.Config{
			Servers: urls, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword,
			DialTimeout: 3 * time.Second, RequestTimeout: 5 * time.Second, OnlyListedControls: true,
			MaxConns: 32, MinIdleConns: 2, MaxWaiters: 1000, MaxIdleTime: 5 * time.Minute,
		},
		Logins:         auth.Config{BaseDNs: []string{ldaptest.PeopleDN}, Timeout: 10 * time.Second},
		ClientFailures: 10, AccountFailures: 100, Window: 5 * time.Minute,
	}
	withPreset("openldap")(&o)
	withTLS(config.LDAP{})(&o)
	return o
}

// change sets some options.
type change = func(*doctor.Options)

// withPreset sets the kind of directory, with its defaults.
func withPreset(name string) change {
	return func(o *doctor.Options) {
		d := named(name)
		o.Logins.Dialect = d
		o.Logins.Filter = cmp.Or(d.Defaults.UserFilter, "(uid={username})")
		o.Logins.NameAttribute = cmp.Or(d.Defaults.UserNameAttribute, "uid")
	}
}

// withTLS sets the authorities, the client certificate and the server's name.
func withTLS(l config.LDAP) change {
	tls, err := l.TLSConfig()
	if err != nil {
		panic(err)
	}
	return func(o *doctor.Options) { o.Pool.TLS, o.Pool.Authorities = tls, l.Authorities() }
}

func withBind(dn, password string) change {
	return func(o *doctor.Options) { o.Pool.BindDN, o.Pool.BindPassword = dn, password }
}

// withoutBind leaves the service identity out, which the configuration warns of.
func withoutBind(o *doctor.Options) {
	withBind("", "")(o)
	o.Warnings = []string{"LDAP_BIND_DN: not set, so searches are anonymous"}
}

func withBase(dn string) change {
	return func(o *doctor.Options) { o.Logins.BaseDNs = []string{dn} }
}

func withFilter(filter string) change {
	return func(o *doctor.Options) { o.Logins.Filter = filter }
}

// withGroups requires one of the groups below base. With an empty base they are where the kind of
// directory has them.
func withGroups(base string, required ...string) change {
	return func(o *doctor.Options) {
		d := o.Logins.Dialect.Defaults
		o.Logins.Groups = auth.GroupConfig{Enabled: true, Filter: d.GroupFilter, NameAttribute: cmp.Or(d.GroupNameAttribute, "cn"), Required: required}
		if base != "" {
			o.Logins.Groups.BaseDNs = []string{base}
		}
	}
}

// withThrottle sets the failures that one client, and all of them, may have.
func withThrottle(client, account int) change {
	return func(o *doctor.Options) { o.ClientFailures, o.AccountFailures = client, account }
}

func withUser(name string) change {
	return func(o *doctor.Options) { o.User = name }
}

func withPassword(name, password string) change {
	return func(o *doctor.Options) { o.User, o.Password = name, password }
}

// all makes one change of several.
func all(changes ...change) change {
	return func(o *doctor.Options) {
		for _, c := range changes {
			c(o)
		}
	}
}

// examine asks the doctor about the servers and gives the steps.
func examine(t *testing.T, change func(*doctor.Options), urls ...string) []doctor.Step {
	t.Helper()
	var steps []doctor.Step
	o := settings(urls...)
	o.Tell = func(s doctor.Step) { steps = append(steps, s) }
	change(&o)
	require.NoError(t, doctor.Examine(context.Background(), o))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(printed(steps))
		}
	})
	everything.Secret(o.Pool.BindPassword, o.Password)
	everything.Wrote(t.Name(), []byte(written(t, steps)))
	return steps
}

// look examines something.
type look func(t *testing.T) []doctor.Step

// at examines the server at url.
func at(url string, changes ...change) look {
	return func(t *testing.T) []doctor.Step {
		t.Helper()
		return examine(t, all(changes...), url)
	}
}

// find returns the step of a name. The test fails if there is none.
func find(t *testing.T, steps []doctor.Step, name string) doctor.Step {
	t.Helper()
	i := slices.IndexFunc(steps, func(s doctor.Step) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, "no step %q in %+v", name, steps)
	return steps[i]
}

// marked returns the steps with a mark.
func marked(steps []doctor.Step, mark doctor.Mark) []doctor.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s doctor.Step) bool { return s.Mark != mark })
}

// named is the kind of directory of that name.
func named(name string) *dialect.Dialect {
	d, err := dialect.Named(name)
	if err != nil {
		panic(err)
	}
	return d
}

// reportOf is the report of steps.
func reportOf(steps []doctor.Step) *doctor.Report {
	r := &doctor.Report{OK: true}
	for _, s := range steps {
		r.Add(s)
	}
	return r
}

// printed is what a report is to a person.
func printed(steps []doctor.Step) string {
	var b bytes.Buffer
	text := doctor.Text{W: &b}
	for _, s := range steps {
		text.Write(s)
	}
	text.Summary(reportOf(steps))
	return b.String()
}

// encoded is what a report is to a program.
func encoded(t *testing.T, steps []doctor.Step) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, reportOf(steps).WriteJSON(&b))
	return b.String()
}

// written is what a report is to a person and to a program.
func written(t *testing.T, steps []doctor.Step) string {
	t.Helper()
	return printed(steps) + encoded(t, steps)
}

// unwrapped returns a printed text in one line.
func unwrapped(text string) string { return strings.Join(strings.Fields(text), " ") }

// caFile writes a file of authorities.
func caFile(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, content, 0o600))
	return file
}
