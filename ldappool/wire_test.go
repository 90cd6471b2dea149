package ldappool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// Requests of which the wire reads no more than id and operation.
var (
	bindRequest   = []byte{0x30, 0x0c, 0x02, 0x01, 0x01, tagBindRequest, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00}
	searchRequest = []byte{0x30, 0x05, 0x02, 0x01, 0x01, tagSearchRequest, 0x00}
)

// rig is a wire in a synctest bubble. The test is its peer, and a goroutine reads it as go-ldap's does.
type rig struct {
	*wire
	t    *testing.T
	peer net.Conn
	ends atomic.Int32 // calls of onEnd

	mu      sync.Mutex // guards what follows
	got     []byte     // what the reader was given
	readErr error      // what ended it
}

// newRig starts a wire over the end of a pipe that around makes of it; nil is the end itself.
func newRig(t *testing.T, around func(net.Conn) (conn, raw net.Conn)) *rig {
	t.Helper()
	ours, theirs := net.Pipe()
	if around == nil {
		around = func(c net.Conn) (net.Conn, net.Conn) { return c, c }
	}
	r := &rig{t: t, peer: theirs}
	r.wire = newWire(around(ours))
	r.onEnd = func() { r.ends.Add(1) }
	var reader sync.WaitGroup
	reader.Go(r.read)
	t.Cleanup(func() {
		r.end(RetiredClosed, net.ErrClosed)
		_ = theirs.Close()
		reader.Wait()
	})
	return r
}

func (r *rig) read() {
	b := make([]byte, 1<<16)
	for {
		n, err := r.Read(b)
		r.mu.Lock()
		r.got = append(r.got, b[:n]...)
		r.readErr = err
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// read so far, and what ended it.
func (r *rig) received() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.got), r.readErr
}

// ask begins an exchange and sends a request, which the peer reads.
func (r *rig) ask(request []byte, timeout time.Duration) {
	r.t.Helper()
	require.NoError(r.t, r.begin(time.Now().Add(timeout)))
	go func() { _, _ = r.Write(request) }()
	b := make([]byte, len(request))
	_, err := io.ReadFull(r.peer, b)
	require.NoError(r.t, err)
	require.Equal(r.t, request, b)
	synctest.Wait()
}

// say has the peer send b, and waits until the wire has dealt with it.
func (r *rig) say(b []byte) {
	_, _ = r.peer.Write(b) // fails where the wire ends in the middle
	synctest.Wait()
}

// complete tells whether the exchange under way has its answer.
func (r *rig) complete() bool {
	r.wire.mu.Lock()
	defer r.wire.mu.Unlock()
	return r.x.final
}

// requireOver checks that the connection ended, once, for that reason and error.
func (r *rig) requireOver(reason RetireReason, err error) {
	r.t.Helper()
	e := r.over()
	require.NotNil(r.t, e, "the connection is open")
	require.Equal(r.t, reason, e.reason, e.err)
	require.ErrorIs(r.t, e, err)
	require.EqualValues(r.t, 1, r.ends.Load(), "calls of onEnd")
	_, readErr := r.received()
	require.ErrorIs(r.t, readErr, err)
	_, peerErr := r.peer.Read(make([]byte, 1))
	require.ErrorIs(r.t, peerErr, io.EOF, "the socket is open")
}

// requireOpen checks that the connection lives, by an exchange on it.
func (r *rig) requireOpen() {
	r.t.Helper()
	require.Nil(r.t, r.over())
	r.ask(bindRequest, time.Hour)
	r.say(ldaptest.BindResponse(1, 49, ""))
	x, e := r.finish()
	require.Nil(r.t, e)
	require.EqualValues(r.t, 49, x.code)
	require.Zero(r.t, r.ends.Load())
}

func TestWhateverComesWhileIdleEndsTheConnectionAtOnce(t *testing.T) {
	t.Parallel()
	notice := ldaptest.NoticeOfDisconnection(52, "bye")
	tests := []struct {
		name   string
		bytes  []byte
		reason RetireReason
		err    error
	}{
		{"the first byte of a message", notice[:1], RetiredProtocol, errUnasked},
		{"half a message", notice[:len(notice)/2], RetiredProtocol, errUnasked},
		{"an answer to nothing", ldaptest.BindResponse(1, 0, ""), RetiredProtocol, errUnasked},
		{"an entry of nothing", ldaptest.SearchEntry(1, ldaptest.Entry{}), RetiredProtocol, errUnasked},
		{"an extended answer to nothing", ldaptest.ExtendedResponse(1, 0, "", "", nil), RetiredProtocol, errUnasked},
		{"a bind's answer under the id of notices", ldaptest.MessageIDZero(0), RetiredProtocol, errUnasked},
		{"a notice of disconnection", notice, RetiredNotice, errNotice},
		{"a notice and more", append(bytes.Clone(notice), 'x'), RetiredNotice, errNotice},
		{"garbage", ldaptest.Garbage(), RetiredProtocol, errNoLDAP},
		{"an endless length", ldaptest.EndlessLength(), RetiredProtocol, errTooLong},
	}
	for _, tt := range tests {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, used before: %v", tt.name, used), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					if used {
						r.requireOpen()
					}
					before, _ := r.received()
					began := time.Now()
					r.say(tt.bytes)
					r.requireOver(tt.reason, tt.err)
					require.Zero(t, time.Since(began))
					after, _ := r.received()
					require.Equal(t, before, after, "go-ldap saw what nobody asked for")
					require.ErrorIs(t, r.begin(time.Now().Add(time.Hour)), tt.err)
				})
			})
		}
	}
}

func TestAPeerThatClosesWhileIdleIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		require.NoError(t, r.peer.Close())
		synctest.Wait()
		require.Equal(t, RetiredPeerClosed, r.over().reason)
		require.EqualValues(t, 1, r.ends.Load())
	})
}

func TestACompleteAnswerIsDeliveredThoughTheConnectionEndsBehindIt(t *testing.T) {
	t.Parallel()
	answer := ldaptest.BindResponse(1, 49, "no")
	tests := []struct {
		name   string
		behind []byte
		reason RetireReason
		err    error
	}{
		{"a byte", []byte{0x30}, RetiredProtocol, errUnasked},
		{"the same again", answer, RetiredProtocol, errUnasked},
		{"a success", ldaptest.BindResponse(1, 0, ""), RetiredProtocol, errUnasked},
		{"the answer to the next request", ldaptest.BindResponse(2, 0, ""), RetiredProtocol, errUnasked},
		{"garbage", ldaptest.Garbage(), RetiredProtocol, errNoLDAP},
		{"a notice of disconnection", ldaptest.NoticeOfDisconnection(52, ""), RetiredNotice, errNotice},
	}
	for _, tt := range tests {
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in a packet of its own: %v", tt.name, apart), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.ask(bindRequest, time.Hour)
					if apart {
						r.say(answer)
						r.say(tt.behind)
					} else {
						r.say(append(bytes.Clone(answer), tt.behind...))
					}
					x, e := r.finish()
					require.True(t, x.final)
					require.EqualValues(t, 49, x.code)
					require.NotNil(t, e)
					got, _ := r.received()
					require.Equal(t, answer, got)
					r.requireOver(tt.reason, tt.err)
				})
			})
		}
	}
}

func TestAConnectionIsOverWhenItsAnswerDoesNotFitTheRequest(t *testing.T) {
	t.Parallel()
	entry := ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"})
	tests := []struct {
		name            string
		request, answer []byte
		err             error
	}{
		{"another id", bindRequest, ldaptest.WrongMessageID(1), errWrongReply},
		{"another id in a search", searchRequest, ldaptest.SearchDone(2, 0, ""), errWrongReply},
		{"an entry of another search", searchRequest, ldaptest.SearchEntry(2, ldaptest.Entry{}), errWrongReply},
		{"id 0", bindRequest, ldaptest.MessageIDZero(1), errWrongReply},
		{"an extended success to a bind", bindRequest, ldaptest.ExtendedToBind(1), errWrongReply},
		{"an extended success to a search", searchRequest, ldaptest.ExtendedToBind(1), errWrongReply},
		{"a search's end to a bind", bindRequest, ldaptest.SearchDoneToBind(1), errWrongReply},
		{"an entry to a bind", bindRequest, entry, errWrongReply},
		{"a bind's success to a search", searchRequest, ldaptest.BindResponse(1, 0, ""), errWrongReply},
		{"a bind's success behind an entry", searchRequest, append(bytes.Clone(entry), ldaptest.BindResponse(1, 0, "")...), errWrongReply},
		{"an intermediate response", searchRequest, []byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x79, 0x00}, errWrongReply},
		{"a request", bindRequest, bindRequest, errWrongReply},
		{"garbage", bindRequest, ldaptest.Garbage(), errNoLDAP},
		{"text for a result code", bindRequest, ldaptest.TextResultCode(1), errNoLDAP},
		{"no result", bindRequest, ldaptest.EmptyResult(1), errNoLDAP},
		{"no operation", bindRequest, ldaptest.NoOperation(1), errNoLDAP},
		{"an empty sequence", bindRequest, ldaptest.EmptySequence(), errNoLDAP},
		{"an endless length", bindRequest, ldaptest.EndlessLength(), errTooLong},
	}
	for _, tt := range tests {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, byte by byte: %v", tt.name, slowly), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.ask(tt.request, time.Hour)
					if slowly {
						for _, b := range singly(tt.answer) {
							r.say(b)
						}
					} else {
						r.say(tt.answer)
					}
					x, e := r.finish()
					require.False(t, x.final, "the answer was accepted")
					require.EqualValues(t, -1, x.code)
					require.True(t, x.sent)
					require.True(t, x.answered, "a bind would be sent again although it was answered")
					require.NotNil(t, e)
					r.requireOver(RetiredProtocol, tt.err)
				})
			})
		}
	}
}

func TestANoticeInTheMiddleOfAnExchangeIsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ask(bindRequest, time.Hour)
		r.say(ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, "restarting"))
		x, e := r.finish()
		require.True(t, x.sent)
		require.False(t, x.answered)
		require.False(t, x.final)
		require.ErrorContains(t, e, "result code 52")
		r.requireOver(RetiredNotice, errNotice)
		got, _ := r.received()
		require.Empty(t, got)
	})
}

func TestAnAnswerInSingleBytesIsAnAnswer(t *testing.T) {
	t.Parallel()
	entry := ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"})
	search := append(append(bytes.Clone(entry), ldaptest.SearchReference(1, "ldap://o/")...), ldaptest.SearchDone(1, 4, "")...)
	for name, tt := range map[string]struct {
		request, answer []byte
		code            int64
		messages        int
	}{
		"to a bind":   {bindRequest, ldaptest.BindResponse(1, 0, "welcome"), 0, 1},
		"to a search": {searchRequest, search, 4, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.ask(tt.request, time.Hour)
				for _, b := range singly(tt.answer) {
					require.False(t, r.complete(), "before the last byte")
					r.say(b)
				}
				x, e := r.finish()
				require.Nil(t, e)
				require.Equal(t, exchange{id: 1, request: tt.request[5], sent: true, answered: true, final: true, code: tt.code, messages: tt.messages, size: len(tt.answer)}, x)
				got, _ := r.received()
				require.Equal(t, tt.answer, got)
				r.requireOpen()
			})
		})
	}
}

// stubConn is a net.Conn of which a test makes what it needs.
type stubConn struct {
	net.Conn
	read  func([]byte) (int, error)
	write func([]byte) (int, error)
}

func (c *stubConn) Read(b []byte) (int, error) {
	if c.read == nil {
		return c.Conn.Read(b)
	}
	return c.read(b)
}

func (c *stubConn) Write(b []byte) (int, error) {
	if c.write == nil {
		return c.Conn.Write(b)
	}
	return c.write(b)
}

// refusing is a socket that takes n bytes of each write and fails.
func refusing(n int) func(net.Conn) (conn, raw net.Conn) {
	return func(c net.Conn) (net.Conn, net.Conn) {
		s := &stubConn{Conn: c, write: func([]byte) (int, error) { return n, syscall.EPIPE }}
		return s, s
	}
}

// underTLS is a connection of two layers, the upper of which fails to write.
func underTLS(c net.Conn) (conn, raw net.Conn) {
	conn, _ = refusing(0)(c)
	return conn, c
}

func TestItIsKnownWhetherARequestLeftAndWhetherAnAnswerCame(t *testing.T) {
	t.Parallel()
	answer := ldaptest.BindResponse(1, 0, "")
	wait := func(r *rig) { time.Sleep(2 * time.Second); synctest.Wait() } // the bubble's time
	swallow := func(n int) func(*rig) {
		return func(r *rig) { _, _ = io.ReadFull(r.peer, make([]byte, n)) }
	}
	then := func(steps ...func(*rig)) func(*rig) {
		return func(r *rig) {
			for _, step := range steps {
				step(r)
			}
		}
	}
	closed := func(r *rig) { _ = r.peer.Close(); synctest.Wait() }
	tests := []struct {
		name           string
		around         func(net.Conn) (conn, raw net.Conn)
		peer           func(*rig)
		sent, answered bool
		reason         RetireReason
	}{
		{"the socket refused the write", refusing(0), func(*rig) {}, false, false, RetiredPeerClosed},
		{"the socket took a byte and failed", refusing(1), func(*rig) {}, true, false, RetiredPeerClosed},
		{"TLS failed to write, so nobody knows", underTLS, func(*rig) {}, true, false, RetiredPeerClosed},
		{"the peer reads nothing", nil, wait, false, false, RetiredTimeout},
		{"the peer reads a byte and no more", nil, then(swallow(1), wait), true, false, RetiredTimeout},
		{"the peer closes without reading", nil, closed, false, false, RetiredPeerClosed},
		{"the peer closes without an answer", nil, then(swallow(len(bindRequest)), closed), true, false, RetiredPeerClosed},
		{"the peer is silent", nil, then(swallow(len(bindRequest)), wait), true, false, RetiredTimeout},
		{"the peer closes after a byte of an answer", nil,
			then(swallow(len(bindRequest)), func(r *rig) { r.say(answer[:1]) }, closed), true, true, RetiredPeerClosed},
		{"the peer closes after half an answer", nil,
			then(swallow(len(bindRequest)), func(r *rig) { r.say(answer[:len(answer)/2]) }, closed), true, true, RetiredPeerClosed},
		{"the peer stops after half an answer", nil,
			then(swallow(len(bindRequest)), func(r *rig) { r.say(answer[:len(answer)/2]) }, wait), true, true, RetiredTimeout},
		{"the peer answers with garbage", nil,
			then(swallow(len(bindRequest)), func(r *rig) { r.say(ldaptest.Garbage()) }), true, true, RetiredProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, tt.around)
				require.NoError(t, r.begin(time.Now().Add(time.Second)))
				wrote := make(chan error, 1)
				go func() { _, err := r.Write(bindRequest); wrote <- err }()
				tt.peer(r)
				<-wrote
				synctest.Wait()
				x, e := r.finish()
				require.NotNil(t, e)
				require.Equal(t, tt.reason, e.reason, e.err)
				require.Equal(t, tt.sent, x.sent, "sent")
				require.Equal(t, tt.answered, x.answered, "answered")
				require.False(t, x.final)
				require.EqualValues(t, 1, r.ends.Load())
			})
		})
	}
}

func TestAWriteThatIsNotOneRequestOfTheExchangeIsRefused(t *testing.T) {
	t.Parallel()
	long := make([]byte, maxAnswer)
	copy(long, []byte{0x30, 0x84, 0x01, 0x00, 0x00, 0x00})
	tests := []struct {
		name  string
		write func(*rig) error
	}{
		{"without an exchange", func(r *rig) error { _, _ = r.finish(); _, err := r.Write(bindRequest); return err }},
		{"half a request", func(r *rig) error { _, err := r.Write(bindRequest[:5]); return err }},
		{"no LDAP", func(r *rig) error { _, err := r.Write([]byte("GET /")); return err }},
		{"a request of 16 MiB", func(r *rig) error { _, err := r.Write(long); return err }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				require.NoError(t, r.begin(time.Now().Add(time.Second)))
				require.Error(t, tt.write(r))
				x, e := r.finish()
				require.Nil(t, e, "the connection has nothing wrong")
				require.Zero(t, x.request)
				require.False(t, x.sent)
				r.requireOpen()
			})
		})
	}
	t.Run("a second request", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.ask(bindRequest, time.Second)
			_, err := r.Write(bindRequest)
			require.Error(t, err)
		})
	})
}

func TestAnAnswerMayNotGrowBeyondItsBound(t *testing.T) {
	t.Parallel()
	big := ldaptest.SearchEntry(1, ldaptest.Entry{DN: string(make([]byte, 1<<20))})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ask(searchRequest, time.Hour)
		for n := 0; r.over() == nil; n++ {
			require.LessOrEqual(t, n*len(big), maxAnswer)
			r.say(big)
		}
		x, _ := r.finish()
		require.False(t, x.final)
		r.requireOver(RetiredProtocol, errTooLong)
		got, _ := r.received()
		require.LessOrEqual(t, len(got), maxAnswer)
		require.Greater(t, len(got), maxAnswer-2*len(big), "the bound is lower than said")
	})
	t.Run("and the next answer has the bound for itself", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			for range 17 {
				r.ask(searchRequest, time.Hour)
				r.say(append(bytes.Clone(big), ldaptest.SearchDone(1, 0, "")...))
				x, e := r.finish()
				require.Nil(t, e)
				require.True(t, x.final)
			}
		})
	})
}

func TestTheFirstReasonOfAnEndStays(t *testing.T) {
	t.Parallel()
	for range 200 {
		ours, theirs := net.Pipe()
		w := newWire(ours, ours)
		var ends atomic.Int32
		w.onEnd = func() { ends.Add(1) }
		require.NoError(t, w.begin(time.Now().Add(time.Minute)))
		var all sync.WaitGroup
		all.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
		all.Go(func() { _, _ = io.Copy(io.Discard, w) })
		all.Go(func() { _, _ = w.Write(bindRequest) })
		first := make([]*ending, 4)
		for i, reason := range []RetireReason{RetiredTimeout, RetiredCanceled, RetiredClosed, RetiredProtocol} {
			all.Go(func() { first[i] = w.fail(reason, errors.New(string(reason))) })
		}
		all.Go(func() { _, _ = w.finish() })
		all.Go(func() { _ = w.Close() })
		all.Go(func() { _ = theirs.Close() })
		all.Wait()
		require.EqualValues(t, 1, ends.Load())
		for _, e := range first {
			require.Same(t, w.over(), e)
		}
		_, e := w.finish()
		require.Same(t, w.over(), e)
		require.ErrorIs(t, w.begin(time.Now()), e)
	}
}

func TestAnExchangeKnowsNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ask(bindRequest, time.Second)
		r.say(ldaptest.BindResponse(1, 0, ""))
		x, _ := r.finish()
		require.True(t, x.final)
		require.NoError(t, r.begin(time.Now().Add(time.Second)))
		x, e := r.finish()
		require.Nil(t, e)
		require.Equal(t, exchange{code: -1}, x)
	})
}

func TestAnAnswerBeforeItsRequestIsNotAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		require.NoError(t, r.begin(time.Now().Add(time.Second)))
		r.say(ldaptest.BindResponse(1, 0, ""))
		_, err := r.Write(bindRequest)
		require.ErrorIs(t, err, errUnasked)
		x, _ := r.finish()
		require.False(t, x.final)
		require.False(t, x.sent)
		r.requireOver(RetiredProtocol, errUnasked)
	})
}
