package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"authsvc/config"
	"authsvc/internal/loginclient"
	"authsvc/internal/visible"
)

const loginAbout = `Asks a running authsvc once whether a user has a password. It needs none of the service's settings.

On a terminal it asks for the name and, without echo, for the password. Otherwise standard input holds the name and
the password, each on a line. With -u it holds the password alone. With PAM_USER, which pam_exec sets, it holds the
password alone too, which may end with NUL. No flag and no variable takes a password.

Exit code 0: accepted. 1: rejected. 64: wrong usage. 75: nobody could say; try again later. 78: somebody must mend
something: a flag, a file, a certificate, a key or the service.
`

// Exit codes of login: those of sysexits.h, which mail servers and login programs know.
const (
	exitRejected   = 1
	exitLoginUsage = 64 // EX_USAGE
	exitTryAgain   = 75 // EX_TEMPFAIL
	exitSetup      = 78 // EX_CONFIG
)

const (
	loginTimeout    = 15 * time.Second // longer than the service's own AUTH_TIMEOUT
	maxLoginTimeout = 10 * time.Minute
	maxLoginInput   = 4096 // bytes of standard input
)

// loginOptions are the flags of login.
type loginOptions struct {
	user     *string // nil if -u is absent
	url      string
	asJSON   bool
	timeout  time.Duration
	keyFile  string
	caFile   string
	certFile string
	certKey  string
}

// login asks a service about one login.
func (p *program) login(ctx context.Context, args []string) error {
	o, err := p.loginOptions(args)
	if err != nil {
		return err
	}
	client, err := o.client()
	if err != nil {
		return &exitError{exitSetup, fmt.Errorf("login: %w", err)}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	asked, err := p.credentials(ctx, o)
	switch {
	case errors.Is(err, context.Canceled):
		return &exitError{exitTryAgain, errors.New("login: interrupted")}
	case err != nil:
		return &exitError{exitLoginUsage, fmt.Errorf("login: %w", err)}
	}
	if err := asked.Validate(); err != nil { // the service would call it a bad request, which it is not
		return &exitError{exitRejected, fmt.Errorf("login: rejected: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	answer, err := client.Ask(ctx, asked)
	switch {
	case errors.Is(err, loginclient.ErrUnavailable):
		return &exitError{exitTryAgain, fmt.Errorf("login: %w", err)}
	case err != nil:
		return &exitError{exitSetup, fmt.Errorf("login: %w", err)}
	}
	return p.report(answer, o.asJSON)
}

// loginOptions reads the flags.
func (p *program) loginOptions(args []string) (*loginOptions, error) {
	o := &loginOptions{}
	f := p.flags("login", loginAbout)
	user := f.String("u", "", "the user's `NAME`")
	f.StringVar(&o.url, "url", "http://127.0.0.1:8080", "where the service is: `URL` without /auth")
	f.BoolVar(&o.asJSON, "json", false, "print the service's answer, as one line of JSON")
	timeout := durationFlag(f, "timeout", "wait for standard input, and then for the answer, for `TIME` (default 15s)")
	f.StringVar(&o.keyFile, "api-key-file", "", "`FILE` with the caller's API key")
	f.StringVar(&o.caFile, "ca-file", "", "`FILE` with the authorities to trust, in PEM, instead of the system's")
	f.StringVar(&o.certFile, "cert-file", "", "`FILE` with the caller's certificate, in PEM")
	f.StringVar(&o.certKey, "cert-key-file", "", "`FILE` with the key of -cert-file, in PEM")
	*timeout = loginTimeout
	if err := p.parse(f, args); err != nil {
		if errors.Is(err, errHelp) {
			return nil, err
		}
		return nil, &exitError{exitLoginUsage, err}
	}
	o.timeout = *timeout
	if isSet(f, "u") {
		o.user = user
	}
	wrong := ""
	switch {
	case o.timeout <= 0 || o.timeout > maxLoginTimeout:
		wrong = "-timeout must be more than 0 and at most 10m"
	case (o.certFile == "") != (o.certKey == ""):
		wrong = "-cert-file and -cert-key-file need each other"
	case (o.caFile != "" || o.certFile != "") && !strings.HasPrefix(strings.ToLower(o.url), "https:"):
		wrong = "-ca-file and -cert-file need a -url that begins with https:"
	}
	if wrong != "" {
		return nil, &exitError{exitLoginUsage, errors.New("login: " + wrong)}
	}
	return o, nil
}

// client reads the files that the flags name.
func (o *loginOptions) client() (*loginclient.Client, error) {
	key, err := config.ReadAPIKey(o.keyFile)
	if err != nil {
		return nil, fmt.Errorf("-api-key-file: %w", err)
	}
	roots, err := config.ReadRoots(o.caFile)
	if err != nil {
		return nil, fmt.Errorf("-ca-file: %w", err)
	}
	certs, err := config.ReadKeyPair(o.certFile, o.certKey)
	if err != nil {
		return nil, fmt.Errorf("-cert-file: %w", err)
	}
	client, err := loginclient.New(loginclient.Config{URL: o.url, Key: key, Roots: roots, Certificates: certs})
	if err != nil {
		return nil, fmt.Errorf("-url: %w", err)
	}
	return client, nil
}

// credentials reads the name, the password and where the user is.
func (p *program) credentials(ctx context.Context, o *loginOptions) (l loginclient.Login, err error) {
	if isTerminal(p.stdin) {
		l.Username, l.Password, err = p.askPerson(ctx, o.user)
		return l, err
	}
	name := o.user
	if pamUser, ok := variable(p.environ, "PAM_USER"); ok && name == nil {
		// The name never comes from standard input here: a PAM user chooses the password, and could
		// write another user's name into it.
		name = &pamUser
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	input, err := inputOf(ctx, p.stdin, readAll)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("must end within %v, which -timeout sets", o.timeout)
	case err != nil:
	case name == nil:
		l.Username, l.Password, err = loginclient.SplitPair([]byte(input))
	default:
		l.Username = *name
		l.Password, err = loginclient.OnlyPassword([]byte(input))
	}
	if err != nil {
		return l, fmt.Errorf("standard input: %w", err)
	}
	l.Client = userAddr(p.environ)
	return l, nil
}

// askPerson asks for the name, if it is not given, and for the password.
func (p *program) askPerson(ctx context.Context, given *string) (name, password string, err error) {
	if given != nil {
		name = *given
	} else {
		fmt.Fprint(p.stderr, "Username: ")
		if name, err = inputOf(ctx, p.stdin, readLine); err != nil {
			return "", "", fmt.Errorf("username: %w", err)
		}
	}
	password, err = p.readPassword(ctx)
	if err != nil && !errors.Is(err, errEmptyPassword) { // an empty password is rejected, as any that no user can have
		return "", "", fmt.Errorf("password: %w", err)
	}
	return name, password, nil
}

// readAll reads to the end, and not more than a name and a password can be.
func readAll(r io.Reader) (string, error) {
	input, err := io.ReadAll(io.LimitReader(r, maxLoginInput+1))
	if err == nil && len(input) > maxLoginInput {
		err = fmt.Errorf("must be at most %d bytes", maxLoginInput)
	}
	return string(input), err
}

// userAddr is the address of the user's machine, from the variables that pam_exec and Apache's
// mod_authnz_external set. It is the zero value if they are absent or hold no address: PAM_RHOST
// may be a name.
func userAddr(environ []string) netip.Addr {
	text, ok := variable(environ, "PAM_RHOST")
	if authType, _ := variable(environ, "AUTHTYPE"); !ok && authType == "PASS" {
		text, _ = variable(environ, "IP")
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr.WithZone("")
}

// report prints an answer and gives the exit code that it means.
func (p *program) report(a loginclient.Answer, asJSON bool) error {
	code := loginExit(a.Status)
	if asJSON {
		if _, err := fmt.Fprintln(p.stdout, a.JSON); err != nil {
			return &exitError{exitTryAgain, err}
		}
		if code == exitOK {
			return nil
		}
		return &exitError{code, errFailed}
	}
	detail := fmt.Sprintf("(status %d, request ID %s)", a.Status, a.RequestID)
	switch code {
	case exitOK:
		_, err := fmt.Fprintln(p.stdout, accepted(a))
		return err
	case exitRejected:
		return &exitError{code, fmt.Errorf("login: rejected: %s %s", a.Message, detail)}
	case exitTryAgain:
		after := ""
		if a.RetryAfter > 0 {
			after = fmt.Sprintf(" in %d seconds", a.RetryAfter)
		}
		return &exitError{code, fmt.Errorf("login: try again%s: %s %s", after, a.Message, detail)}
	}
	message, remedy := a.Message, "the service's log says more"
	switch a.Status {
	case 10:
		remedy = "is -url that of the service, without /auth, and of its version?"
	case 14:
	case 15:
		remedy = "the service knows neither the key of -api-key-file nor the certificate of -cert-file"
	default:
		message, remedy = "a status that this program does not know", "is the service newer?"
	}
	return &exitError{code, fmt.Errorf("login: %s %s; %s", message, detail, remedy)}
}

// loginExit is the exit code for a status of the service.
func loginExit(status int) int {
	switch status {
	case 0:
		return exitOK
	case 1, 2, 3, 4, 5, 6, 7, 8:
		return exitRejected
	case 9, 11, 12, 13:
		return exitTryAgain
	}
	return exitSetup
}

// accepted is the line for an accepted login.
func accepted(a loginclient.Answer) string {
	line := "accepted: " + a.Username
	for _, w := range a.Warnings {
		switch w.Code {
		case "password_expiring":
			line += fmt.Sprintf("; the password expires in %v", time.Duration(w.Seconds)*time.Second)
		case "grace_logins":
			line += fmt.Sprintf("; logins left with this password: %d", w.Remaining)
		}
	}
	return visible.Escape(line, func(rune) bool { return false })
}
