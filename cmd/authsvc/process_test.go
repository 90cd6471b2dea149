package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// process is the program, running as a process of its own.
type process struct {
	name  string // of the test, for the search for secrets
	cmd   *exec.Cmd
	url   string // of the main listener
	admin string // of the admin listener
	done  chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// startProgram runs the service against a directory at url and waits until it listens. It is killed
// when the test ends, if it runs until then.
func startProgram(t *testing.T, url string, environ ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return startCommand(t, exec.Command(self, "serve"), url, environ...)
}

// startCommand is startProgram with a command that runs the service.
func startCommand(t *testing.T, cmd *exec.Cmd, url string, environ ...string) *process {
	t.Helper()
	p := &process{name: t.Name(), cmd: cmd, done: make(chan struct{})}
	p.cmd.Env = append([]string{
		asProgram + "=1", "LDAP_URL=" + url, "LDAP_BASE_DN=" + ldaptest.PeopleDN,
		"LDAP_BIND_DN=" + ldaptest.ServiceDN, "LDAP_BIND_PASSWORD=" + ldaptest.ServicePassword,
		"HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
		"AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0", // they send more wrong passwords than anybody should
	}, environ...)
	everything.Secret(ldaptest.ServicePassword)
	p.cmd.Stderr = everything.Writer("stderr of "+p.name, os.Stderr)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	listening := make(chan struct{})
	go p.read(out, listening)
	t.Cleanup(func() {
		p.inspect()
		_ = p.cmd.Process.Kill() // it may have ended long ago
		<-p.done
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("the program's log:\n%s", tail(p.logged(), 8000))
		}
	})
	select {
	case <-listening:
	case <-p.done:
		t.Fatalf("the program ended:\n%s", p.logged())
	}
	return p
}

// startLine is the log's first line, as JSON or text, with the addresses of the two listeners.
var startLine = regexp.MustCompile(`msg"?[=:]"?starting.* ?"?listen"?[=:]"?([^", ]+).*admin"?[=:]"?([^", ]+)`)

// read keeps the log and takes the addresses from its first line.
func (p *process) read(out io.Reader, listening chan<- struct{}) {
	defer func() {
		everything.Wrote("log of "+p.name, p.log.Bytes())
		close(p.done)
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.log.Write(append(lines.Bytes(), '\n'))
		p.mu.Unlock()
		start := startLine.FindSubmatch(lines.Bytes())
		if p.url == "" && start != nil {
			p.url, p.admin = p.scheme()+string(start[1]), "http://"+string(start[2])
			close(listening)
		}
	}
}

// scheme is what the main listener speaks.
func (p *process) scheme() string {
	if config.HTTPS(p.cmd.Env) {
		return "https://"
	}
	return "http://"
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

func tail(s string, n int) string { return s[max(len(s)-n, 0):] }

// ready waits until the directory has answered.
func (p *process) ready(t *testing.T) {
	t.Helper()
	ldaptest.Eventually(t, "the service is ready", func() bool {
		resp, err := http.Get(p.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// end sends SIGTERM, waits for the end and returns the exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	p.inspect()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	<-p.done
	_ = p.cmd.Wait() // the exit code says more
	return p.cmd.ProcessState.ExitCode()
}

// client returns the tests' client, with enough connections for all their concurrent requests.
func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 2000}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// answer is the result of one login, as its caller saw it.
type answer struct {
	asked      time.Time
	took       time.Duration
	status     int // -1: no answer
	http       int
	retryAfter string
	want       int
	err        error
}

// wrongVerdict reports whether the answer is a verdict, but not the right one.
func (a answer) wrongVerdict() bool { return a.status >= 0 && a.status <= 8 && a.status != a.want }

// login asks for one login; want is the status that the directory would give.
func login(c *http.Client, url, username, password string, want int) answer {
	a := answer{asked: time.Now(), status: -1, want: want}
	body := fmt.Sprintf(`{"username":%q,"password":%q}`, username, password)
	resp, err := c.Post(url+"/auth", "application/json", strings.NewReader(body))
	if err != nil {
		a.took, a.err = time.Since(a.asked), err
		return a
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	everything.Secret(password)
	everything.Wrote("answers", text)
	var got struct{ Status *int }
	if a.err = cmp.Or(err, json.Unmarshal(text, &got)); a.err == nil && got.Status != nil {
		a.status = *got.Status
	}
	a.took, a.http, a.retryAfter = time.Since(a.asked), resp.StatusCode, resp.Header.Get("Retry-After")
	return a
}

// ask sends the n-th of a mix of logins: right passwords, wrong ones, and unknown names.
func ask(c *http.Client, url string, n int) answer {
	switch n % 4 {
	case 1:
		return login(c, url, ldaptest.Username(n%10), "wr0ng-w0rd", 2)
	case 3:
		return login(c, url, fmt.Sprintf("nobody%d", n), "n0b0dys-w0rd", 1)
	}
	return login(c, url, ldaptest.Username(n%10), ldaptest.Password(n%10), 0)
}

// stream sends logins at a rate for a while, whatever the answers, and returns all answers.
func stream(t *testing.T, url string, rate int, d time.Duration) []answer {
	t.Helper()
	return streamBy(client(t), url, rate, d)
}

func streamBy(c *http.Client, url string, rate int, d time.Duration) []answer {
	answers := make([]answer, int(d.Seconds()*float64(rate)))
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var wg sync.WaitGroup
	for n := range answers {
		<-tick.C
		wg.Go(func() { answers[n] = ask(c, url, n) })
	}
	wg.Wait()
	return answers
}

// streamDuring sends logins at a rate while steps run, whatever the answers, and returns all
// answers.
func streamDuring(c *http.Client, url string, rate int, steps func()) (answers []answer) {
	var mu sync.Mutex
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		var asking sync.WaitGroup
		defer asking.Wait()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
				asking.Go(func() {
					a := ask(c, url, n)
					mu.Lock()
					defer mu.Unlock()
					answers = append(answers, a)
				})
			}
		}
	}()
	func() {
		defer close(stop) // also if a step ends the test
		steps()
	}()
	<-stopped
	return answers
}
