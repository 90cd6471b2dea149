package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"authsvc/config"
	"authsvc/internal/app"
	"authsvc/internal/demo"
)

// The demo's usual addresses. If it cannot listen on one of them, it uses any free port instead.
const (
	demoLDAPAddr  = "127.0.0.1:3890"
	demoHTTPAddr  = "127.0.0.1:8080"
	demoAdminAddr = "127.0.0.1:9090"
)

// demo runs the service on an embedded directory.
func (p *program) demo(ctx context.Context, args []string) error {
	f := p.flags("demo", "Runs the service on loopback with an embedded directory of sample users, and prints requests to try. It reads\nonly LOG_LEVEL and LOG_FORMAT from the environment.")
	cut := durationFlag(f, "cut-idle", "reset every directory connection that is idle for this `TIME`, for example 5s; 0 is never")
	if err := p.parse(f, args); err != nil {
		return err
	}
	if *cut < 0 {
		return &usageError{errors.New("demo: -cut-idle must not be negative, as in -cut-idle 5s")}
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	cfg, err := config.Load(p.demoEnviron("LDAP_URL=ldap://"+demoLDAPAddr,
		"HTTP_ADDR="+orAnyPort(ctx, demoHTTPAddr), "ADMIN_ADDR="+orAnyPort(ctx, demoAdminAddr)))
	if err != nil {
		return &usageError{err}
	}
	log := newLogger(cfg, p.stdout)
	directory, err := demo.Start(demo.Config{Addr: orAnyPort(ctx, demoLDAPAddr), CutIdle: *cut, Logger: log})
	if err != nil {
		return err
	}
	cfg.LDAP.URLs = config.List{directory.URL()}
	a, err := app.New(ctx, cfg, app.Options{Build: thisBuild(), Log: log})
	if err != nil {
		return errors.Join(err, directory.Close())
	}
	p.shout(directory, a.Addr().String(), a.AdminAddr().String(), *cut)
	return errors.Join(runToEnd(ctx, a, cfg), directory.Close())
}

// demoEnviron returns the demo's configuration, including the variables of the environment that the
// demo uses.
func (p *program) demoEnviron(more ...string) []string {
	environ := append([]string{
		"LDAP_BIND_DN=" + demo.ServiceDN, "LDAP_BIND_PASSWORD=" + demo.ServicePassword,
		"LDAP_BASE_DN=" + demo.PeopleDN, "LDAP_ATTRIBUTES=cn,mail", "LOG_FORMAT=text",
	}, more...)
	for _, v := range p.environ {
		name, value, _ := strings.Cut(v, "=")
		if value != "" && (name == "LOG_LEVEL" || name == "LOG_FORMAT") {
			environ = append(environ, v)
		}
	}
	return environ
}

// orAnyPort returns the wanted address, or port 0 of the same host if nothing can listen on the
// wanted one. Port 0 stands for any free port.
func orAnyPort(ctx context.Context, wanted string) string {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", wanted)
	if err != nil {
		host, _, _ := net.SplitHostPort(wanted) // the listener that uses the address reports what else is wrong
		return net.JoinHostPort(host, "0")
	}
	_ = l.Close() // nothing was served on it
	return wanted
}

// shout prints that this is a demo, and what to try.
func (p *program) shout(d *demo.Directory, addr, admin string, cut time.Duration) {
	u := d.Users()[0]
	fmt.Fprintf(p.stdout, `
  *** THIS IS A DEMO: the passwords of its embedded directory are public. Protect nothing with it. ***

  Try it, from another terminal:

    %s
    # {"status":0,... "message":"auth ok"}

    %s
    # {"status":1,... "message":"invalid user"}

    %s
    # {"status":2,... "message":"invalid password"}

`, curl(addr, u.Username, u.Password), curl(addr, "nobody", "whatever"), curl(addr, u.Username, "wrong"))
	fmt.Fprintf(p.stdout, "  Sample users and their passwords:\n\n")
	for _, u := range d.Users() {
		fmt.Fprintf(p.stdout, "    %-14s %s\n", u.Username, u.Password)
	}
	fmt.Fprintf(p.stdout, "\n  Run the doctor on this directory:\n\n"+
		"    LDAP_URL=%s LDAP_BIND_DN=%s LDAP_BIND_PASSWORD=%s LDAP_BASE_DN=%s \\\n      %s check -user %s\n",
		d.URL(), demo.ServiceDN, demo.ServicePassword, demo.PeopleDN, ownCommand(), u.Username)
	fmt.Fprintf(p.stdout, "\n  Health   http://%s/healthz\n  Metrics  http://%s/metrics\n  Status   http://%s/\n", addr, admin, admin)
	if cut > 0 {
		fmt.Fprintf(p.stdout, "  The directory resets every connection that is idle for %v. No login fails because of that.\n", cut)
	}
	fmt.Fprintf(p.stdout, "\n  Press Ctrl-C to stop.\n\n")
}

// ownCommand returns how a shell calls this program: by its name if the shell finds it, otherwise
// by its path. After "go run" the shell does not find it. The path then leads to the built program,
// which exists while it runs.
func ownCommand() string {
	const name = "authsvc"
	path, err := os.Executable()
	if err != nil {
		return name
	}
	own, err := os.Stat(path)
	if found, e := exec.LookPath(name); err == nil && e == nil {
		if other, err := os.Stat(found); err == nil && os.SameFile(own, other) {
			return name
		}
	}
	return shellWord(path)
}

// shellWord quotes a word for a shell if necessary.
func shellWord(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// curl returns the command that logs in.
func curl(addr, username, password string) string {
	return fmt.Sprintf(`curl -s http://%s/auth -H 'Content-Type: application/json' -d '{"username":"%s","password":"%s"}'`, addr, username, password)
}
