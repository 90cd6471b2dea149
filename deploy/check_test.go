package deploy_test

import (
	"bytes"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"
	"authsvc/internal/sampletest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checked is a run of authsvc check -forward.
type checked struct {
	steps []doctor.Step
	text  string // as printed
	url   string // of the front
}

// named returns the steps of a name that have a mark.
func (c *checked) named(name string, mark doctor.Mark) []doctor.Step {
	return slices.DeleteFunc(slices.Clone(c.steps), func(s doctor.Step) bool { return s.Name != name || s.Mark != mark })
}

// problems returns the names of the steps that failed or warn.
func (c *checked) problems() (names []string) {
	for _, s := range c.steps {
		if s.Mark == doctor.Failed || s.Mark == doctor.Warn {
			names = append(names, s.Name)
		}
	}
	return names
}

// checkForward examines what is behind a proxy, as a user of no group.
func checkForward(t *testing.T, f *front, admin string, configure ...func(*doctor.ForwardOptions)) *checked {
	t.Helper()
	at := func(path string) *url.URL {
		u, err := url.Parse(f.url + path)
		require.NoError(t, err)
		return u
	}
	c := checked{url: f.url}
	o := doctor.ForwardOptions{
		URL: at("/"), Echo: at("/echo"), Denied: at("/admin/"), User: ldaptest.Username(plain), Password: ldaptest.Password(plain),
		Headers: []string{"Remote-User", "Remote-Groups"},
		Service: &doctor.ForwardService{Realm: "authsvc", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Admin: admin},
		Tell:    func(s doctor.Step) { c.steps = append(c.steps, s) },
	}
	for _, change := range configure {
		change(&o)
	}
	require.NoError(t, doctor.ExamineForward(t.Context(), o))
	var b bytes.Buffer
	text, report := doctor.Text{W: &b}, doctor.Report{}
	for _, s := range c.steps {
		report.Add(s)
		text.Write(s)
	}
	text.Summary(&report)
	c.text = b.String()
	assert.NotContains(t, c.text, ldaptest.Password(plain))
	t.Logf("%s", c.text)
	return &c
}

func TestCheckForward_FindsNothingWrongWithTheRecipes(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc, admin := startService(t, slapd.URL())
	eachProxy(t, func(t *testing.T, p product) {
		t.Helper()
		c := checkForward(t, startFront(t, p, authsvc, startApplication(t)), admin)
		assert.Empty(t, c.problems())
		for _, name := range []string{
			"configuration", "connection", "no credentials", "wrong credentials", "client address", "right credentials", "cache", "forged headers",
			"identity headers", "forged identity", "underscore twins", "authsvc's headers", "Connection header", "password", "required group",
		} {
			assert.NotEmpty(t, c.named(name, doctor.OK), name)
		}
		assert.Contains(t, c.text, "no check failed")
		if p.name == "nginx" {
			samples.Compare(t, "forward recipe", c.output("authsvc check -forward http://127.0.0.1:8000/ -user user1 -password-stdin "+
				"-echo http://127.0.0.1:8000/echo -denied http://127.0.0.1:8000/admin/"))
		}
	})
}

// wrongProxy is a proxy that is not configured as its recipe is.
type wrongProxy struct {
	name    string
	start   func(t *testing.T, a addresses)
	environ []string // of authsvc
	step    string
	mark    doctor.Mark
	finding string
	remedy  string
}

func nginxWith(pairs ...string) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		startNginxWith(t, a, pairs...)
	}
}

func caddyWith(pairs ...string) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		startCaddyWith(t, "caddy", a, pairs...)
	}
}

func haproxyWith(script, pairs []string) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		startHAProxyWith(t, a, script, pairs)
	}
}

// awayFrom starts a proxy whose authsvc is away.
func awayFrom(start func(*testing.T, addresses)) func(*testing.T, addresses) {
	return func(t *testing.T, a addresses) {
		t.Helper()
		a.authsvc = ldaptest.FreeAddr(t)
		start(t, a)
	}
}

const nginxRoot = "    location / {\n"

func wrongProxies() []wrongProxy {
	return []wrongProxy{
		{name: "nginx: a location is open", start: nginxWith(nginxRoot, nginxRoot+"        auth_request off;\n"),
			step: "no credentials", mark: doctor.Failed, finding: "the location is open: 200 without credentials", remedy: "nginx: \"auth_request /_authsvc;\""},
		{name: "HAProxy: nobody asks", start: haproxyWith(nil, []string{"http-request lua.authsvc ", "# ", "http-request deny deny_status 502", "# "}),
			step: "no credentials", mark: doctor.Failed, finding: "the location is open", remedy: "HAProxy: \"http-request lua.authsvc\""},
		{name: "Caddy: nobody asks", start: caddyWith("forward_auth 127.0.0.1:8080 {", "@never path /never\n\t\tforward_auth @never 127.0.0.1:8080 {"),
			step: "no credentials", mark: doctor.Failed, finding: "the location is open", remedy: "Caddy: \"forward_auth\" before \"reverse_proxy\""},
		{name: "nginx: a location has a header of its own", start: nginxWith(nginxRoot, nginxRoot+"        proxy_set_header X-Own 1;\n"),
			step: "forged identity", mark: doctor.Failed, finding: "the application got its own Remote-User, Remote-Groups", remedy: "nginx: \"proxy_set_header Remote-User $authsvc_user;\""},
		{name: "HAProxy: a client's own headers stay", start: haproxyWith([]string{"for _, name in ipairs(identity) do", "for _, name in ipairs({}) do"}, []string{"http-request del-header ^(remote|authsvc)", "# "}),
			step: "forged identity", mark: doctor.Failed, finding: "the application got its own Remote-User, Remote-Groups", remedy: "HAProxy: \"http-request del-header"},
		{name: "nginx: underscores pass", start: nginxWith("underscores_in_headers off;", "underscores_in_headers on;"),
			step: "underscore twins", mark: doctor.Failed, finding: "the application got its Remote_User, Remote_Groups", remedy: "nginx: \"underscores_in_headers off;\""},
		{name: "HAProxy: underscores pass", start: haproxyWith(nil, []string{"^(remote|authsvc)[^a-z0-9] ", "^(remote|authsvc)- "}),
			step: "underscore twins", mark: doctor.Failed, finding: "the application got its Remote_User, Remote_Groups", remedy: "HAProxy: \"http-request del-header"},
		{name: "Caddy: underscores pass", start: caddyWith("request_header -Remote*", "request_header -Remote-*"),
			step: "underscore twins", mark: doctor.Failed, finding: "the application got its Remote_User, Remote_Groups", remedy: "Caddy: \"request_header -Remote*\""},
		{name: "HAProxy: the challenge is lost", start: haproxyWith([]string{`"www-authenticate", `, ""}, nil),
			step: "no credentials", mark: doctor.Failed, finding: "401 comes without authsvc's challenge", remedy: "HAProxy: \"www-authenticate\" in the list \"answered\""},
		{name: "nginx: another challenge", start: nginxWith(nginxRoot, nginxRoot+"        auth_basic other; auth_basic_user_file authsvc.conf;\n"),
			step: "no credentials", mark: doctor.Failed, finding: "another challenge than authsvc's (Basic realm=\"other\" instead)", remedy: "let authsvc alone ask for the password"},
		{name: "nginx: a login page", start: nginxWith(nginxRoot, "    location @login { auth_request off; return 302 /login; }\n"+nginxRoot+"        error_page 401 = @login;\n"),
			step: "no credentials", mark: doctor.Failed, finding: "302 without credentials, a redirect to", remedy: "if it leads to the same page at another address, give that one"},
		{name: "nginx: the proxy is not trusted", start: startNginx, environ: []string{"HTTP_TRUSTED_PROXIES="},
			step: "client address", mark: doctor.Failed, finding: "all users are one client to authsvc, 127.0.0.1: it is not in HTTP_TRUSTED_PROXIES", remedy: "set HTTP_TRUSTED_PROXIES=127.0.0.1"},
		{name: "nginx: the client's address is not sent", start: nginxWith("        proxy_set_header X-Forwarded-For $remote_addr;\n", ""),
			step: "client address", mark: doctor.Failed, finding: "that proxy sends no X-Forwarded-For", remedy: "nginx: \"proxy_set_header X-Forwarded-For $remote_addr;\""},
		{name: "nginx: the client's own address is believed", start: nginxWith("        proxy_set_header X-Forwarded-For $remote_addr;\n", "        proxy_set_header X-Forwarded-For $http_x_forwarded_for;\n"),
			step: "client address", mark: doctor.Failed, finding: "everybody can choose the address that the throttle counts", remedy: "nginx: \"proxy_set_header X-Forwarded-For $remote_addr;\""},
		{name: "Caddy: the client's own address is believed", start: caddyWith("header_up -Cookie", "header_up X-Forwarded-For {http.request.header.X-Forwarded-For}\n\t\t\theader_up -Cookie"),
			step: "client address", mark: doctor.Failed, finding: "everybody can choose the address", remedy: "Caddy: no header_up X-Forwarded-For"},
		{name: "nginx: everybody passes while authsvc is away", start: awayFrom(nginxWith("error_page 500 = @authsvc_failed;", "error_page 500 = @open;", nginxRoot, "    location @open { auth_request off; proxy_pass http://application; }\n"+nginxRoot)),
			step: "no credentials", mark: doctor.Failed, finding: "the location is open: 200 without credentials"},
		{name: "nginx: authsvc is away", start: awayFrom(startNginx),
			step: "no credentials", mark: doctor.Failed, finding: "502 to no credentials, not 401", remedy: "start authsvc"},
		{name: "HAProxy: any credentials pass", start: haproxyWith(nil, []string{"http-request lua.authsvc ", "http-request set-var(txn.authsvc_permits) bool(true) if { req.hdr(authorization) -m found }\n    http-request lua.authsvc ",
			"/auth/basic\n", "/auth/basic unless { req.hdr(authorization) -m found }\n"}),
			step: "wrong credentials", mark: doctor.Failed, finding: "a user who does not exist is let in: 200", remedy: "HAProxy: \"http-request lua.authsvc\""},
		{name: "nginx: answers are cached for everybody", start: nginxWith("upstream authsvc {", "proxy_cache_path cache keys_zone=answers:1m;\nupstream authsvc {",
			"        proxy_pass_request_body off;\n", "        proxy_cache answers; proxy_cache_key $uri; proxy_cache_valid 200 1m; proxy_ignore_headers Cache-Control Vary;\n        proxy_pass_request_body off;\n"),
			step: "cache", mark: doctor.Failed, finding: "a request without credentials gets 200: an answer is kept and given to others", remedy: "no proxy_cache in the location /_authsvc"},
		{name: "nginx: the application gets the password", start: nginxWith("proxy_set_header Authorization \"\";", "proxy_set_header Authorization $http_authorization;"),
			step: "password", mark: doctor.Warn, finding: "the application gets the password of every user", remedy: "nginx: \"proxy_set_header Authorization\""},
		{name: "Caddy: the identity can be removed", start: caddyWith("\t\t\theader_up Remote-User {http.request.header.Remote-User}\n", ""),
			step: "Connection header", mark: doctor.Failed, finding: "a client can have Remote-User removed", remedy: "Caddy: \"header_up Remote-User"},
		{name: "nginx: the application learns no name", start: nginxWith("proxy_set_header Remote-User $authsvc_user;", "proxy_set_header Remote-User $authsvc_usre;", "    auth_request_set $authsvc_user ", "    set $authsvc_usre \"\";\n    auth_request_set $authsvc_user "),
			step: "identity headers", mark: doctor.Failed, finding: "the application does not learn who user1 is", remedy: "nginx: \"proxy_set_header Remote-User $authsvc_user;\""},
		{name: "Caddy: the group is not required", start: caddyWith("import protected group=admins", "import protected \"\""),
			step: "required group", mark: doctor.Failed, finding: "200 to user1: the location requires no group", remedy: "Caddy: \"import protected group=admins\""},
		{name: "nginx: a client's own Authsvc-Key reaches the application", start: nginxWith("proxy_set_header Authsvc-Key \"\";", ""),
			step: "authsvc's headers", mark: doctor.Warn, finding: "a client's own Authsvc-Key"},
	}
}

func TestCheckForward_FindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 6, LDIF: directoryLDIF()})
	authsvc, admin := startService(t, slapd.URL())
	all := wrongProxies()
	rows := make([]string, len(all))
	t.Cleanup(func() { // when all have ended
		if slices.Contains(rows, "") {
			return // -run has chosen some, or one has failed
		}
		samples.Compare(t, "forward", "| what is wrong | the last lines |\n|---|---|\n"+strings.Join(rows, ""))
	})
	for i, c := range all {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			authsvc, admin := authsvc, admin
			if c.environ != nil {
				authsvc, admin = startService(t, slapd.URL(), c.environ...)
			}
			r := checkForward(t, startFront(t, product{start: c.start}, authsvc, startApplication(t)), admin)
			steps := r.named(c.step, c.mark)
			require.NotEmpty(t, steps, r.problems())
			assert.Contains(t, steps[0].Finding, c.finding)
			assert.Contains(t, steps[0].Remedy, c.remedy)
			for _, s := range r.steps {
				if s.Mark == doctor.Failed {
					assert.NotEmpty(t, s.Remedy, s.Name)
				}
			}
			assert.Equal(t, c.mark == doctor.Failed, strings.Contains(r.text, "FAILED "))
			rows[i] = r.row(c.name)
		})
	}
}

var samples = sampletest.Document{File: "../docs/doctor-samples.md", Command: "./deploy -run Check -update"}

// row returns a line of the document's table: the last lines of the output.
func (c *checked) row(what string) string {
	var b bytes.Buffer
	var report doctor.Report
	for _, s := range c.steps {
		report.Add(c.stable(s))
	}
	(&doctor.Text{W: &b, Width: 1 << 20}).Summary(&report)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	for i, line := range lines {
		lines[i] = strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(strings.TrimSpace(line))
	}
	return "| " + what + " | " + strings.Join(lines, "<br>") + " |\n"
}

// stable replaces what differs between runs: the front's address, the name that nobody has, and
// times.
func (c *checked) stable(s doctor.Step) doctor.Step {
	const front = "http://127.0.0.1:" + recipeListen
	s.Server = strings.ReplaceAll(s.Server, c.url, front)
	s.Finding = probeName.ReplaceAllString(strings.ReplaceAll(s.Finding, c.url, front), "authsvc-check-abcdefghijklmnopqrstuvwxyz")
	if s.TookMS = 1; s.Mark == doctor.Skipped {
		s.TookMS = 0
	}
	return s
}

// output returns the whole output as it is printed, in a fenced block below the command.
func (c *checked) output(command string) string {
	var b bytes.Buffer
	text, report := doctor.Text{W: &b, Width: 100}, doctor.Report{}
	for _, s := range c.steps {
		report.Add(c.stable(s))
		text.Write(c.stable(s))
	}
	text.Summary(&report)
	return "```console\n$ " + command + "\n" + b.String() + "```\n"
}

var probeName = regexp.MustCompile(`authsvc-check-[a-z2-7]+`)
