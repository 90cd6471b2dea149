package ldappool

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// The tests here keep away what go-ldap and puddle do that surprises, and what made other pools fail. Some are held
// against a server on a socket, those in which time matters against one in memory.

// unless is a directory in order, but for requests of users that wild answers or lets go unanswered, which it says by
// true. The pool's own pings and service binds it does not see.
func unless(wild func(c *ldaptest.Conn, req ldaptest.Request) bool) ldaptest.Handler {
	directory := ldaptest.NewDirectory()
	return func(c *ldaptest.Conn, req ldaptest.Request) {
		users := req.Op == ldaptest.OpBind && req.DN != ldaptest.ServiceDN || req.Op == ldaptest.OpSearch && req.DN != ""
		if !users || !wild(c, req) {
			directory.Handle(c, req)
		}
	}
}

// answerOnly has a server answer users' requests with the bytes that b makes for the message id.
func answerOnly(b func(id int64) []byte) ldaptest.Handler {
	return unless(func(c *ldaptest.Conn, req ldaptest.Request) bool { c.WriteRaw(b(req.MessageID)); return true })
}

// watched makes a pool on server that keeps no connection but those it was asked for, and tells what it retires. It is
// so patient that a loaded machine fails no test.
func watched(t testing.TB, server *ldaptest.Server, changes ...func(*Config)) (*Pool, <-chan RetireEvent) {
	t.Helper()
	retired := make(chan RetireEvent, 1000)
	cfg := asService(Config{Servers: []string{server.URL()}, MinIdleConns: -1, HealthCheckInterval: time.Hour})
	cfg.Trace.Retired = func(e RetireEvent) { retired <- e }
	cfg.DialTimeout, cfg.RequestTimeout, cfg.MaxWait = 20*time.Second, 20*time.Second, 20*time.Second
	for _, change := range changes {
		change(&cfg)
	}
	return pooled(t, cfg), retired
}

// nextRetired waits for a connection to be retired and checks why.
func nextRetired(t testing.TB, retired <-chan RetireEvent, reason RetireReason) RetireEvent {
	t.Helper()
	select {
	case e := <-retired:
		require.Equal(t, reason, e.Reason, e.Err)
		return e
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no connection was retired", "want one for the reason %s", reason)
		return RetireEvent{}
	}
}

// requireFault checks that err is a fault of that kind and of no other, that names the server, and says nothing that a
// caller could take for a verdict of the directory.
func requireFault(t testing.TB, err, kind error) {
	t.Helper()
	var op *OpError
	require.ErrorAs(t, err, &op)
	require.ErrorIs(t, err, kind)
	require.Equal(t, kind, op.Kind)
	var verdict *ldap.Error
	if errors.As(err, &verdict) {
		require.GreaterOrEqual(t, verdict.ResultCode, uint16(ldap.ErrorNetwork))
	}
}

// bindAs does a bind that must not last.
func bindAs(t testing.TB, p *Pool, dn, password string, controls ...ldap.Control) (*BindResult, error) {
	t.Helper()
	r, err := p.Bind(soon(t), dn, password, controls...)
	require.NotEqual(t, err == nil, r == nil, "a result or an error, never both and never neither")
	return r, err
}

// binds counts the binds of users that a server saw.
type binds struct {
	mu    sync.Mutex
	conns map[*ldaptest.Conn]int
}

// count is a wild that does nothing but count.
func (b *binds) count(c *ldaptest.Conn, req ldaptest.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		b.conns = map[*ldaptest.Conn]int{}
	}
	if req.Op == ldaptest.OpBind {
		b.conns[c]++
	}
	return false
}

func (b *binds) total() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.conns {
		n += m
	}
	return n
}

func TestHazard01_NoticeOfDisconnectionRetiresTheConnection(t *testing.T) {
	t.Parallel()
	t.Run("while idle", func(t *testing.T) {
		t.Parallel()
		server := ldaptest.NewServer(t, nil)
		p, retired := watched(t, server)
		mustSearch(t, p)
		mustBind(t, p)
		said := server.Conns()
		require.Len(t, said, 2)
		for _, c := range said {
			c.Notice(ldap.LDAPResultUnavailable, "restarting") // and the socket stays open
		}
		for range said {
			e := nextRetired(t, retired, RetiredNotice)
			require.ErrorContains(t, e.Err, "result code 52")
		}
		for _, c := range said {
			<-c.Done()
		}
		mustSearch(t, p)
		mustBind(t, p)
	})
	t.Run("behind an answer", func(t *testing.T) {
		t.Parallel()
		server := ldaptest.NewServer(t, unless(func(c *ldaptest.Conn, req ldaptest.Request) bool {
			if req.Op == ldaptest.OpBind {
				c.WriteRaw(append(ldaptest.BindResponse(req.MessageID, 0, ""), ldaptest.NoticeOfDisconnection(52, "")...))
			}
			return req.Op == ldaptest.OpBind
		}))
		p, retired := watched(t, server)
		for range 3 {
			mustBind(t, p)
			nextRetired(t, retired, RetiredNotice)
		}
	})
	t.Run("instead of an answer", func(t *testing.T) {
		t.Parallel()
		server := ldaptest.NewServer(t, nil)
		p, retired := watched(t, server)
		mustBind(t, p)
		var once sync.Once
		server.SetHandler(unless(func(c *ldaptest.Conn, _ ldaptest.Request) (said bool) {
			once.Do(func() { c.Notice(52, ""); said = true })
			return said
		}))
		mustBind(t, p) // sent again: nothing of an answer came
		nextRetired(t, retired, RetiredNotice)
		require.EqualValues(t, 1, p.Stat().Retries)
	})
}

func TestHazard02_AConnectionWhoseBindTimedOutIsNeverUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(2, -1))
		mustSearch(t, p)
		h.on(func(_ *peer, r *request) bool {
			if r.kind == "bind" && r.dn == ldaptest.UserDN(2) {
				time.Sleep(6 * time.Second) // the success comes a second too late
			}
			return false
		})
		began := time.Now()
		r, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
		require.Nil(t, r)
		requireFault(t, err, ErrTimeout)
		require.Equal(t, 5*time.Second, time.Since(began))
		synctest.Wait()
		require.EqualValues(t, 1, p.Stat().Retired[RetiredTimeout])
		late := h.bindsOf(ldaptest.UserDN(2))
		require.Len(t, late, 1, "sent again after a timeout")
		mustSearch(t, p)
		mustBind(t, p)
		time.Sleep(10 * time.Second)
		mustSearch(t, p)
		mustBind(t, p)
		for _, s := range h.requests("bind", "search") {
			require.True(t, s.peer != late[0].peer || s.dn == ldaptest.UserDN(2), "%+v on the connection that timed out", s)
		}
	})
}

func TestHazard03_ABlockedWriteEndsInTimeAndSoDoesClose(t *testing.T) {
	t.Parallel()
	const big = maxAnswer - 1<<20 // more than the kernel takes for a peer that does not read
	deafened := func(t *testing.T) *ldaptest.Server {
		directory := ldaptest.NewDirectory()
		return ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
			directory.Handle(c, req)
			if req.Op == ldaptest.OpSearch && req.DN == "" {
				c.Stall()
			}
		})
	}
	t.Run("by the request's timeout", func(t *testing.T) {
		t.Parallel()
		p, retired := watched(t, deafened(t), func(c *Config) { c.RequestTimeout = 200 * time.Millisecond })
		_, err := bindAs(t, p, ldaptest.UserDN(1), strings.Repeat("x", big))
		requireFault(t, err, ErrTimeout)
		nextRetired(t, retired, RetiredTimeout)
	})
	t.Run("by the pool's close", func(t *testing.T) {
		t.Parallel()
		p, _ := watched(t, deafened(t), func(c *Config) { c.RequestTimeout = time.Hour })
		blocked := make(chan error, 1)
		go func() {
			_, err := p.Bind(context.Background(), ldaptest.UserDN(1), strings.Repeat("x", big))
			blocked <- err
		}()
		until(t, p, "the bind to be under way", func(s *Stat) bool { return s.Bind.InUse == 1 })
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
		require.Less(t, time.Since(began), 10*time.Second)
		requireFault(t, <-blocked, ErrClosed)
	})
}

func TestHazard04_AStartTLSHandshakeHasADeadlineAndAName(t *testing.T) {
	t.Parallel()
	t.Run("a server that agrees and falls silent", func(t *testing.T) {
		t.Parallel()
		server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
			c.ReplyExtended(req, ldap.LDAPResultSuccess, "", nil)
			c.Stall()
		})
		p, _ := watched(t, server, func(c *Config) { c.StartTLS, c.DialTimeout = true, 100*time.Millisecond })
		began := time.Now()
		_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
		requireFault(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "tls: ")
		require.Less(t, time.Since(began), 10*time.Second)
	})
	t.Run("a server with another's certificate", func(t *testing.T) {
		t.Parallel()
		ca := ldaptest.NewCA(t)
		server := ldaptest.NewServer(t, nil, ldaptest.WithStartTLS(ca.ServerTLS(t, "other.test")))
		p, _ := watched(t, server, func(c *Config) { c.StartTLS, c.TLS = true, &tls.Config{RootCAs: ca.Pool()} })
		_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
		requireFault(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "certificate")
	})
}

func TestHazard05_ARefusedStartTLSCostsTheConnectionAndNothingIsSentInTheClear(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
		c.ReplyExtended(req, ldap.LDAPResultUnavailable, "no TLS today", nil)
	})
	p, _ := watched(t, server, func(c *Config) { c.StartTLS = true })
	_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
	requireFault(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "starttls: refused with result code 52")
	ldaptest.Eventually(t, "the socket to be closed", func() bool { return len(server.Conns()) == 0 })
	require.Zero(t, server.Count(ldaptest.OpBind))
	require.Zero(t, server.Count(ldaptest.OpSearch))
}

func TestHazard06_AConnectionOnWhichAWriteFailedIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1), func(c *Config) { c.BindRetry = RetryUnsent })
		mustSearch(t, p)
		mustBind(t, p)
		for _, conn := range h.open() {
			conn.failNextWrite() // and the next one would succeed
		}
		broken := len(h.open())
		mustBind(t, p) // no byte left, so it is sent again whatever the rule
		mustSearch(t, p)
		synctest.Wait()
		require.EqualValues(t, 2, p.Stat().Retired[RetiredPeerClosed])
		require.EqualValues(t, 2, p.Stat().Retries)
		for _, s := range h.requests("bind", "search")[3:] { // behind the service bind and the first two
			require.Greater(t, s.peer, broken, "%+v", s)
		}
	})
}

func TestHazard07_WhetherARequestWasSentIsKnownWithoutGoLDAPsWord(t *testing.T) {
	t.Parallel()
	// go-ldap says all of these in plain text; the pool must tell them apart.
	for name, tt := range map[string]struct {
		rule  BindRetry
		cut   func(p *peer, r *request) // what becomes of the first bind
		binds int                       // that the directory saw
		err   error
	}{
		"cut before an answer, by net/http's rule": {RetryNoResponse, func(p *peer, _ *request) { p.cut() }, 2, nil},
		"cut before an answer, the stricter rule":  {RetryUnsent, func(p *peer, _ *request) { p.cut() }, 1, ErrConnLost},
		"cut in an answer": {RetryNoResponse, func(p *peer, r *request) {
			p.write(ldaptest.HalfMessage(r.id))
			p.cut()
		}, 1, ErrConnLost},
		"garbage": {RetryNoResponse, func(p *peer, _ *request) { p.write(ldaptest.Garbage()) }, 1, ErrConnLost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				h := m.hosts["one"]
				p := m.start(t, sizes(4, -1), func(c *Config) { c.BindRetry = tt.rule })
				mustBind(t, p)
				var once sync.Once
				h.on(func(p *peer, r *request) (done bool) {
					if r.dn == ldaptest.UserDN(2) {
						once.Do(func() { tt.cut(p, r); done = true })
					}
					return done
				})
				_, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
				if tt.err == nil {
					require.NoError(t, err)
				} else {
					requireFault(t, err, tt.err)
				}
				require.Len(t, h.bindsOf(ldaptest.UserDN(2)), tt.binds)
			})
		})
	}
}

func TestHazard08_AnAnswerThatGoLDAPSkipsOrWaitsForCostsATimeoutAtMost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(id int64) []byte
		kind   error
	}{
		"an id that is text":                     {func(int64) []byte { return ldaptest.TextMessageID() }, ErrConnLost},
		"an empty sequence":                      {func(int64) []byte { return ldaptest.EmptySequence() }, ErrConnLost},
		"no operation":                           {ldaptest.NoOperation, ErrConnLost},
		"another id":                             {ldaptest.WrongMessageID, ErrConnLost},
		"half a message":                         {ldaptest.HalfMessage, ErrTimeout},
		"a string that reaches past the message": {overrunning, ErrTimeout},
		"nothing":                                {func(int64) []byte { return nil }, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				h := m.hosts["one"]
				p := m.start(t, sizes(4, -1))
				mustBind(t, p)
				h.on(func(p *peer, r *request) bool {
					if r.dn == ldaptest.UserDN(2) {
						p.write(tt.answer(r.id))
					}
					return r.dn == ldaptest.UserDN(2)
				})
				began := time.Now()
				r, err := p.Bind(context.Background(), ldaptest.UserDN(2), ldaptest.Password(2)) // without a deadline of the caller's
				require.Nil(t, r)
				requireFault(t, err, tt.kind)
				want := time.Duration(0)
				if errors.Is(tt.kind, ErrTimeout) {
					want = 5 * time.Second
				}
				require.Equal(t, want, time.Since(began))
				require.Zero(t, p.Stat().Bind.Idle, "the connection was kept")
				mustBind(t, p)
			})
		})
	}
}

// go-ldap 3.4.15 has no malformed answer left that is known to make it panic in its caller, so the decoder's panic is
// one of ours.
func TestHazard09_APanicOfTheDecoderCostsTheConnectionAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := m.start(t, sizes(4, -1))
		mustBind(t, p)
		err := p.run(t.Context(), mustBorrow(t, p.lanes[1]), "bind", false, func(c *conn) (*Result, error) {
			return c.exchange(t.Context(), time.Second, func() error {
				_, err := c.ldap.SimpleBind(ldap.NewSimpleBindRequest(ldaptest.UserDN(1), ldaptest.Password(1), nil))
				require.NoError(t, err)
				panic("index out of range")
			})
		})
		var f *fault
		require.ErrorAs(t, err, &f)
		require.Equal(t, ErrConnLost, f.kind)
		require.ErrorContains(t, err, "index out of range")
		require.Equal(t, RetiredProtocol, f.reason)
		require.True(t, f.answered, "it would be sent again")
		synctest.Wait()
		require.EqualValues(t, 1, p.Stat().Retired[RetiredProtocol])
		mustBind(t, p)
	})
	t.Run("and one of the encoder costs not even that", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newMemory().start(t, sizes(4, -1))
			mustBind(t, p)
			_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1), nil) // a nil control
			requireFault(t, err, ErrInvalidRequest)
			_, err = p.Search(t.Context(), nil)
			requireFault(t, err, ErrInvalidRequest)
			mustBind(t, p)
			mustSearch(t, p)
			require.EqualValues(t, 2, p.Stat().Dials)
		})
	})
}

// mustBorrow takes a connection that was kept.
func mustBorrow(t testing.TB, l *lane) lease {
	t.Helper()
	b, _, err := l.borrow(context.Background(), false)
	require.NoError(t, err)
	return b
}

func TestHazard10_AnAnswerWithAnOddControlIsAFaultWhateverItsCode(t *testing.T) {
	t.Parallel()
	odd := ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x09}}
	for _, code := range []uint16{ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials, ldap.ErrorMalformedPacket} {
		t.Run(fmt.Sprint("code ", code), func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewServer(t, answerOnly(func(id int64) []byte { return ldaptest.BindResponse(id, code, "", odd) }))
			p, retired := watched(t, server)
			_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1), ldap.NewControlBeheraPasswordPolicy())
			requireFault(t, err, ErrConnLost)
			nextRetired(t, retired, RetiredProtocol)
		})
	}
	t.Run("go-ldap's own codes are no answer", func(t *testing.T) {
		t.Parallel()
		broken := ldaptest.BindResponse(0, ldap.ErrorNetwork, "")
		at := bytes.Index(broken, []byte{0x04, 0x00})
		require.Positive(t, at)
		server := ldaptest.NewServer(t, answerOnly(func(id int64) []byte {
			b := bytes.Clone(broken)
			b[4] = byte(id)
			b[at] = 0x05 // NULL where the name belongs
			return b
		}))
		p, _ := watched(t, server)
		_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
		requireFault(t, err, ErrConnLost)
	})
}

// sources walks over what this package is made of, its tests excepted.
func sources(t testing.TB, visit func(ast.Node)) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool { visit(node); return true })
		n++
	}
	require.Greater(t, n, 10, "the sources were not found")
}

// requireUnused checks that no source selects one of the names, as a function of a package or as a method. With used,
// it makes sure that the walk finds what is there.
func requireUnused(t testing.TB, used string, names ...string) {
	t.Helper()
	selected := map[string]bool{}
	sources(t, func(node ast.Node) {
		if s, ok := node.(*ast.SelectorExpr); ok {
			selected[s.Sel.Name] = true
			if pkg, ok := s.X.(*ast.Ident); ok {
				selected[pkg.Name+"."+s.Sel.Name] = true
			}
		}
	})
	require.True(t, selected[used], "%s is not used; the walk sees nothing", used)
	for _, name := range names {
		require.False(t, selected[name], "%s is used", name)
	}
}

// A check of the source: there is nothing to observe of what is not called.
func TestHazard11_NoAsynchronousSearchIsUsed(t *testing.T) {
	t.Parallel()
	requireUnused(t, "Search", "SearchAsync", "Syncrepl", "DirSyncAsync")
}

func TestHazard12_EveryDialHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	requireUnused(t, "ldap.NewConn", "ldap.Dial", "ldap.DialTLS", "ldap.DialURL", "ldap.DialWithDialer", "net.Dial", "tls.Dial", "tls.DialWithDialer")
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.hosts["one"].set(func(h *host) { h.deaf = true })
		p := m.start(t, sizes(4, -1), func(c *Config) { c.MaxWait = time.Hour })
		began := time.Now()
		_, err := p.Search(t.Context(), people())
		requireFault(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "connect: ")
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestHazard13_ACallersContextEndsItsRequestAndTheConnectionWithIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		kind   error
		reason RetireReason
	}{
		"cancelled": {func(c context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(c) }, context.Canceled, RetiredCanceled},
		"its deadline": {func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(c, time.Second)
		}, ErrTimeout, RetiredTimeout},
	} {
		for _, kind := range []string{"bind", "search"} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newMemory()
					p := m.start(t, sizes(4, -1))
					mustBind(t, p)
					mustSearch(t, p)
					g := hold(m.hosts["one"], kind)
					defer g.open()
					ctx, cancel := tt.ctx(t.Context())
					defer cancel()
					began := time.Now()
					send := map[string]func(context.Context, *Pool) <-chan error{"bind": bindLater, "search": searchLater}[kind]
					failed := send(ctx, p)
					held := <-g.arrived
					if errors.Is(tt.kind, context.Canceled) {
						cancel()
					}
					err := <-failed
					require.ErrorIs(t, err, tt.kind)
					require.LessOrEqual(t, time.Since(began), time.Second)
					synctest.Wait()
					require.EqualValues(t, 1, p.Stat().Retired[tt.reason])
					_, readErr := held.conn.Read(make([]byte, 1))
					require.ErrorIs(t, readErr, io.EOF, "the socket is open")
				})
			})
		}
	}
}

// A check of go.mod, and the scene in which it went wrong: connections that the server cuts while they are closed.
func TestHazard14_UnbindDoesNotDeadlockWithAServerThatDisconnects(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	found := regexp.MustCompile(`github\.com/go-ldap/ldap/v3 v3\.(\d+)\.(\d+)`).FindSubmatch(mod)
	require.NotNil(t, found)
	var minor, patch int
	_, err = fmt.Sscan(string(found[1])+" "+string(found[2]), &minor, &patch)
	require.NoError(t, err)
	require.True(t, minor > 4 || minor == 4 && patch >= 15, "go-ldap %s", found[0])

	server := ldaptest.NewServer(t, nil)
	for range 20 {
		p, _ := watched(t, server)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, _ = p.Search(soon(t), people())
				_, _ = p.Bind(soon(t), ldaptest.UserDN(1), ldaptest.Password(1))
			})
		}
		all.Wait()
		cut := make(chan struct{})
		go func() { defer close(cut); server.ResetAll() }()
		require.NoError(t, p.Close(soon(t)))
		<-cut
	}
}

func TestHazard15_ABindWithoutPasswordNeverReachesTheDirectory(t *testing.T) {
	t.Parallel()
	requireUnused(t, "SimpleBind", "UnauthenticatedBind", "AllowEmptyPassword")
	var seen binds
	server := ldaptest.NewServer(t, unless(seen.count))
	p, _ := watched(t, server)
	for _, who := range [][2]string{{ldaptest.UserDN(1), ""}, {"", "secret"}, {"", ""}} {
		_, err := bindAs(t, p, who[0], who[1])
		requireFault(t, err, ErrInvalidRequest)
	}
	require.Zero(t, seen.total())
	mustBind(t, p)
	require.Equal(t, 1, seen.total())
}

func TestHazard16_ASearchRequestStaysAsItWas(t *testing.T) {
	t.Parallel()
	requireUnused(t, "Search", "SearchWithPaging", "DirSync")
	server := ldaptest.NewServer(t, nil)
	p, _ := watched(t, server)
	req := people()
	req.Controls = append(make([]ldap.Control, 0, 4), ldap.NewControlManageDsaIT(false))
	before := *req
	spare := req.Controls[:4]
	for range 3 {
		_, err := p.Search(soon(t), req)
		require.NoError(t, err)
	}
	require.Equal(t, before, *req)
	require.Len(t, req.Controls, 1)
	require.Equal(t, []ldap.Control{nil, nil, nil}, spare[1:], "written behind the caller's slice")
}

func TestHazard17_AnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("a message of 2 GiB ends at its length", func(t *testing.T) {
		t.Parallel()
		server := ldaptest.NewServer(t, answerOnly(func(int64) []byte { return ldaptest.EndlessLength() }))
		p, retired := watched(t, server)
		_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
		requireFault(t, err, ErrConnLost)
		require.ErrorIs(t, err, errTooLong)
		nextRetired(t, retired, RetiredProtocol)
	})
	t.Run("entries without end end at 16 MiB", func(t *testing.T) {
		t.Parallel()
		entry := ldaptest.Entry{DN: ldaptest.UserDN(1), Attributes: map[string][]string{"jpegPhoto": {strings.Repeat("x", 1<<20)}}}
		server := ldaptest.NewServer(t, unless(func(c *ldaptest.Conn, req ldaptest.Request) bool {
			b := ldaptest.SearchEntry(req.MessageID, entry)
			for range 20 { // of 1 MiB each
				c.WriteRaw(b)
			}
			return true
		}))
		p, _ := watched(t, server, func(c *Config) { c.RequestTimeout = time.Minute })
		_, err := p.Search(context.Background(), people())
		requireFault(t, err, ErrConnLost)
		require.ErrorIs(t, err, errTooLong)
	})
}

func TestHazard18_TheControlsOfARefusalAreReturned(t *testing.T) {
	t.Parallel()
	locked := ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x01}}
	server := ldaptest.NewServer(t, unless(func(c *ldaptest.Conn, req ldaptest.Request) bool {
		c.ReplyBind(req, ldap.LDAPResultInvalidCredentials, "locked", locked)
		return true
	}))
	p, _ := watched(t, server)
	r, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1), ldap.NewControlBeheraPasswordPolicy())
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
	require.Equal(t, "locked", r.Diagnostic)
	policy, ok := ldap.FindControl(r.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	require.True(t, ok)
	require.EqualValues(t, ldap.BeheraAccountLocked, policy.Error)
}

func TestHazard19_ThePoolIsToldOfAResetAndDoesNotHaveToAsk(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*ldaptest.Server){"reset": (*ldaptest.Server).ResetAll, "closed": (*ldaptest.Server).CloseAll} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewServer(t, nil)
			p, retired := watched(t, server) // whose upkeep looks once in a minute
			mustSearch(t, p)
			mustBind(t, p)
			end(server)
			nextRetired(t, retired, RetiredPeerClosed)
			nextRetired(t, retired, RetiredPeerClosed)
			mustSearch(t, p)
			mustBind(t, p)
			require.Zero(t, p.Stat().Retries, "a caller met the dead connection")
		})
	}
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := m.start(t, sizes(4, -1))
			mustSearch(t, p)
			mustBind(t, p)
			time.Sleep(500 * time.Millisecond) // into the pause between two looks of upkeep's own
			m.hosts["one"].cutAll()
			synctest.Wait() // no time passes
			require.EqualValues(t, 2, p.Stat().Retired[RetiredPeerClosed])
		})
	})
	t.Run("and one that ends between borrowing and use is known to have carried nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := m.start(t, sizes(4, -1))
			mustBind(t, p)
			b := mustBorrow(t, p.lanes[1])
			m.hosts["one"].cutAll()
			synctest.Wait()
			err := p.run(t.Context(), b, "bind", false, func(c *conn) (*Result, error) {
				_, err := c.bind(t.Context(), time.Second, ldaptest.UserDN(1), ldaptest.Password(1), nil)
				return nil, err
			})
			var f *fault
			require.ErrorAs(t, err, &f)
			require.Equal(t, ErrConnLost, f.kind)
			require.False(t, f.sent)
			require.True(t, p.mayRebind(f, true))
		})
	})
}

// Hazard 20, the cost of go-ldap's goroutines, is measured by BenchmarkPoolBind and BenchmarkBareBind.

func TestPuddle_AConstructorEndsByItsOwnDeadlineAndOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := m.start(t, sizes(4, -1))
		mustSearch(t, p)
		g := hold(m.hosts["one"], "ping")
		ctx, cancel := context.WithCancel(t.Context())
		failed := bindLater(ctx, p)
		<-g.arrived
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
		g.open()
		synctest.Wait()
		require.Equal(t, 1, p.Stat().Bind.Idle, "the dial went on, and lands idle")
		g = hold(m.hosts["one"], "ping")
		defer g.open()
		failed = bindLater(t.Context(), p) // takes that one
		require.NoError(t, <-failed)
		b := mustBorrow(t, p.lanes[1])
		began := time.Now()
		failed = bindLater(t.Context(), p)
		<-g.arrived
		until := time.Now().Add(10 * time.Second)
		for p.Stat().DialErrors == 0 {
			require.True(t, time.Now().Before(until))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), 4*time.Second)
		<-failed
		b.release(true)
	})
}

func TestPuddle_AHungCloseDoesNotEatThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		deaf := make(chan struct{})
		defer close(deaf)
		h.on(func(p *peer, r *request) bool {
			if r.dn == ldaptest.UserDN(2) {
				p.answer(r)
				p.await(deaf) // reads no unbind
			}
			return r.dn == ldaptest.UserDN(2)
		})
		_, err := p.Bind(t.Context(), ldaptest.UserDN(2), ldaptest.Password(2))
		require.NoError(t, err)
		p.generation.Add(1) // so that it must be closed
		began := time.Now()
		mustBind(t, p)
		require.Equal(t, closeTimeout, time.Since(began), "the room was not free when the close gave up")
		_, most := m.used()
		require.Equal(t, 1, most)
	})
}

func TestPuddle_CloseDoesNotWaitForAcquiredConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := m.start(t, sizes(4, -1))
		mustBind(t, p)
		g := hold(m.hosts["one"], "bind")
		defer g.open()
		failed := bindLater(context.Background(), p)
		<-g.arrived
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
		require.LessOrEqual(t, time.Since(began), time.Second+closeGrace)
		requireFault(t, <-failed, ErrClosed)
	})
}

func TestPuddle_AConnectionBegunBeforeAChangeOfConfigurationIsNotUsedAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, -1), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		p.generation.Add(1)
		mustBind(t, p)
		synctest.Wait()
		require.EqualValues(t, 1, p.Stat().Retired[RetiredReplaced], "an idle one")

		p.generation.Add(1)
		g := hold(h, "ping")
		done := bindLater(t.Context(), p)
		<-g.arrived
		p.generation.Add(1)
		g.open()
		require.NoError(t, <-done)
		synctest.Wait()
		require.EqualValues(t, 3, p.Stat().Retired[RetiredReplaced], "an idle one and one that was being dialled")
		old := h.bindsOf(ldaptest.UserDN(1))
		require.Equal(t, old[len(old)-1].peer, h.accepted)
	})
}

func TestPuddle_UpkeepHoldsOneIdleConnectionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(8, 3), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		time.Sleep(5 * time.Second)
		require.GreaterOrEqual(t, p.Stat().Bind.Idle, 3)
		var once sync.Once
		pinged := make(chan struct{})
		h.on(func(p *peer, r *request) bool {
			hung := false
			if r.kind == "ping" {
				once.Do(func() { hung = true; close(pinged) })
			}
			return hung
		})
		<-pinged // upkeep's: nobody else is there
		require.Equal(t, 1, p.Stat().Bind.InUse)
		began := time.Now()
		mustBind(t, p)
		require.Zero(t, time.Since(began))
	})
}

func TestPuddle_IdleTimeAgeAndWaitersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := m.start(t, sizes(8, -1))
		mustBind(t, p)
		mustSearch(t, p)
		time.Sleep(7 * time.Minute)
		require.EqualValues(t, 2, p.Stat().Retired[RetiredMaxIdle])
		began := time.Now()
		for time.Since(began) < 31*time.Minute {
			mustBind(t, p)
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, 1, p.Stat().Retired[RetiredMaxLifetime])
	})
	t.Run("waiters", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly, c.MaxWaiters = true, 1 })
			mustBind(t, p)
			b := mustBorrow(t, p.lanes[1])
			waits := bindLater(t.Context(), p)
			synctest.Wait()
			requireFault(t, <-bindLater(t.Context(), p), ErrOverloaded)
			b.release(true)
			require.NoError(t, <-waits)
		})
	})
}

func TestField_NoPlaceIsLostWhenAReplacementCannotBeDialled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(2, 1))
		for range 20 {
			h.accept()
			for _, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1)); err != nil; {
				requireFault(t, err, ErrUnavailable)
				time.Sleep(100 * time.Millisecond)
				_, err = p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
			}
			h.refuse(true)
			synctest.Wait()
			for range 5 {
				_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				requireFault(t, err, ErrUnavailable)
				time.Sleep(time.Second)
			}
		}
		h.accept()
		time.Sleep(5 * time.Second)
		g := hold(h, "bind")
		first, second := bindLater(t.Context(), p), bindLater(t.Context(), p)
		<-g.arrived
		<-g.arrived // both places are there
		g.open()
		require.NoError(t, <-first)
		require.NoError(t, <-second)
	})
}

func TestField_NothingIsLockedWhileAConnectionIsValidated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(8, -1))
		mustBind(t, p)
		mustSearch(t, p)
		time.Sleep(2 * time.Second) // so that the next use pings
		var once sync.Once
		pinged := make(chan struct{})
		h.on(func(_ *peer, r *request) (hung bool) {
			if r.kind == "ping" {
				once.Do(func() { hung = true; close(pinged) })
			}
			return hung
		})
		waits := bindLater(t.Context(), p)
		<-pinged
		began := time.Now()
		require.Equal(t, 1, p.Stat().Bind.InUse)
		mustSearch(t, p)
		mustBind(t, p)
		require.Zero(t, time.Since(began))
		require.NoError(t, <-waits)
		require.LessOrEqual(t, time.Since(began), pingTimeout+time.Millisecond)
	})
}

func TestField_FailoverReturnsToTheFirstServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("first", "second")
		first, second := m.hosts["first"], m.hosts["second"]
		second.refuse(false)
		p := m.start(t)
		require.Equal(t, first.url(), mustBind(t, p).Server)
		second.accept()
		time.Sleep(5 * time.Second) // and is found usable
		first.refuse(true)
		time.Sleep(5 * time.Second)
		require.Equal(t, second.url(), mustBind(t, p).Server)
		first.accept()
		began := time.Now()
		for mustBind(t, p).Server != first.url() || mustSearch(t, p).Server != first.url() {
			time.Sleep(10 * time.Second)
			require.LessOrEqual(t, time.Since(began), 31*time.Minute, "still not at the first")
		}
	})
}

func TestField_APausedServerDoesNotDefeatFailover(t *testing.T) {
	t.Parallel()
	// With connections kept warm their dials find the server out as well; without them a login's timeout alone does.
	for _, minIdle := range []int{2, -1} {
		t.Run(fmt.Sprint("MinIdleConns ", minIdle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMemory("first", "second")
				first, second := m.hosts["first"], m.hosts["second"]
				second.refuse(false)
				p := m.start(t, sizes(32, minIdle))
				require.Equal(t, first.url(), mustBind(t, p).Server)
				second.accept()
				time.Sleep(5 * time.Second) // and is found usable
				require.Equal(t, first.url(), mustBind(t, p).Server)
				first.pause() // it takes connections and bytes, and answers nothing
				defer first.resume()
				_, err := p.Bind(t.Context(), ldaptest.UserDN(1), ldaptest.Password(1))
				requireFault(t, err, ErrTimeout)
				began := time.Now()
				require.Equal(t, second.url(), mustBind(t, p).Server)
				require.LessOrEqual(t, time.Since(began), time.Second, "a second login waited for the paused server")
				for range 20 {
					began := time.Now()
					require.Equal(t, second.url(), mustBind(t, p).Server)
					require.Equal(t, second.url(), mustSearch(t, p).Server)
					require.LessOrEqual(t, time.Since(began), time.Second)
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestField_APoolThatHasNoneFreeSaysNothingAboutAPassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := m.start(t, sizes(1, -1), func(c *Config) { c.BindOnly = true })
		mustBind(t, p)
		b := mustBorrow(t, p.lanes[1])
		for range 3 {
			r, err := p.Bind(t.Context(), ldaptest.UserDN(1), "wrong")
			require.Nil(t, r)
			requireFault(t, err, ErrOverloaded)
		}
		require.Len(t, m.hosts["one"].bindsOf(ldaptest.UserDN(1)), 1, "it asked all the same")
		b.release(true)
		mustBind(t, p)
	})
}

func TestField_NoConnectionThatCarriedAUserDoesASearch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		h := m.hosts["one"]
		p := m.start(t, sizes(4, 1))
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for j := range 10 {
					mustSearch(t, p) // a user would find nothing
					password := ldaptest.Password(1)
					if (i+j)%3 == 0 {
						password = "wrong"
					}
					_, err := p.Bind(t.Context(), ldaptest.UserDN(1), password)
					require.NoError(t, err)
				}
			})
		}
		all.Wait()
		users := map[int]bool{}
		for _, s := range h.bindsOf(ldaptest.UserDN(1)) {
			users[s.peer] = true
		}
		require.NotEmpty(t, users)
		for _, s := range h.requests("search") {
			require.False(t, users[s.peer], "a search on connection %d, which was a user's", s.peer)
		}
		for _, s := range h.bindsOf(ldaptest.ServiceDN) {
			require.False(t, users[s.peer], "a service bind on connection %d, which was a user's", s.peer)
		}
	})
}

func TestField_ThePoolStartsWhileTheDirectoryIsAway(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	server.StopListening()
	p, _ := watched(t, server)
	_, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1))
	requireFault(t, err, ErrUnavailable)
	require.False(t, p.Stat().Answered())
	server.Listen()
	until(t, p, "the directory to be found", func(s *Stat) bool { return s.Usable() })
	mustBind(t, p)
	mustSearch(t, p)
}

func TestField_NoOperationHoldsAConnectionWhileItWaitsForAnother(t *testing.T) {
	t.Parallel()
	t.Run("a retry with room for one connection", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p := m.start(t, sizes(1, -1))
			mustSearch(t, p)
			var once sync.Once
			m.hosts["one"].on(func(p *peer, r *request) (cut bool) {
				if r.kind == "search" {
					once.Do(func() { p.cut(); cut = true })
				}
				return cut
			})
			began := time.Now()
			mustSearch(t, p)
			require.Zero(t, time.Since(began))
			require.EqualValues(t, 1, p.Stat().Retries)
		})
	})
	t.Run("many logins with room for two connections", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newMemory().start(t, sizes(2, 1))
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					mustSearch(t, p)
					mustBind(t, p)
					mustSearch(t, p)
				})
			}
			all.Wait()
		})
	})
}

func TestNoMalformedAnswerIsAVerdictAndNoneOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure := ca.ServerTLS(t)
	answers := append(ldaptest.MalformedAnswers(), ldaptest.Malformed{Name: "a string that reaches past the message", Bytes: overrunning})
	silent := map[string]bool{"half a message": true, "a string that reaches past the message": true}
	ops := map[string]func(ctx context.Context, p *Pool) (answered bool, err error){
		"bind": func(ctx context.Context, p *Pool) (bool, error) {
			r, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1), ldap.NewControlBeheraPasswordPolicy())
			return r != nil, err
		},
		"search": func(ctx context.Context, p *Pool) (bool, error) {
			r, err := p.Search(ctx, people())
			return r != nil, err
		},
	}
	for _, answer := range answers {
		for op, do := range ops {
			for _, overTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, to a %s, TLS %v", answer.Name, op, overTLS), func(t *testing.T) {
					t.Parallel()
					var options []ldaptest.ServerOption
					if overTLS {
						options = append(options, ldaptest.WithTLS(secure))
					}
					server := ldaptest.NewServer(t, nil, options...)
					p, _ := watched(t, server, func(c *Config) { c.TLS = ca.ClientTLS("localhost") })
					mustSearch(t, p)
					mustBind(t, p)
					server.SetHandler(answerOnly(answer.Bytes))

					ctx := soon(t)
					kind := ErrConnLost
					if silent[answer.Name] && (op == "bind" || answer.Name == "half a message") {
						kind = ErrTimeout
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Second)
						defer cancel()
					}
					began := time.Now()
					answered, err := do(ctx, p)
					if answer.Name == "search done to a bind" && op == "search" {
						require.NoError(t, err, "it is in order there")
					} else {
						require.False(t, answered)
						requireFault(t, err, kind)
					}
					require.Less(t, time.Since(began), 10*time.Second)

					server.SetHandler(unless(func(*ldaptest.Conn, ldaptest.Request) bool { return false }))
					mustSearch(t, p)
					mustBind(t, p)
				})
			}
		}
	}
}

// verdict reads an answer to a bind as RFC 4511 has it, by other means than the pool: whether b begins with a
// BindResponse for the id, and its code.
func verdict(b []byte, id int64) (code int64, ok bool) {
	if len(b) < 2 || b[0] != 0x30 || b[1] == 0x80 {
		return 0, false
	}
	p, err := ber.ReadPacket(bytes.NewReader(b))
	if err != nil || len(p.Children) < 2 {
		return 0, false
	}
	op := p.Children[1]
	if p.Children[0].Tag != ber.TagInteger || p.Children[0].Value != id || op.ClassType != ber.ClassApplication ||
		op.TagType != ber.TypeConstructed || op.Tag != ldap.ApplicationBindResponse || len(op.Children) < 3 {
		return 0, false
	}
	code, ok = op.Children[0].Value.(int64)
	return code, ok && op.Children[0].Tag == ber.TagEnumerated
}

// FuzzServerBytes answers a bind with arbitrary bytes, through the whole pool, in a bubble: so a wait costs nothing, and
// a hang is found.
func FuzzServerBytes(f *testing.F) {
	const id = 2 // behind the ping that introduces a connection
	for _, m := range ldaptest.MalformedAnswers() {
		if b := m.Bytes(id); len(b) < 1000 {
			f.Add(b, false)
			f.Add(b, true)
		}
	}
	f.Add(ldaptest.BindResponse(id, ldap.LDAPResultSuccess, ""), false)
	f.Add(ldaptest.BindResponse(id, ldap.LDAPResultInvalidCredentials, "80090308: LdapErr: DSID-0C090449, data 52e, v4563"), true)
	f.Add(append(ldaptest.BindResponse(id, 0, ""), ldaptest.NoticeOfDisconnection(52, "")...), false)
	f.Add(ldaptest.NoticeOfDisconnection(52, ""), false)
	f.Add(overrunning(id), false)
	f.Add(ldaptest.BindResponse(id, 49, "", ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x01}}), false)
	f.Fuzz(func(t *testing.T, b []byte, closes bool) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			h := m.hosts["one"]
			p := m.start(t, sizes(2, -1), func(c *Config) { c.BindOnly = true })
			h.on(func(p *peer, r *request) bool {
				if r.kind != "bind" {
					return false
				}
				if r.id != id {
					t.Error("another id than the fuzzer counts on")
				}
				p.write(b)
				if closes {
					p.cut()
				}
				return true
			})
			began := time.Now()
			r, err := p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1))
			require.LessOrEqual(t, time.Since(began), 5*time.Second)
			code, ok := verdict(b, id)
			switch {
			case err == nil:
				require.True(t, ok, "code %d was made of % x", r.Code, b)
				require.EqualValues(t, code, r.Code)
			case errors.Is(err, ErrTimeout):
				require.False(t, closes)
				requireFault(t, err, ErrTimeout)
			default:
				requireFault(t, err, ErrConnLost)
			}
			require.Len(t, h.requests("bind"), 1, "a bind on a new connection is sent once")
			h.on(nil)
			mustBind(t, p)
		})
	})
}
