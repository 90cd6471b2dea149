package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the command as its users do. What the scripts can say beyond testscript's own is in commands.
func TestScripts(t *testing.T) {
	t.Parallel()
	hold(t, demoLDAPAddr, demoHTTPAddr, demoAdminAddr)
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DOCS", docs)
			e.Values["tb"] = e.T().(testing.TB)
			e.Values["started"] = map[string]*started{}
			e.Values["directory"] = ldaptest.NewDirectory()
			return nil
		},
		Cmds: commands(),

		RequireExplicitExec: true, RequireUniqueNames: true,
	})
}

// hold keeps the usual ports of demos taken, so that those that run here at one time do not vie for them.
func hold(t *testing.T, addrs ...string) {
	t.Helper()
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		switch {
		case err == nil:
			t.Cleanup(func() { l.Close() })
		case !errors.Is(err, syscall.EADDRINUSE):
			t.Fatal(err)
		}
	}
}

// commands are what scripts can do besides.
//
//	exits CODE PROGRAM [ARG...]     run it to its end
//	start NAME PROGRAM [ARG...]     run it in the background, with its output in NAME.log
//	await NAME REGEXP [VAR...]      wait until its output has a match behind the last one that was awaited; VARs get the groups
//	end NAME SIGNAL CODE            send a signal and wait for the end
//	directory start|stop            an LDAP server at $LDAP_URL with the users of ldaptest
//	get URL CODE                    ask until that is the answer's code, and print the answer
//	login ADDR USER PASSWORD STATUS log in once, and print the answer
//	curls NAME                      run each curl line of its output, and compare the answer with what it promises
//	taken VAR                       an address on which somebody listens
//	nobody VAR                      an address on which nobody does
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	plain := map[string]struct {
		least int
		run   func(*testscript.TestScript, []string)
	}{
		"exits": {2, exits}, "start": {2, start}, "await": {2, await}, "end": {3, end}, "directory": {1, directory},
		"get": {2, get}, "login": {4, logsIn}, "curls": {1, curls}, "taken": {1, taken}, "nobody": {1, nobody},
	}
	all := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range plain {
		all[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < c.least {
				ts.Fatalf("%s: wrong usage", name)
			}
			c.run(ts, args)
		}
	}
	return all
}

// command makes a command with the script's environment, in its directory.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	c := exec.Command(path, args[1:]...)
	c.Dir = ts.Getenv("WORK")
	for _, v := range []string{
		"PATH", "HOME", "TMPDIR", "GOCOVERDIR", "LDAP_URL", "LDAP_BASE_DN", "LDAP_BIND_DN", "LDAP_BIND_PASSWORD", "LDAP_BIND_PASSWORD_FILE",
		"LDAP_USER_FILTER", "LDAP_POOL_MAX_CONNS", "LDAP_POOL_MAX_WAIT", "LDAP_DIAL_TIMEOUT", "LDAP_STARTTLS", "LDAP_START_TLS", "AUTH_TIMEOUT",
		"HTTP_ADDR", "ADMIN_ADDR", "LOG_LEVEL", "LOG_FORMAT",
	} {
		if value := ts.Getenv(v); value != "" || v == "ADMIN_ADDR" && ts.Getenv("ADMIN") == "off" {
			c.Env = append(c.Env, v+"="+value)
		}
	}
	return c
}

func exits(ts *testscript.TestScript, args []string) {
	c := command(ts, args[1:])
	c.Stdout, c.Stderr = ts.Stdout(), ts.Stderr()
	err := c.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		ts.Fatalf("%v", err)
	}
	if got := strconv.Itoa(c.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s instead of %s", got, args[0])
	}
}

// started is a program in the background.
type started struct {
	cmd   *exec.Cmd
	ended chan struct{}
	file  *os.File

	mu      sync.Mutex
	out     []byte
	awaited int           // of out
	more    chan struct{} // closed when there is more
}

// Write takes the program's output.
func (s *started) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = append(s.out, b...)
	close(s.more)
	s.more = make(chan struct{})
	return s.file.Write(b)
}

// match finds a match behind the last one, or gives the channel that tells when to look again.
func (s *started) match(re *regexp.Regexp) (groups [][]byte, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.out[s.awaited:]
	found := re.FindSubmatchIndex(rest)
	if found == nil {
		return nil, s.more
	}
	groups = re.FindSubmatch(rest)
	s.awaited += found[1]
	return groups, nil
}

func (s *started) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.out)
}

func start(ts *testscript.TestScript, args []string) {
	file, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	s := &started{cmd: command(ts, args[1:]), ended: make(chan struct{}), more: make(chan struct{}), file: file}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	ts.Check(s.cmd.Start())
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // the exit code says more
	}()
	ts.Defer(func() {
		_ = s.cmd.Process.Kill() // it may have ended long ago
		<-s.ended
		_ = file.Close()
	})
	ts.Value("started").(map[string]*started)[args[0]] = s
}

func background(ts *testscript.TestScript, name string) *started {
	s := ts.Value("started").(map[string]*started)[name]
	if s == nil {
		ts.Fatalf("no %s was started", name)
	}
	return s
}

// patience bounds every wait; a loaded machine must not fail a test.
const patience = 30 * time.Second

func await(ts *testscript.TestScript, args []string) {
	s := background(ts, args[0])
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		groups, more := s.match(re)
		if more == nil {
			for i, name := range args[2:] {
				ts.Setenv(name, string(groups[i+1]))
			}
			return
		}
		select {
		case <-more:
			continue
		case <-s.ended:
		case <-deadline.C:
		}
		if groups, _ := s.match(re); groups == nil {
			ts.Fatalf("%s did not say %q. It said:\n%s", args[0], args[1], s.output())
		}
	}
}

func end(ts *testscript.TestScript, args []string) {
	s := background(ts, args[0])
	signal := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[1]]
	ts.Check(s.cmd.Process.Signal(signal))
	select {
	case <-s.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end. It said:\n%s", args[0], s.output())
	}
	if got := strconv.Itoa(s.cmd.ProcessState.ExitCode()); got != args[2] {
		ts.Fatalf("%s ended with %s instead of %s. It said:\n%s", args[0], got, args[2], s.output())
	}
}

func directory(ts *testscript.TestScript, args []string) {
	server, running := ts.Value("server").(*ldaptest.Server)
	_ = server
	_ = running
	switch args[0] {
	case "start":
	case "stop":
	}
}
