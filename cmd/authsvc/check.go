package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"authsvc/config"
	"authsvc/internal/app"
	"authsvc/internal/doctor"
	"authsvc/internal/sharedthrottle"

	"golang.org/x/term"
)

const checkAbout = `Checks every step of a login with the service's own configuration. For each step it reports the result and, if
something is wrong, how to fix it. It changes nothing in the directory. Exit code 0: no step failed. 1: a step failed.
2: wrong usage or configuration.

With -forward it checks forward authentication instead, through the reverse proxy, from any machine that reaches it. It
sends a wrong password of a user who does not exist, at most twice. Whom authsvc takes for the client is seen only on the
service's machine and with its environment. See docs/forward-auth.md, Check it.
`

// maxPasswordLine bounds a line with a password, in bytes.
const maxPasswordLine = 4096

// errFailed is the result of a check that found a fault. The report describes the fault.
var errFailed = errors.New("a step failed")

// errEmptyPassword is the error of a password that is empty.
var errEmptyPassword = errors.New("the password must not be empty")

// check runs the doctor.
func (p *program) check(ctx context.Context, args []string) error {
	f := p.flags("check", checkAbout)
	user := f.String("user", "", "explain the login of the user `NAME`, without a password")
	withPassword := f.Bool("password-stdin", false, "read the password of -user from standard input and try it once")
	asJSON := f.Bool("json", false, "write the report as JSON")
	idle := durationFlag(f, "idle", "finally, keep connections idle for up to `TIME` and measure when they are dropped")
	replicas := countFlag(f, "replicas", "compare the connections of so many instances, `N`, with each server's own limit")
	forward := forwardFlags(f)
	if err := p.parse(f, args); err != nil {
		return err
	}
	if err := forward.wrong(f); err != nil {
		return &usageError{fmt.Errorf("check: %w", err)}
	}
	switch {
	case isSet(f, "user") && *user == "":
		return &usageError{errors.New("check: -user must not be empty")}
	case *withPassword && *user == "":
		return &usageError{errors.New("check: -password-stdin needs -user")}
	case *idle < 0:
		return &usageError{errors.New("check: -idle must not be negative")}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	password := func() (string, error) { return "", nil }
	if *withPassword {
		password = func() (string, error) { return p.checkPassword(ctx) }
	}
	w := &checkWriter{report: doctor.Report{OK: true}, stdout: p.stdout, asJSON: *asJSON}
	w.text = doctor.Text{W: p.stdout, Colour: p.colours(), Width: terminalWidth(p.stdout)}
	environ := p.environ
	if forward.url != "" {
		environ = forwardEnviron(environ)
	}
	cfg, err := config.Load(environ)
	if err != nil {
		return p.misconfigured(&w.report, err, *asJSON)
	}
	if forward.url != "" {
		err = p.checkForward(ctx, cfg, forward, *user, password, w)
	} else {
		err = p.checkDirectory(ctx, cfg, doctor.Options{User: *user, Idle: *idle, Replicas: *replicas}, password, w)
	}
	if err != nil {
		return err
	}
	return w.end()
}

// checkPassword reads the password of -user.
func (p *program) checkPassword(ctx context.Context) (string, error) {
	password, err := p.readPassword(ctx)
	if err != nil {
		err = &usageError{fmt.Errorf("check: -password-stdin: %w", err)}
	}
	return password, err
}

// checkDirectory examines the way to the directory, as the flags say.
func (p *program) checkDirectory(ctx context.Context, cfg *config.Config, flags doctor.Options, password func() (string, error), w *checkWriter) error {
	o, err := p.examination(cfg)
	if err != nil {
		return err
	}
	if o.Password, err = password(); err != nil {
		return err
	}
	o.User, o.Idle, o.Replicas, o.Tell = flags.User, flags.Idle, flags.Replicas, w.tell
	o.Progress = func(line string) { fmt.Fprintln(p.stderr, doctor.Printable(line)) }
	return doctor.Examine(ctx, o)
}

// checkWriter writes the steps of a check.
type checkWriter struct {
	report doctor.Report
	text   doctor.Text
	stdout io.Writer
	asJSON bool
}

// tell writes a step; as JSON the whole report is written at the end.
func (w *checkWriter) tell(s doctor.Step) {
	w.report.Add(s)
	if !w.asJSON {
		w.text.Write(s)
	}
}

// end writes what comes after the last step. The error is errFailed if a step failed.
func (w *checkWriter) end() (err error) {
	if w.asJSON {
		err = w.report.WriteJSON(w.stdout)
	} else {
		w.text.Summary(&w.report)
	}
	if err == nil && !w.report.OK {
		err = errFailed
	}
	return err
}

// examination returns the doctor's options: the pool and the logins as the service would configure
// them.
func (p *program) examination(cfg *config.Config) (doctor.Options, error) {
	pool, err := app.PoolConfig(cfg)
	if err != nil {
		return doctor.Options{}, err
	}
	logins, err := app.LoginConfig(cfg)
	if err != nil {
		return doctor.Options{}, err
	}
	a := &cfg.Auth
	var shared *sharedthrottle.Config
	if len(a.Redis.Addrs) > 0 {
		c, err := app.SharedThrottleConfig(cfg)
		if err != nil {
			return doctor.Options{}, err
		}
		shared = &c
	}
	return doctor.Options{
		Pool: pool, Logins: logins, Warnings: slices.DeleteFunc(slices.Clone(cfg.Warnings), ofListener),
		ClientFailures: a.ThrottleFailures, AccountFailures: a.ThrottleAccountFailures, Window: a.ThrottleWindow,
		Shared: shared,
	}, nil
}

// ofListener reports whether a warning is about where the service listens. The doctor examines the
// way to the directory. It often runs where HTTP_ADDR is not set as it is for the service.
func ofListener(warning string) bool { return strings.HasPrefix(warning, "HTTP_ADDR: ") }

// misconfigured reports a configuration that cannot be loaded, so that there is nothing to examine.
func (p *program) misconfigured(report *doctor.Report, err error, asJSON bool) error {
	var wrong *config.Error
	if asJSON && errors.As(err, &wrong) {
		for _, problem := range wrong.Problems {
			step := doctor.Step{Name: "configuration", Mark: doctor.Failed, Finding: problem.Variable + ": " + problem.Text}
			if problem.Example != "" {
				step.Remedy = "for example " + problem.Example
			}
			report.Add(step)
		}
		if err := report.WriteJSON(p.stdout); err != nil {
			return err
		}
	}
	return &usageError{err}
}

// readPassword reads a line. A terminal does not show the line while it is typed. It shows input
// again afterwards, also after a signal.
func (p *program) readPassword(ctx context.Context) (string, error) {
	if p.stdin == nil {
		return "", errors.New("standard input is closed")
	}
	read := readLine
	fd := int(p.stdin.Fd())
	if state, err := term.GetState(fd); err == nil {
		defer fmt.Fprintln(p.stderr)
		defer func() { _ = term.Restore(fd, state) }() // nothing can be done if this fails
		if !hideInput(fd) {
			read = func(io.Reader) (string, error) {
				line, err := term.ReadPassword(fd)
				return string(line), err
			}
		}
		fmt.Fprint(p.stderr, "Password: ")
	}
	line, err := inputOf(ctx, p.stdin, read)
	if line == "" && (err == nil || errors.Is(err, io.EOF)) {
		err = errEmptyPassword
	}
	return line, err
}

// inputOf returns what read reads of r, or an error if ctx ends before.
func inputOf(ctx context.Context, r io.Reader, read func(io.Reader) (string, error)) (string, error) {
	type answer struct {
		input string
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // it may block for ever; then it ends with the process
		input, err := read(r)
		answered <- answer{input, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answered:
		return a.input, a.err
	}
}

// readLine reads up to a newline, which a shell's echo adds to a password, or to the end.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) <= maxPasswordLine {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, b[:n]...)
	}
	return "", fmt.Errorf("the line must be at most %d bytes", maxPasswordLine)
}

// colours reports whether output has colours: on a terminal, unless NO_COLOR is set (no-color.org).
func (p *program) colours() bool {
	set := func(e string) bool { return strings.HasPrefix(e, "NO_COLOR=") && e != "NO_COLOR=" }
	return isTerminal(p.stdout) && !slices.ContainsFunc(p.environ, set)
}
