package ldaptest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// errPortTaken is returned when slapd could not bind to its address.
var errPortTaken = errors.New("slapd found its port taken")

// limitFiles runs its arguments with at most 8192 file descriptors. slapd
// sizes its tables by that limit, which in containers can be 2^30: it would
// take gigabytes.
const limitFiles = `[ "$(ulimit -Sn)" != unlimited ] && [ "$(ulimit -Sn)" -le 8192 ] || ulimit -Sn 8192; exec "$@"`

// process is one run of slapd.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and been waited for
}

// startOnFreePorts claims ports and starts slapd, again on other ports if a
// stranger was quicker to bind.
func (s *Slapd) startOnFreePorts(cfg SlapdConfig) {
	s.t.Helper()
	const attempts = 10
	var err error
	for range attempts {
		if err = s.claimPorts(cfg); err == nil {
			err = s.launch()
		}
		if err == nil {
			return
		}
		if !errors.Is(err, errPortTaken) || cfg.Port != 0 {
			break
		}
		s.releasePorts()
	}
	s.t.Fatalf("start slapd: %v", err)
}

func (s *Slapd) claimPorts(cfg SlapdConfig) error {
	var err error
	if s.plain, err = claimPort(cfg.Port); err == nil && cfg.TLS {
		s.secure, err = claimPort(0)
	}
	return err
}

func (s *Slapd) releasePorts() {
	s.plain.release()
	s.secure.release()
}

// Start runs slapd again after [Slapd.Kill] or [Slapd.Stop], on the same ports
// and data, and returns when it answers. It does nothing if slapd runs.
func (s *Slapd) Start() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Fatalf("start slapd again: %v", err)
	}
}

// Restart is [Slapd.Stop] and [Slapd.Start].
func (s *Slapd) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// launch runs slapd and waits until it answers.
func (s *Slapd) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return nil
	}
	from := s.logSize()
	p, err := s.spawn()
	if err != nil {
		return err
	}
	if err := s.awaitAnswers(p, from); err != nil {
		p.end(syscall.SIGKILL)
		return err
	}
	s.proc = p
	return nil
}

// awaitAnswers waits until slapd answers a search on each listener. The socket
// comes first because its name is ours alone: an answer there is from our
// slapd, which has then tried to bind to every port. If it failed to, it goes
// on without, and a stranger would answer in its place, or nobody; only the
// log, from the offset from on, tells.
func (s *Slapd) awaitAnswers(p *process, from int64) error {
	for _, url := range s.listeners() {
		answered := poll(p.exited, func() bool { return s.answersAt(url) })
		tail := s.logFrom(from)
		switch {
		case strings.Contains(tail, "Address already in use"):
			return errPortTaken
		case !answered:
			return fmt.Errorf("no answer at %s; its log:\n%s", url, tail)
		}
	}
	return nil
}

// spawn starts the process. It runs as the current user. The kernel kills it
// if this process dies without cleaning up.
func (s *Slapd) spawn() (*process, error) {
	log, err := os.OpenFile(s.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("/bin/sh", "-c", limitFiles, "sh",
		s.bin, "-f", s.confFile(), "-h", strings.Join(s.listeners(), " "), "-d", "stats")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// listeners are the URLs that slapd listens on, the socket's first.
func (s *Slapd) listeners() []string {
	urls := []string{s.LDAPIURL(), s.URL()}
	if s.ca != nil {
		urls = append(urls, "ldaps://"+s.secure.addr())
	}
	return urls
}

// answersAt says whether slapd answers a search of the root DSE at url.
func (s *Slapd) answersAt(url string) bool {
	opts := []ldap.DialOpt{ldap.DialWithDialer(&net.Dialer{Timeout: patience})}
	if s.ca != nil {
		opts = append(opts, ldap.DialWithTLSConfig(s.ca.ClientTLS("localhost")))
	}
	c, err := ldap.DialURL(url, opts...)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(patience)
	_, err = c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
	return err == nil
}

// PID is slapd's process id, 0 while it is down.
func (s *Slapd) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// Kill ends slapd with SIGKILL and waits for its end. The kernel closes its
// connections: FIN, or RST where slapd had unread bytes. It works on a paused
// slapd, and does nothing if slapd is down.
func (s *Slapd) Kill() { s.end(syscall.SIGKILL) }

// Stop ends slapd in good order with SIGTERM and waits for its end; a paused
// slapd is resumed first. Idle clients see a bare FIN, without a Notice of
// Disconnection. It does nothing if slapd is down.
func (s *Slapd) Stop() { s.end(syscall.SIGTERM) }

// Pause stops slapd with SIGSTOP: its kernel still accepts connections and
// bytes, and nobody answers. It returns when every thread has stopped, which
// on a loaded machine is a while after the signal.
func (s *Slapd) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	pid := s.PID()
	if !poll(nil, func() bool { return stopped(pid) }) {
		s.t.Fatalf("slapd does not stop at SIGSTOP")
	}
}

// stopped says whether each thread of a process is in the state T (proc(5)).
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return true
}

// Resume lets a paused slapd go on.
func (s *Slapd) Resume() { s.signal(syscall.SIGCONT) }

// signal fails the test if slapd is down.
func (s *Slapd) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		s.t.Fatalf("%v to slapd: it is down", sig)
	}
	if err := s.proc.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v to slapd: %v", sig, err)
	}
}

func (s *Slapd) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		s.proc.end(sig)
		s.proc = nil
	}
}

// end sends sig and waits; a process that outlives patience is killed.
func (p *process) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-p.exited:
	case <-deadline.C:
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// cleanup ends slapd and shows the end of its log if the test failed.
func (s *Slapd) cleanup() {
	s.Kill()
	s.releasePorts()
	if s.t.Failed() {
		s.t.Logf("the end of slapd's log:\n%s", s.logFrom(s.logSize()-4096))
	}
}

func (s *Slapd) logSize() int64 {
	info, err := os.Stat(s.Log())
	if err != nil {
		return 0 // not started yet
	}
	return info.Size()
}

// logFrom is the log from an offset on; a negative one is the beginning.
func (s *Slapd) logFrom(offset int64) string {
	data, err := os.ReadFile(s.Log())
	if err != nil {
		return err.Error()
	}
	return string(data[min(max(offset, 0), int64(len(data))):])
}
