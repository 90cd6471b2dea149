package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"authsvc/internal/loginclient"
	"authsvc/internal/probe"
)

// ForwardOptions say what to check of forward authentication, through the reverse proxy.
type ForwardOptions struct {
	URL    *url.URL       // a location that authsvc protects
	Echo   *url.URL       // one whose application answers with the headers that it got; nil: none
	Denied *url.URL       // one that requires a group which the user is not in; nil: none
	Roots  *x509.CertPool // nil for the system's authorities

	User, Password string // of a login that must succeed; both empty: none is tried

	Headers []string        // names of the identity headers
	Service *ForwardService // nil if the service's settings are not known here

	Timeout time.Duration // of each request; 0 is 15 seconds

	// Tell is called with each finished step, by one goroutine at a time.
	Tell func(Step)
}

// ForwardService is what the settings of the service behind the proxy say.
type ForwardService struct {
	Realm          string // of the challenge
	TrustedProxies []netip.Prefix
	Admin          string // HOST:PORT of the admin listener; empty if it is off
}

// forwardTimeout is longer than the service's own AUTH_TIMEOUT.
const forwardTimeout = 15 * time.Second

// forgedAddress is what the doctor claims in X-Forwarded-For, an address for documentation (RFC
// 5737).
const forgedAddress = "192.0.2.1"

// forward is one examination of forward authentication.
type forward struct {
	ForwardOptions
	doctor  *doctor
	client  *http.Client
	product string     // the proxy, as it says itself; empty if it does not
	local   netip.Addr // this machine's address, as the last connection had it
	nobody  login      // of a user who does not exist
	token   string     // in every forged value
	forged  []forgery
}

// login is a name and a password; nil sends none.
type login struct{ name, password string }

// ExamineForward checks what a reverse proxy and authsvc answer together. It sends one wrong
// password, twice, of a user who does not exist. It sends the given password only to a location
// that rejects requests without it. It returns when the checks are done or ctx has ended.
func ExamineForward(ctx context.Context, o ForwardOptions) error {
	o.Timeout = cmp.Or(o.Timeout, forwardTimeout)
	f := &forward{
		ForwardOptions: o, doctor: &doctor{Options: Options{Password: o.Password, Tell: o.Tell}},
		client: loginclient.NewHTTP(o.Roots, nil), nobody: login{probe.NewName(), rand.Text()}, token: "forged" + rand.Text(),
	}
	f.forged = forgeries(o.Headers, f.token)
	f.doctor.do("", "configuration", f.checkSettings)
	f.examine(ctx)
	return ctx.Err()
}

// examine checks the proxy.
func (f *forward) examine(ctx context.Context) {
	var first reply
	if !f.do("connection", func() finding {
		first = f.ask(ctx, f.URL, question{})
		return f.checkConnection(first)
	}) {
		return
	}
	f.do("no credentials", func() finding { return f.judgeNoCredentials(first) })
	if first.status != http.StatusUnauthorized {
		f.skip("all other steps", "not checked: they need a location that answers 401 to requests without credentials")
		return
	}
	var wrong reply
	f.do("wrong credentials", func() finding {
		wrong = f.ask(ctx, f.URL, question{login: &f.nobody, header: http.Header{"X-Forwarded-For": {forgedAddress}}})
		return f.judgeWrong(wrong)
	})
	f.do("client address", func() finding { return f.checkClient(ctx) })
	right := false
	switch {
	case f.Password == "":
		f.skip("right credentials", "not checked: no credentials were given (-user NAME -password-stdin)")
	case wrong.status != http.StatusUnauthorized:
		f.skip("right credentials", "not checked: wrong credentials are not rejected as they must be, so the password was not sent")
	default:
		right = f.do("right credentials", func() finding { return f.checkRight(ctx) })
	}
	if right && !f.do("cache", func() finding { return f.checkCache(ctx) }) {
		f.skip("all other steps", "not checked: their answers may be kept ones")
		return
	}
	f.do("forged headers", func() finding { return f.checkForged(ctx, right) })
	f.examineEcho(ctx, right)
	f.examineDenied(ctx, right)
	f.skip("not checked", "what cannot be caused from here: the answers to a throttled user (429), while the directory is away (503, 504), and while "+
		"authsvc is away; other paths to the application than this proxy; other locations than those given. See docs/forward-auth.md, Outcomes")
}

// checkSettings reports what is known of the service.
func (f *forward) checkSettings() finding {
	names := strings.Join(f.Headers, ", ")
	if f.Service == nil {
		return skip("LDAP_URL is not set, so the settings here are not the service's: its realm, HTTP_TRUSTED_PROXIES and admin listener are unknown; identity headers %s", names)
	}
	return pass("the service's settings; identity headers %s; realm %q", names, f.Service.Realm)
}

// checkConnection reports whether the proxy answers, and whether passwords are safe on the way.
func (f *forward) checkConnection(a reply) finding {
	switch {
	case a.err != nil:
		return fail("correct -forward, the URL of a location behind the proxy; or start the proxy", "%v", a.err)
	case a.tls == nil && !f.local.IsLoopback():
		return warn("serve the location with TLS and no longer without it: a password travels with every request",
			"the proxy answers without TLS, so everybody on the way can read the passwords")
	case a.tls == nil:
		return pass("the proxy answers, without TLS on this machine%s", f.named())
	}
	leaf := a.tls.PeerCertificates[0]
	return pass("the proxy answers with TLS, certificate of %s until %s%s", leaf.Subject, leaf.NotAfter.UTC().Format("2006-01-02"), f.named())
}

// named tells the proxy's product.
func (f *forward) named() string {
	if f.product == "" {
		return ""
	}
	return "; it says that it is " + f.product
}

// judgeWrong judges the answer to a user who does not exist.
func (f *forward) judgeWrong(a reply) finding {
	switch {
	case a.err != nil:
		return fail(tryAgain, "%v", a.err)
	case a.status == http.StatusUnauthorized && !f.challenges(a):
		return fail(f.lines(passChallenge), "401 to wrong credentials comes without authsvc's challenge%s, so browsers do not ask for others", f.instead(a))
	case a.status == http.StatusUnauthorized:
		return pass("401 with the challenge to %s, who does not exist", f.nobody.name)
	case a.status < 400:
		return fail("ask authsvc about every request, and let nobody in if it cannot answer: "+f.lines(askAuthsvc),
			"a user who does not exist is let in: %d to a random name and password%s", a.status, a.redirect())
	}
	return f.unexpected(a, "wrong credentials", "401")
}

// checkRight logs in as the user, once.
func (f *forward) checkRight(ctx context.Context) finding {
	a := f.ask(ctx, f.URL, question{login: &login{f.User, f.Password}})
	switch {
	case a.err != nil:
		return fail(tryAgain, "%v", a.err)
	case a.status == http.StatusOK:
		return pass("200 to %s: the application's answer", f.User)
	case a.status < 400:
		return pass("%d to %s: the application's answer%s", a.status, f.User, a.redirect())
	case a.status == http.StatusUnauthorized:
		return fail("check the password with authsvc check -user NAME -password-stdin where the service runs; if it is right, the proxy does not pass Authorization on to authsvc, or the application has a login of its own",
			"401 to %s: the password is wrong, or authsvc got another or none", f.User)
	case a.status == http.StatusForbidden:
		return fail("read the line of this login in authsvc's audit log; give -user a user who may pass",
			"403 to %s: the password is right, but the account is locked, expired or disabled, or in no required group%s", f.User, a.accountStatus())
	case a.status == http.StatusNotFound:
		return warn("give -forward a page that exists", "404 to %s: authsvc lets the user in, and the application does not have the page", f.User)
	}
	return f.unexpected(a, "right credentials", "200")
}

// checkCache repeats requests that must be rejected, after one that was not.
func (f *forward) checkCache(ctx context.Context) finding {
	for _, q := range []struct {
		what string
		question
	}{{"without credentials", question{}}, {"with wrong credentials", question{login: &f.nobody}}} {
		a := f.ask(ctx, f.URL, q.question)
		switch {
		case a.err != nil:
			return fail(tryAgain, "%v", a.err)
		case a.status < 400:
			return fail(dropCache, "after %s got in, a request %s gets %d: an answer is kept and given to others", f.User, q.what, a.status)
		case a.status != http.StatusUnauthorized:
			return f.unexpected(a, "a request "+q.what, "401")
		}
	}
	return pass("after %s got in, requests without credentials and with wrong ones still get 401", f.User)
}

// checkForged sends everything that a client may claim of itself, and compares the answers with
// those to the same requests without it.
func (f *forward) checkForged(ctx context.Context, right bool) finding {
	header := http.Header{}
	for _, g := range f.forged {
		header[g.name] = []string{g.value}
	}
	a := f.ask(ctx, f.URL, question{header: header})
	switch {
	case a.err != nil:
		return fail(tryAgain, "%v", a.err)
	case a.status < 400:
		return fail("the location trusts a header of the client: "+f.lines(removeOwn), "a request without credentials, but with forged headers, gets %d", a.status)
	case !right:
		return pass("a request without credentials, but with forged %s, gets %d", f.names(), a.status)
	}
	a = f.ask(ctx, f.URL, question{login: &login{f.User, f.Password}, header: header})
	switch {
	case a.err != nil:
		return fail(tryAgain, "%v", a.err)
	case a.status >= 400:
		return warn(f.lines(removeOwn), "with forged headers %s gets %d: a client's own Authsvc-Key or Authsvc-Require-Group reaches authsvc", f.User, a.status)
	}
	return pass("forged %s, their twins with underscores and in other case do not change the answers", f.names())
}

// names lists the identity headers.
func (f *forward) names() string { return strings.Join(f.Headers, ", ") }

// examineDenied checks the location that the user must not reach.
func (f *forward) examineDenied(ctx context.Context, right bool) {
	switch {
	case f.Denied == nil:
		f.skip("required group", "not checked: no location was given that requires a group which -user is not in (-denied URL)")
		return
	case !right:
		f.skip("required group", "not checked: it needs right credentials")
		return
	}
	f.doctor.do(shown(f.Denied), "required group", func() finding {
		if a := f.ask(ctx, f.Denied, question{}); a.err != nil || a.status != http.StatusUnauthorized {
			return f.open(a)
		}
		a := f.ask(ctx, f.Denied, question{login: &login{f.User, f.Password}})
		switch {
		case a.err != nil:
			return fail(tryAgain, "%v", a.err)
		case a.status == http.StatusForbidden:
			return pass("403 to %s%s", f.User, a.accountStatus())
		case a.status < 400:
			return fail("require the group there, as in the recipe's example for admins: "+f.lines(requireGroup),
				"%d to %s: the location requires no group, or the user is in it", a.status, f.User)
		case a.status == http.StatusInternalServerError:
			return fail("set LDAP_GROUP_BASE_DN or another variable of groups, and read authsvc's log", "500 to %s: authsvc does not look up groups, or has failed", f.User)
		}
		return f.unexpected(a, "a user who is not in the group", "403")
	})
}

// do does a step at the proxy.
func (f *forward) do(name string, look func() finding) bool {
	return f.doctor.do(shown(f.URL), name, look)
}

func (f *forward) skip(name, why string) {
	f.doctor.report(shown(f.URL), name, 0, skip("%s", why))
}

// shown is a URL without its query, which may hold a secret.
func shown(u *url.URL) string { return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.EscapedPath()) }
