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

// TestScripts runs the command as its users do. What the scripts can say beyond testscript's own is
// in commands.
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
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each program lives a second longer with the race detector
			e.Values[stageKey{}] = &stage{tb: e.T().(testing.TB), programs: map[string]*started{}}
			return nil
		},
		Cmds: commands(),

		RequireExplicitExec: true, RequireUniqueNames: true,
	})
}

// hold keeps the usual ports of demos taken, so that those that run here at one time do not vie for
// them.
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

// stage is what a script's commands share.
type stage struct {
	tb       testing.TB
	programs map[string]*started
	server   *ldaptest.Server
}

// stageKey is where a script has its stage.
type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// commands are what scripts can do besides.
//
//	exits CODE PROGRAM [ARG...]     run it to its end
//	start NAME PROGRAM [ARG...]     run it in the background, with its output in NAME.log
//	await NAME REGEXP [VAR...]      wait until its output has a match behind the last one that was awaited; VARs get the groups
//	end NAME SIGNAL CODE            send a signal and wait for the end
//	directory start|stop            an LDAP server at $LDAP_URL with the users of ldaptest
//	get URL CODE                    ask until that is the answer's code; the answer is in the file answer
//	login ADDR USER PASSWORD STATUS log in once; the answer is in the file answer
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

// environ is the script's environment, as its programs see it.
func environ(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env"))
	all := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\n"), "\n")
	for _, v := range all {
		if name, value, _ := strings.Cut(v, "="); name == "LDAP_BIND_PASSWORD" {
			everything.Secret(value)
		}
	}
	return all
}

func exits(ts *testscript.TestScript, args []string) {
	everything.Secret(ts.Getenv("LDAP_BIND_PASSWORD"))
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			ts.Fatalf("%v", err)
		}
		code = failed.ExitCode()
	}
	everything.Wrote("script "+args[1], []byte(ts.ReadFile("stdout")+ts.ReadFile("stderr")))
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d instead of %s", code, args[0])
	}
}

// started is a program in the background.
type started struct {
	name  string
	demo  bool
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
	if !s.demo { // which prints its users' passwords, so that people can try them
		everything.Wrote(s.name, b)
	}
	close(s.more)
	s.more = make(chan struct{})
	return s.file.Write(b)
}

// match finds a match after the last one, or returns the channel that closes when there is more
// output.
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
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	file, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	s := &started{name: "script " + args[0], demo: slices.Contains(args, "demo"), cmd: exec.Command(path, args[2:]...), ended: make(chan struct{}), more: make(chan struct{}), file: file}
	s.cmd.Env, s.cmd.Dir = environ(ts), ts.Getenv("WORK")
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
	stageOf(ts).programs[args[0]] = s
}

func background(ts *testscript.TestScript, name string) *started {
	s := stageOf(ts).programs[name]
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

// directory starts an LDAP server, stops it, or starts it again on its port.
func directory(ts *testscript.TestScript, args []string) {
	st := stageOf(ts)
	switch {
	case args[0] == "stop":
		// A connection that is being accepted now is not in the list yet. Its first request closes
		// it.
		st.server.SetHandler(func(c *ldaptest.Conn, _ ldaptest.Request) { c.Close() })
		st.server.StopListening()
		ldaptest.Eventually(st.tb, "every connection is closed", func() bool {
			st.server.CloseAll()
			return st.server.Open() == 0
		})
	case st.server == nil:
		st.server = ldaptest.NewServer(st.tb, nil)
		ts.Setenv("LDAP_URL", st.server.URL())
	default:
		st.server.SetHandler(ldaptest.NewDirectory().Handle)
		st.server.Listen()
	}
}

// get repeats a request until the answer has the wanted code.
func get(ts *testscript.TestScript, args []string) {
	ldaptest.Eventually(stageOf(ts).tb, args[0]+" answers "+args[1], func() bool {
		resp, err := http.Get(args[0])
		return err == nil && tell(ts, resp) == args[1]
	})
}

// tell writes an answer to a file as it came over the wire, except for its line ends. It returns
// the code.
func tell(ts *testscript.TestScript, resp *http.Response) string {
	defer resp.Body.Close()
	text, err := httputil.DumpResponse(resp, true)
	ts.Check(err)
	everything.Wrote("script answers", text)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), 0o600))
	return strconv.Itoa(resp.StatusCode)
}

func logsIn(ts *testscript.TestScript, args []string) {
	everything.Secret(args[2])
	body, err := json.Marshal(map[string]string{"username": args[1], "password": args[2]})
	ts.Check(err)
	resp, err := http.Post("http://"+args[0]+"/auth", "application/json", bytes.NewReader(body))
	ts.Check(err)
	tell(ts, resp)
	answer := ts.ReadFile("answer")
	if !strings.Contains(answer, `{"status":`+args[3]+`,`) {
		ts.Fatalf("not status %s but\n%s", args[3], answer)
	}
}

// verdict is the part of an answer that scripts compare.
type verdict struct {
	Status  int
	Message string
}

// promised matches a line that the demo prints to try, and the answer below it.
var promised = regexp.MustCompile(`(?m)^ +(curl .*)\n +# (\{"status":(\d+),\.\.\. "message":"([^"]*)"\})$`)

func curls(ts *testscript.TestScript, args []string) {
	want := []verdict{{0, "auth ok"}, {1, "invalid user"}, {2, "invalid password"}}
	said := background(ts, args[0]).output()
	var got []verdict
	for _, line := range promised.FindAllStringSubmatch(said, -1) {
		v := curled(ts, line[1])
		got = append(got, v)
		if strconv.Itoa(v.Status) != line[3] || v.Message != line[4] {
			ts.Fatalf("%s\npromises %s and gives %+v", line[1], line[2], v)
		}
	}
	if !slices.Equal(got, want) || strings.Count(said, "curl ") != len(want) {
		ts.Fatalf("the lines to try give %+v instead of %+v:\n%s", got, want, said)
	}
}

// curled runs a curl line as a shell does.
func curled(ts *testscript.TestScript, line string) (v verdict) {
	ts.Check(ts.Exec("sh", "-c", line))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	return v
}

func taken(ts *testscript.TestScript, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// nobody sets a variable to an address on which nothing listens.
func nobody(ts *testscript.TestScript, args []string) {
	ts.Setenv(args[0], ldaptest.ClosedAddr(stageOf(ts).tb))
}
