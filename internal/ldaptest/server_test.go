package ldaptest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestServer_HandlerSeesTheRequest(t *testing.T) {
	t.Parallel()
	seen := make(chan Request, 10)
	directory := NewDirectory()
	srv := NewServer(t, func(c *Conn, req Request) {
		seen <- req
		directory.Handle(c, req)
	})
	c := dial(t, srv.URL())

	_, err := c.SimpleBind(ldap.NewSimpleBindRequest(UserDN(1), Password(1), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
	require.NoError(t, err)
	bind := <-seen
	require.Equal(t, OpBind, bind.Op)
	require.Equal(t, "bind", bind.Op.String())
	require.EqualValues(t, 1, bind.MessageID)
	require.Equal(t, UserDN(1), bind.DN)
	require.Equal(t, Password(1), bind.Password)
	require.True(t, bind.HasControl(ldap.ControlTypeBeheraPasswordPolicy))
	require.False(t, bind.HasControl(ldap.ControlTypePaging))

	_, _ = c.Search(ldap.NewSearchRequest(PeopleDN, ldap.ScopeSingleLevel, 0, 2, 0, false, "(&(uid=a)(!(cn=b)))", []string{"mail", "sn"}, nil))
	search := <-seen
	require.Equal(t, OpSearch, search.Op)
	require.Equal(t, PeopleDN, search.DN)
	require.Equal(t, ldap.ScopeSingleLevel, search.Scope)
	require.Equal(t, 2, search.SizeLimit)
	require.Equal(t, "(&(uid=a)(!(cn=b)))", search.Filter)
	require.Equal(t, []string{"mail", "sn"}, search.Attributes)

	who, err := c.WhoAmI(nil)
	require.NoError(t, err)
	require.Equal(t, "dn:"+UserDN(1), who.AuthzID)
	require.Equal(t, WhoAmIOID, (<-seen).Extended)

	require.NoError(t, c.Unbind())
	require.Equal(t, OpUnbind, (<-seen).Op)
	for _, op := range []Op{OpBind, OpSearch, OpExtended, OpUnbind} {
		require.Equal(t, 1, srv.Count(op), op)
	}
	require.Zero(t, srv.Count(OpAbandon))
}

func TestServer_CountsAnAbandonWithItsRequest(t *testing.T) {
	t.Parallel()
	abandoned := make(chan Request, 1)
	srv := NewServer(t, func(_ *Conn, req Request) {
		if req.Op == OpAbandon {
			abandoned <- req
		}
	})
	c := dialRaw(t, srv.Addr())
	op := ber.NewInteger(ber.ClassApplication, ber.TypePrimitive, ber.Tag(OpAbandon), 77, "")
	_, err := c.Write(envelope(5, op.Bytes()...))
	require.NoError(t, err)
	require.EqualValues(t, 77, (<-abandoned).AbandonID)
	require.Equal(t, 1, srv.Count(OpAbandon))
}

func TestServer_MalformedRequestEndsItsConnection(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	for _, b := range [][]byte{EmptySequence(), TextMessageID(), NoOperation(1), envelope(1, 0x60, 0x00)} {
		c := dialRaw(t, srv.Addr())
		_, err := c.Write(b)
		require.NoError(t, err)
		requireFIN(t, c)
	}
}

func TestServer_CountsItsConnections(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	a, b := dial(t, srv.URL()), dial(t, srv.URL())
	require.NoError(t, rootDSE(a))
	require.NoError(t, rootDSE(b))
	require.Equal(t, 2, srv.Open())
	require.NoError(t, a.Close())
	Eventually(t, "one to be closed", func() bool { return srv.Open() == 1 })
	require.NoError(t, rootDSE(dial(t, srv.URL())))
	require.Equal(t, 3, srv.Accepted())
	require.Equal(t, 2, srv.MaxOpen())
	require.Len(t, srv.Conns(), 2)
}

func TestServer_SwapsTheHandlerOfOpenConnections(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	c := dial(t, srv.URL())
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	srv.SetHandler(func(c *Conn, req Request) { c.ReplyBind(req, ldap.LDAPResultBusy, "later") })
	require.Equal(t, ldap.LDAPResultBusy, code(c.Bind(UserDN(0), Password(0))))
}

func TestServer_EndsConnectionsWithFINOrRST(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	open := func() net.Conn {
		c := dialRaw(t, srv.Addr())
		Eventually(t, "the connection", func() bool { return len(srv.Conns()) == 1 })
		return c
	}
	ends := map[string]struct {
		end     func()
		require func(net.Conn)
	}{
		"one closed": {func() { srv.Conns()[0].Close() }, func(c net.Conn) { requireFIN(t, c) }},
		"one reset":  {func() { srv.Conns()[0].Reset() }, func(c net.Conn) { requireRST(t, c) }},
		"all closed": {srv.CloseAll, func(c net.Conn) { requireFIN(t, c) }},
		"all reset":  {srv.ResetAll, func(c net.Conn) { requireRST(t, c) }},
	}
	for _, e := range ends {
		c := open()
		e.end()
		e.require(c)
		Eventually(t, "the end of the connection", func() bool { return srv.Open() == 0 })
	}
}

func TestServer_StopsAndReturnsOnItsPort(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	url := srv.URL()
	open := dial(t, url)
	require.NoError(t, rootDSE(open))
	srv.StopListening()
	srv.StopListening()
	_, err := ldap.DialURL(url)
	require.Error(t, err)
	require.NoError(t, rootDSE(open), "an open connection was cut")
	srv.Listen()
	srv.Listen()
	require.NoError(t, rootDSE(dial(t, url)))
}

func TestServer_NoticeOfDisconnectionReachesAnIdleClient(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil)
	c := dialRaw(t, srv.Addr())
	Eventually(t, "the connection", func() bool { return len(srv.Conns()) == 1 })
	srv.Conns()[0].Notice(ldap.LDAPResultUnavailable, "shutting down")
	p, err := ber.ReadPacket(c)
	require.NoError(t, err)
	require.EqualValues(t, 0, p.Children[0].Value)
	require.EqualValues(t, ldap.ApplicationExtendedResponse, p.Children[1].Tag)
	require.EqualValues(t, ldap.LDAPResultUnavailable, p.Children[1].Children[0].Value)
	require.Equal(t, NoticeOID, p.Children[1].Children[3].Data.String())
	requireSilence(t, c)
}

func TestServer_AnswersLateAndOneByteAtATime(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	srv := NewServer(t, func(c *Conn, req Request) {
		switch req.Op {
		case OpBind:
			c.Go(func() {
				select {
				case <-release:
					c.WriteSlowly(BindResponse(req.MessageID, 0, ""), time.Millisecond)
				case <-c.Done():
				}
			})
		case OpSearch:
			c.ReplySearch(req, 0, Entry{})
		}
	})
	c := dial(t, srv.URL())
	bound := make(chan error, 1)
	go func() { bound <- c.Bind(UserDN(0), Password(0)) }()
	Eventually(t, "the bind", func() bool { return srv.Count(OpBind) == 1 })
	require.NoError(t, rootDSE(c), "nothing is read while a bind waits")
	select {
	case err := <-bound:
		t.Fatalf("the bind was answered too early: %v", err)
	default:
	}
	begin := time.Now()
	close(release)
	require.NoError(t, <-bound)
	require.GreaterOrEqual(t, time.Since(begin), 13*time.Millisecond, "14 bytes came without pauses")
}

func TestServer_StalledConnectionIsNoLongerRead(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, func(c *Conn, _ Request) { c.Stall() })
	c := dialRaw(t, srv.Addr())
	bind := BindResponse(1, 0, "")
	bind[5] = 0x60 // read as a bind request
	_, err := c.Write(append(bind, bind...))
	require.NoError(t, err)
	Eventually(t, "the first request", func() bool { return srv.Count(OpBind) == 1 })
	requireSilence(t, c)
	require.Equal(t, 1, srv.Count(OpBind))
}

func TestServer_SendsBytesOnAccept(t *testing.T) {
	t.Parallel()
	srv := NewServer(t, nil, WithOnAccept(func(c *Conn) { c.WriteRaw(Garbage()); c.Close() }))
	require.Equal(t, Garbage(), requireFIN(t, dialRaw(t, srv.Addr())))
	srv.SetOnAccept(func(c *Conn) { c.Stall() })
	c := dial(t, srv.URL())
	c.SetTimeout(50 * time.Millisecond)
	require.Error(t, rootDSE(c), "a stalled connection answered")
}

func TestServer_SpeaksTLS(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	srv := NewServer(t, nil, WithTLS(ca.ServerTLS(t)))
	require.True(t, strings.HasPrefix(srv.URL(), "ldaps://localhost:"))
	c := dial(t, srv.URL(), ldap.DialWithTLSConfig(ca.ClientTLS("localhost")))
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
}

func TestServer_AnswersStartTLS(t *testing.T) {
	t.Parallel()
	ca := NewCA(t)
	srv := NewServer(t, nil, WithStartTLS(ca.ServerTLS(t)))
	c := dial(t, srv.URL())
	require.NoError(t, c.StartTLS(ca.ClientTLS("localhost")))
	require.NoError(t, c.Bind(UserDN(0), Password(0)))
	state, ok := c.TLSConnectionState()
	require.True(t, ok)
	require.GreaterOrEqual(t, state.Version, uint16(tls.VersionTLS12))
	require.Equal(t, 1, srv.Count(OpExtended))

	refused := dial(t, NewServer(t, nil).URL())
	require.Error(t, refused.StartTLS(ca.ClientTLS("localhost")))
}

func TestServer_CloseEndsWaitingHandlers(t *testing.T) {
	t.Parallel()
	var handlers sync.WaitGroup
	srv := NewServer(t, func(c *Conn, _ Request) {
		handlers.Go(c.Stall)
		c.Go(c.Stall)
		c.Stall()
	})
	c := dialRaw(t, srv.Addr())
	_, err := c.Write(envelope(1, 0x42, 0x00)) // an unbind
	require.NoError(t, err)
	Eventually(t, "the request", func() bool { return srv.Count(OpUnbind) == 1 })
	srv.Close()
	handlers.Wait()
	requireFIN(t, c)
	srv.Close()
}

func TestServer_ClosesWhileClientsArrive(t *testing.T) {
	t.Parallel()
	for range 20 {
		srv := NewServer(t, nil, WithOnAccept(func(c *Conn) { c.Stall() }))
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for ctx.Err() == nil {
					c, err := net.Dial("tcp", srv.Addr())
					if err != nil {
						return
					}
					defer c.Close()
				}
			})
		}
		Eventually(t, "a client", func() bool { return srv.Accepted() > 0 })
		srv.Close()
		cancel()
		clients.Wait()
		require.Zero(t, srv.Open())
	}
}

func TestServer_CloseDropsUnreadAnswers(t *testing.T) {
	t.Parallel()
	flood := make([]byte, 1<<20)
	srv := NewServer(t, nil, WithOnAccept(func(c *Conn) {
		for {
			select {
			case <-c.Done():
				return
			default:
				c.WriteRaw(flood)
			}
		}
	}))
	c := dialRaw(t, srv.Addr())
	_, err := io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
	srv.Close()
}
