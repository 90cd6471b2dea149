package auth_test

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is the timeout of a login that is expected to end well before it.
const patience = 30 * time.Second

// observer records every login that it gets.
type observer struct {
	mu   sync.Mutex
	seen []login
}

// login is one login that an observer got.
type login struct {
	credentials auth.Credentials
	result      auth.Result
}

func (o *observer) LoginDone(_ context.Context, c auth.Credentials, r auth.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, login{c, r})
}

// all returns the logins that the observer got so far.
func (o *observer) all() []login {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]login(nil), o.seen...)
}

// newPool makes a pool of connections to url that lives until the test ends. The functions change
// its configuration.
func newPool(t testing.TB, url string, change ...func(*ldappool.Config)) *ldappool.Pool {
	t.Helper()
	cfg := ldappool.Config{
		OnlyListedControls: true, // as the service has it
		Servers:            []string{url}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword,
		DialTimeout: patience, RequestTimeout: patience, MaxWait: patience, MaxConns: 4, MinIdleConns: 1,
	}
	for _, f := range change {
		f(&cfg)
	}
	p, err := ldappool.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, p.Close(ctx))
	})
	return p
}

// named is the kind of directory of that name.
func named(name string) *dialect.Dialect {
	d, err := dialect.Named(name)
	if err != nil {
		panic(err)
	}
	return d
}

// byFilter finds users of the test's tree as the presets do.
func byFilter(bases ...string) auth.Config {
	if len(bases) == 0 {
		bases = []string{ldaptest.PeopleDN}
	}
	return auth.Config{BaseDNs: bases, Filter: "(uid={username})", NameAttribute: "uid", Timeout: patience}
}

// byTemplate makes the DNs of the users of the test's tree.
func byTemplate() auth.Config {
	return auth.Config{DNTemplate: "uid={username}," + ldaptest.PeopleDN, Timeout: patience}
}

func newAuthenticator(t testing.TB, cfg auth.Config, d auth.Directory) (*auth.Authenticator, *observer) {
	t.Helper()
	o := &observer{}
	a, err := auth.New(cfg, d, o)
	require.NoError(t, err)
	return a, o
}

// authenticate tries one name and password, and checks what is true of every login.
func authenticate(t testing.TB, cfg auth.Config, d auth.Directory, username, password string) auth.Result {
	t.Helper()
	a, o := newAuthenticator(t, cfg, d)
	r := a.Authenticate(context.Background(), auth.Credentials{Username: username, Password: password})
	require.Len(t, o.all(), 1, "the observer is told once")
	require.Equal(t, r, o.all()[0].result)
	requireSound(t, r, password)
	return r
}

// requireSound checks what is true of every result.
func requireSound(t testing.TB, r auth.Result, password string) {
	t.Helper()
	require.Equal(t, r.Outcome == auth.OK, r.User != nil, "a user comes with OK and with nothing else")
	require.Equal(t, r.Outcome == auth.OK || r.Outcome == auth.BadRequest, r.Cause == nil, "all else has a cause")
	require.Equal(t, r.Outcome == auth.BadRequest, r.Detail != "", "a detail comes with BadRequest alone")
	wait := r.Outcome == auth.DirectoryUnavailable || r.Outcome == auth.Overloaded || r.Outcome == auth.TooManyAttempts
	require.Equal(t, wait, r.RetryAfter > 0, "%v: Retry-After comes with 9, 11 and 12 alone", r.Outcome)
	if r.Cause != nil && password != "" {
		require.NotContains(t, r.Cause.Error(), password)
	}
	p := r.Phases
	require.Positive(t, p.Total)
	for name, d := range map[string]time.Duration{"wait": p.Wait, "search": p.Search, "bind": p.Bind} {
		require.GreaterOrEqual(t, d, time.Duration(0), name)
	}
	require.LessOrEqual(t, p.Throttle+p.Wait+p.Search+p.Bind, p.Total, "the phases are parts of the whole")
}

// requireOutcome compares outcomes and shows the cause of a wrong one.
func requireOutcome(t testing.TB, want auth.Outcome, r auth.Result) {
	t.Helper()
	require.Equal(t, want, r.Outcome, "cause: %v, detail: %s", r.Cause, r.Detail)
}

// person is the LDIF of a user with that name and the given further lines. Every byte of the name
// is escaped in its DN, so that the directory gets the name from something other than the code
// under test.
func person(uid, parent string, lines ...string) string {
	return "dn: " + personDN(uid, parent) + "\nobjectClass: inetOrgPerson\ncn: x\nsn: x\n" +
		attribute("uid", uid) + strings.Join(lines, "\n") + "\n\n"
}

// personDN is the DN of a user with every byte of the name escaped (RFC 4514 section 2.4).
func personDN(uid, parent string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := range len(uid) {
		b.WriteString(`\` + string(hex[uid[i]>>4]) + string(hex[uid[i]&0xf]))
	}
	return "uid=" + b.String() + "," + parent
}

// attribute is a line of LDIF, in base64 (RFC 2849).
func attribute(name, value string) string {
	return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
}

// unit is the LDIF of an organizational unit.
func unit(name, parent string) string {
	return "dn: ou=" + name + "," + parent + "\nobjectClass: organizationalUnit\nou: " + name + "\n\n"
}
