// Package redistest starts Redis servers of Debian's package for tests: alone, watched by
// Sentinels, or as a Cluster. They listen on loopback and end with the test.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"
)

// Server is a process of Redis.
type Server struct {
	Addr string // host:port
	Dir  string // where it keeps its files

	tb       testing.TB
	args     []string
	sentinel bool
	cli      []string // how redis-cli reaches it

	mu  sync.Mutex
	cmd *exec.Cmd     // guarded by mu; nil while it is down
	end chan struct{} // closed when cmd has ended
	log *bytes.Buffer
}

// Start starts a server without persistence and waits until it answers. The arguments are as in
// redis.conf: "--maxmemory", "2mb".
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := newServer(tb)
	s.args = append([]string{"--save", "", "--appendonly", "no"}, args...)
	s.Up()
	return s
}

// StartTLS starts a server that speaks nothing but TLS and requires a client certificate of the
// authority.
func StartTLS(tb testing.TB, ca *ldaptest.CA, args ...string) *Server {
	tb.Helper()
	own, client := ca.Issue(tb, ldaptest.CertConfig{}), ca.Issue(tb, ldaptest.CertConfig{Client: true})
	s := newServer(tb)
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = append([]string{
		"--save", "", "--port", "0", "--tls-port", port, "--tls-auth-clients", "yes",
		"--tls-cert-file", own.CertFile, "--tls-key-file", own.KeyFile, "--tls-ca-cert-file", ca.File(),
	}, args...)
	s.cli = append(s.cli, "--tls", "--cacert", ca.File(), "--cert", client.CertFile, "--key", client.KeyFile)
	s.Up()
	return s
}

func newServer(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{Addr: ldaptest.FreeAddr(tb), Dir: tb.TempDir(), tb: tb, log: new(bytes.Buffer)}
	host, port, _ := net.SplitHostPort(s.Addr)
	s.cli = []string{"-h", host, "-p", port}
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("redis at %s:\n%s", s.Addr, s.log)
		}
	})
	return s
}

// Up starts the process, or starts it again, and waits until it answers.
func (s *Server) Up() {
	s.tb.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	args := []string{"--bind", host, "--port", port, "--dir", s.Dir, "--daemonize", "no"}
	if s.sentinel {
		args = []string{filepath.Join(s.Dir, "sentinel.conf"), "--sentinel"}
	}
	cmd := exec.CommandContext(context.Background(), "redis-server", append(args, s.args...)...) //nolint:gosec // the tests' own
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("start redis-server: %v", err)
	}
	end := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(end)
	}()
	s.mu.Lock()
	s.cmd, s.end = cmd, end
	s.mu.Unlock()
	ldaptest.Eventually(s.tb, "redis answers at "+s.Addr, func() bool {
		select {
		case <-end:
			s.tb.Fatalf("redis-server ended:\n%s", s.log)
		default:
		}
		out, err := s.Try("PING")
		return err == nil && (out == "PONG" || strings.HasPrefix(out, "NOAUTH"))
	})
}

// Password makes Run give a password.
func (s *Server) Password(password string) {
	s.cli = append(s.cli, "--no-auth-warning", "-a", password)
}

// PID returns the process ID.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Kill ends the process at once, and waits for its end.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Pause stops the process until Resume: its sockets accept, and nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.tb.Errorf("%v to redis-server: %v", sig, err)
	}
	if sig == syscall.SIGKILL {
		<-s.end
		s.cmd = nil
	}
}

// Run runs a command, such as Run("CONFIG", "SET", "maxmemory", "2mb"), and returns the answer. An
// error is one of the test.
func (s *Server) Run(command ...string) string {
	s.tb.Helper()
	out, err := s.Try(command...)
	if err != nil || strings.HasPrefix(out, "ERR") {
		s.tb.Fatalf("redis-cli %q: %v: %s", command, err, out)
	}
	return out
}

// Try is Run, and returns the error.
func (s *Server) Try(command ...string) (string, error) {
	out, err := exec.CommandContext(context.Background(), "redis-cli", append(append([]string{}, s.cli...), command...)...).CombinedOutput() //nolint:gosec // the tests' own
	return strings.TrimSpace(string(out)), err
}

// Sentinels are a master with a replica, and three Sentinels that watch them as the group "main".
type Sentinels struct {
	Master, Replica *Server
	Addrs           []string // of the Sentinels
}

// StartSentinels starts them, and waits until the Sentinels know each other and the replica. They
// fail over about half a second after the master's end.
func StartSentinels(tb testing.TB) *Sentinels {
	tb.Helper()
	s := &Sentinels{Master: Start(tb, "--repl-diskless-sync-delay", "0")}
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	s.Replica = Start(tb, "--replicaof", host+" "+port)
	watchers := make([]*Server, 3)
	for i := range watchers {
		w := newServer(tb)
		w.sentinel = true
		_, own, _ := net.SplitHostPort(w.Addr)
		conf := fmt.Sprintf("bind %s\nport %s\ndir %s\nsentinel monitor main %s %s 2\nsentinel down-after-milliseconds main 400\n"+
			"sentinel failover-timeout main 1000\n", host, own, w.Dir, host, port)
		if err := os.WriteFile(filepath.Join(w.Dir, "sentinel.conf"), []byte(conf), 0o600); err != nil {
			tb.Fatal(err)
		}
		w.Up()
		watchers[i] = w
		s.Addrs = append(s.Addrs, w.Addr)
	}
	ldaptest.Eventually(tb, "the Sentinels know each other and the replica", func() bool {
		for _, w := range watchers {
			out := w.Run("SENTINEL", "MASTER", "main")
			if !strings.Contains(out, "num-other-sentinels\n2") || !strings.Contains(out, "num-slaves\n1") {
				return false
			}
		}
		return strings.Contains(s.Replica.Run("INFO", "replication"), "master_link_status:up")
	})
	return s
}

// Cluster is three masters with one replica each.
type Cluster struct{ Nodes []*Server }

// StartCluster starts it, and waits until all slots are served. A replica takes over about a second
// after its master's end.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{}
	create := []string{"--cluster", "create"}
	for range 6 {
		// The bus listens on a port of its own: 10,000 above, unless it is said.
		_, bus, _ := net.SplitHostPort(ldaptest.FreeAddr(tb))
		n := Start(tb, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", bus, "--repl-diskless-sync-delay", "0")
		c.Nodes = append(c.Nodes, n)
		create = append(create, n.Addr)
	}
	if out, err := exec.CommandContext(context.Background(), "redis-cli", append(create, "--cluster-replicas", "1", "--cluster-yes")...).CombinedOutput(); err != nil { //nolint:gosec // the tests' own
		tb.Fatalf("redis-cli --cluster create: %v: %s", err, out)
	}
	ldaptest.Eventually(tb, "all nodes serve the Cluster, and all replicas follow", func() bool {
		replicas := 0
		for _, n := range c.Nodes {
			if !strings.Contains(n.Run("CLUSTER", "INFO"), "cluster_state:ok") {
				return false
			}
			if strings.Contains(n.Run("INFO", "replication"), "master_link_status:up") {
				replicas++
			}
		}
		return replicas == 3
	})
	return c
}

// Addrs returns the addresses of the nodes.
func (c *Cluster) Addrs() (all []string) {
	for _, n := range c.Nodes {
		all = append(all, n.Addr)
	}
	return all
}

// Masters returns the nodes that are masters now.
func (c *Cluster) Masters() (all []*Server) {
	for _, n := range c.Nodes {
		if out, err := n.Try("ROLE"); err == nil && strings.HasPrefix(out, "master") {
			all = append(all, n)
		}
	}
	return all
}
