package ldappool

import (
	"authsvc/ldappool/internal/core"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// The tests here hold that the pool survives the servers that go-ldap's connection did not survive;
// puddle_test.go is about puddle, and field_test.go about what made other pools fail. The cost of
// an operation, compared with go-ldap's, is measured by BenchmarkBind and BenchmarkSearch of
// ldapconn.

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
		server := ldaptest.NewServer(t, handlerExcept(func(c *ldaptest.Conn, req ldaptest.Request) bool {
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
		server.SetHandler(handlerExcept(func(c *ldaptest.Conn, _ ldaptest.Request) (said bool) {
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
		m := newFakeNet()
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
	unresponsive := func(t *testing.T) *ldaptest.Server {
		t.Helper()
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
		p, retired := watched(t, unresponsive(t), func(c *Config) { c.RequestTimeout = 200 * time.Millisecond })
		_, err := bindAs(t, p, ldaptest.UserDN(1), strings.Repeat("x", big))
		requireFault(t, err, ErrTimeout)
		nextRetired(t, retired, RetiredTimeout)
	})
	t.Run("by the pool's close", func(t *testing.T) {
		t.Parallel()
		p, _ := watched(t, unresponsive(t), func(c *Config) { c.RequestTimeout = time.Hour })
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
		m := newFakeNet()
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
	// go-ldap says all of these in plain text; the pool must distinguish them.
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
				m := newFakeNet()
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
		"a string that reaches past the message": {overlongString, ErrConnLost},
		"nothing":                                {func(int64) []byte { return nil }, ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newFakeNet()
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

func TestHazard09_ARequestThatCannotBeEncodedCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeNet().start(t, sizes(4, -1))
		mustBind(t, p)
		withNil := people()
		withNil.Controls = []ldap.Control{nil}
		for _, req := range []*ldap.SearchRequest{nil, withNil} {
			_, err := p.Search(t.Context(), req)
			requireFault(t, err, ErrInvalidRequest)
		}
		mustBind(t, p)
		mustSearch(t, p)
		require.EqualValues(t, 2, p.Stat().Dials)
	})
}

// What a control says is for whoever asked for it; that a password policy control cannot be is a
// fault of the login.
func TestHazard10_AnOddControlHidesNoResultCode(t *testing.T) {
	t.Parallel()
	odd := ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x09}}
	for _, code := range []uint16{ldap.LDAPResultSuccess, ldap.LDAPResultInvalidCredentials, ldap.ErrorMalformedPacket} {
		t.Run(fmt.Sprint("code ", code), func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewServer(t, answerOnly(func(id int64) []byte { return ldaptest.BindResponse(id, code, "", odd) }))
			p, _ := watched(t, server)
			r, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1), policyRequest)
			require.NoError(t, err)
			require.Equal(t, code, r.Code)
			require.Equal(t, []Control{{OID: odd.OID, Value: odd.Value}}, r.Controls)
		})
	}
	t.Run("an answer without its name is none", func(t *testing.T) {
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

// A check of the source: there is nothing to observe of what is not called.
func TestHazard11_NoAsynchronousSearchIsUsed(t *testing.T) {
	t.Parallel()
	requireUnused(t, "Search", "SearchAsync", "Syncrepl", "DirSyncAsync")
}

func TestHazard12_EveryDialHasItsOwnTimeout(t *testing.T) {
	t.Parallel()
	requireUnused(t, "ldapconn.Dial", "ldap.NewConn", "ldap.Dial", "ldap.DialTLS", "ldap.DialURL", "ldap.DialWithDialer", "net.Dial", "tls.Dial", "tls.DialWithDialer")
	synctest.Test(t, func(t *testing.T) {
		m := newFakeNet()
		m.hosts["one"].set(func(h *host) { h.dropsDials = true })
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
		"cancelled": {context.WithCancel, context.Canceled, RetiredCanceled},
		"its deadline": {func(c context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(c, time.Second)
		}, ErrTimeout, RetiredTimeout},
	} {
		for _, kind := range []string{"bind", "search"} {
			t.Run(kind+", "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					m := newFakeNet()
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

// Connections that the server cuts while they are closed.
func TestHazard14_UnbindDoesNotDeadlockWithAServerThatDisconnects(t *testing.T) {
	t.Parallel()
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
	requireUnused(t, "Bind", "SimpleBind", "UnauthenticatedBind", "AllowEmptyPassword")
	var seen binds
	server := ldaptest.NewServer(t, handlerExcept(seen.count))
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
		require.ErrorContains(t, err, tooLong)
		nextRetired(t, retired, RetiredProtocol)
	})
	t.Run("entries without end end at 4 MiB", func(t *testing.T) {
		t.Parallel()
		entry := ldaptest.Entry{DN: ldaptest.UserDN(1), Attributes: map[string][]string{"jpegPhoto": {strings.Repeat("x", 1<<20)}}}
		server := ldaptest.NewServer(t, handlerExcept(func(c *ldaptest.Conn, req ldaptest.Request) bool {
			b := ldaptest.SearchEntry(req.MessageID, entry)
			for range 20 { // of 1 MiB each
				c.WriteRaw(b)
			}
			return true
		}))
		p, _ := watched(t, server, func(c *Config) { c.RequestTimeout = time.Minute })
		_, err := p.Search(context.Background(), people())
		requireFault(t, err, ErrConnLost)
		require.ErrorContains(t, err, tooLong)
	})
}

func TestHazard18_TheControlsOfARefusalAreReturned(t *testing.T) {
	t.Parallel()
	locked := ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x01}}
	server := ldaptest.NewServer(t, handlerExcept(func(c *ldaptest.Conn, req ldaptest.Request) bool {
		c.ReplyBind(req, ldap.LDAPResultInvalidCredentials, "locked", locked)
		return true
	}))
	p, _ := watched(t, server)
	r, err := bindAs(t, p, ldaptest.UserDN(1), ldaptest.Password(1), policyRequest)
	require.NoError(t, err)
	require.EqualValues(t, ldap.LDAPResultInvalidCredentials, r.Code)
	require.Equal(t, "locked", r.Diagnostic)
	require.Equal(t, []Control{{OID: locked.OID, Value: locked.Value}}, r.Controls)
}

func TestHazard19_ThePoolNoticesAResetAtOnce(t *testing.T) {
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
			m := newFakeNet()
			p := m.start(t, sizes(4, -1))
			mustSearch(t, p)
			mustBind(t, p)
			time.Sleep(500 * time.Millisecond) // into the pause between two looks of upkeep's own
			m.hosts["one"].abortAll()
			synctest.Wait() // no time passes
			require.EqualValues(t, 2, p.Stat().Retired[RetiredPeerClosed])
		})
	})
	t.Run("and one that ends between borrowing and use is known to have carried nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			p := m.start(t, sizes(4, -1))
			mustBind(t, p)
			b := mustAcquire(t, p, core.Bind)
			m.hosts["one"].abortAll()
			synctest.Wait()
			_, err := b.bind(t.Context(), time.Now().Add(time.Second), ldaptest.UserDN(1), ldaptest.Password(1), nil)
			f := asFault(err)
			require.NotNil(t, f)
			require.Equal(t, ErrConnLost, faultKind(t.Context(), b.conn, f))
			require.False(t, f.Sent)
			p.update(func(now time.Time) { p.core.Released(now, b.core, core.Outcome{Close: core.ReasonPeerClosed}) })
		})
	})
}
