package ldappool

import (
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
)

// needsNoKernel says why a cell is not played over sockets, or nothing.
func (c cell) needsNoKernel() string {
	switch {
	case c.fault.effect().silent:
		return "time decides, and the bubble has that"
	case c.at == atSearchPing, c.at == atBindPing:
		return "a ping is due after a second's silence"
	case c.fault == faultTLSCut, c.fault == faultNoStartTLS, c.fault == faultBusy && c.dialling():
		return "what TLS makes of it is the same over a pipe"
	}
	return ""
}

// TestMatrix_OfFaultsOverSockets plays the cells whose faults the kernel has a part in, by the same
// rule.
func TestMatrix_OfFaultsOverSockets(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure, trust := ca.ServerTLS(t), ca.ClientTLS("localhost")
	all, _ := cells()
	played, left := 0, map[string]int{}
	for _, c := range all {
		if why := c.needsNoKernel(); why != "" {
			left[why]++
			continue
		}
		played++
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			newSockets(t, c, secure).play(t, trust)
		})
	}
	t.Logf("%d cells; not those of which %v", played, left)
}

// sockets is a directory that harms its connections as a cell has it.
type sockets struct {
	cell
	server    *ldaptest.Server
	directory *ldaptest.Directory
	reached   chan struct{} // a search that Close is to meet is under way
	gate      chan struct{} // and is harmed when this is closed

	mu       sync.Mutex // guards what follows
	armed    bool
	injected int64
	first    map[*ldaptest.Conn]string // kind of the first request
}

func newSockets(t *testing.T, c cell, secure *tls.Config) *sockets {
	t.Helper()
	s := &sockets{cell: c, directory: ldaptest.NewDirectory(), reached: make(chan struct{}, 9), gate: make(chan struct{}),
		first: map[*ldaptest.Conn]string{}}
	options := []ldaptest.ServerOption{ldaptest.WithOnAccept(s.accept)}
	switch c.over {
	case overTLS:
		options = append(options, ldaptest.WithTLS(secure))
	case overStartTLS:
		options = append(options, ldaptest.WithStartTLS(secure))
	}
	s.server = ldaptest.NewServer(t, s.handle, options...)
	return s
}

func (s *sockets) takeFault() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed || s.injected > 0 && !s.lasting {
		return false
	}
	s.injected++
	return true
}

func (s *sockets) set(armed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = armed
}

func (s *sockets) accept(c *ldaptest.Conn) {
	if s.dialling() && s.takeFault() {
		s.injectFault(c, &request{})
	}
}

func (s *sockets) handle(c *ldaptest.Conn, req ldaptest.Request) {
	r := readRequest(req.Packet)
	s.mu.Lock()
	if s.first[c] == "" {
		s.first[c] = r.kind
	}
	first := s.first[c]
	s.mu.Unlock()
	if !s.at.asks(first, &r) || !s.takeFault() {
		s.directory.Handle(c, req)
		return
	}
	if s.at == atBusyClose {
		s.reached <- struct{}{}
		wait(s.gate, c.Done())
	}
	s.injectFault(c, &r)
}

// injectFault does the fault to a connection, in answer to r.
func (s *sockets) injectFault(c *ldaptest.Conn, r *request) {
	answer := codeAnswer(r, ldap.LDAPResultSuccess)
	switch s.fault {
	case faultFIN:
		c.Close()
	case faultRST:
		c.Reset()
	case faultHalfFIN:
		c.WriteRaw(answer[:len(answer)/2])
		c.Close()
	case faultGarbage:
		c.WriteRaw(ldaptest.Garbage())
	case faultNotice:
		c.Notice(ldap.LDAPResultUnavailable, "")
	case faultBusy:
		c.WriteRaw(codeAnswer(r, ldap.LDAPResultBusy))
	default:
		panic(fmt.Sprintf("%s is not for sockets", s.fault))
	}
}

// idle harms the connections that are there.
func (s *sockets) idle() {
	for _, c := range s.server.Conns() {
		if s.takeFault() {
			s.injectFault(c, &request{id: 99, kind: "bind"})
		}
	}
}

// play is a cell from the first dial to the last close.
func (s *sockets) play(t *testing.T, trust *tls.Config) {
	t.Helper()
	cfg := s.config(s.server.URL(), s.server.URL(), trust)
	cfg.DialTimeout, cfg.RequestTimeout, cfg.MaxWait = 20*time.Second, 20*time.Second, 20*time.Second
	s.set(s.cold())
	p := pooled(t, cfg)
	if !s.cold() {
		s.warm(t, p)
		s.set(true)
	}
	want := s.outcome()
	if s.at == atIdle {
		s.idle()
		until(t, p, "what idled is retired", func(st *Stat) bool { return sum(st.Retired) == s.injected })
	}
	code, err, closing := s.run(t, p)
	want.require(t, code, err, closing)
	until(t, p, "what was given up is closed", func(st *Stat) bool { return sum(st.Retired) == sum(want.retired) })
	requireBooks(t, p, want)
	s.set(false)
	if s.at != atClose && s.at != atBusyClose {
		until(t, p, "the server is usable", func(st *Stat) bool { return st.Servers[0].State == ServerUsable })
		requireWell(t, p)
	}
	closePool(t, p)
	ldaptest.Eventually(t, "every socket is closed", func() bool { return s.server.Open() == 0 })
}

// run does what the moment is about.
func (s *sockets) run(t *testing.T, p *Pool) (code uint16, err, closing error) {
	t.Helper()
	if s.at != atBusyClose {
		return s.act(p)
	}
	return closeBusy(p, 20*time.Second, func() { <-s.reached }, func() {
		<-p.ctx.Done() // the pool is closing
		close(s.gate)
	})
}

func sum(counts map[RetireReason]int64) (n int64) {
	for _, count := range counts {
		n += count
	}
	return n
}
