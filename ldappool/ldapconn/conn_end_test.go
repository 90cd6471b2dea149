package ldapconn

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/tlscause"

	"github.com/stretchr/testify/require"
)

func TestConn_KeepsTheFirstReason(t *testing.T) {
	t.Parallel()
	for range 200 {
		ours, theirs := net.Pipe()
		c := start(ours, ours, 0, &Options{}, tlscause.Seen{})
		var all sync.WaitGroup
		all.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
		all.Go(func() {
			_, err := c.Bind(context.Background(), time.Time{}, "cn=x", "x")
			require.Error(t, err)
		})
		for _, reason := range []Reason{Timeout, Canceled, Protocol} {
			all.Go(func() { c.finish(reason, errTest) })
		}
		all.Go(c.Abort)
		all.Go(c.Close)
		all.Go(func() { _ = theirs.Close() })
		<-c.Done()
		first := c.Err()
		all.Wait()
		require.Same(t, first, c.Err())
		<-c.readerDone
	}
}

func TestConn_CloseSaysGoodbyeAndIsBounded(t *testing.T) {
	t.Parallel()
	unbind := []byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x42, 0x00}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		got := make(chan []byte, 1)
		go func() { b, _ := io.ReadAll(r.peer); got <- b }()
		r.Close()
		require.Equal(t, unbind, <-got)
		r.requireEnded(Closed, errClosed)
		r.Close()
		r.bind(t.Context(), time.Hour)
		require.False(t, r.fault().Sent)
	})
	t.Run("with a peer that does not read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			began := time.Now()
			r.Close()
			require.Equal(t, closeTimeout, time.Since(began))
			r.requireEnded(Closed, errClosed)
		})
	})
	t.Run("in the middle of an operation", func(t *testing.T) {
		t.Parallel()
		for name, end := range map[string]func(*rig){"Close": func(r *rig) { r.Close() }, "Abort": func(r *rig) { r.Abort() }} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.bind(t.Context(), time.Hour)
				r.take()
				began := time.Now()
				end(r)
				require.Equal(t, began, time.Now(), name)
				f := r.fault()
				require.True(t, f.Sent)
				require.False(t, f.End.Idle)
				r.requireEnded(Closed, errClosed)
			})
		}
	})
}

func TestConn_ForgetsThePassword(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery staple"
	for name, end := range map[string]func(*rig){
		"that is sent":     func(r *rig) { go func() { _, _ = io.Copy(io.Discard, r.peer) }() },
		"that is not sent": func(r *rig) { r.Abort() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.search(t.Context(), time.Hour) // so that the buffer has a size
				r.say(ldaptest.SearchDone(r.take(), 0, ""))
				_, err := r.over()
				require.NoError(t, err)
				go func() {
					controls := []Control{{OID: "1.2.3", Value: make([]byte, 300)}}
					_, err := r.Bind(t.Context(), time.Now().Add(time.Hour), "cn=x", password, controls...)
					r.ops <- outcome{err: err}
				}()
				synctest.Wait()
				require.Contains(t, string(r.out[:cap(r.out)]), password)
				end(r)
				synctest.Wait()
				require.NotContains(t, string(r.out[:cap(r.out)]), password)
				r.Abort()
				require.Error(t, (<-r.ops).err)
			})
		})
	}
}

func TestConn_DropsALargeBuffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		go func() {
			req := anyone()
			req.BaseDN = strings.Repeat("x", 2*maxKeptBuffer)
			answer, err := r.Search(t.Context(), time.Now().Add(time.Hour), req, Filter{})
			r.ops <- outcome{answer, err}
		}()
		_, err := io.CopyN(io.Discard, r.peer, 2*maxKeptBuffer)
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, r.peer) }()
		r.say(ldaptest.SearchDone(1, 0, ""))
		_, err = r.over()
		require.NoError(t, err)
		require.LessOrEqual(t, cap(r.out), maxKeptBuffer)
	})
}

func TestConn_MessageIDsStartAgainBehindTheLast(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c := start(ours, ours, 1<<31-3, &Options{}, tlscause.Seen{})
	defer func() { <-c.readerDone }()
	defer c.Abort()
	for _, want := range []int{1<<31 - 2, 1<<31 - 1, 1, 2} {
		id, err := c.reserve()
		require.NoError(t, err)
		require.Equal(t, want, id)
		c.release()
	}
}

// TestConn_APanicOfTheDecoderCostsTheConnectionAndNothingElse. No answer is known to cause one, so
// this one is ours.
func TestConn_APanicOfTheDecoderCostsTheConnectionAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c net.Conn) (net.Conn, net.Conn) {
			s := &stubConn{Conn: c, read: func(b []byte) (int, error) {
				if n, err := c.Read(b); err != nil {
					return n, err
				}
				panic("index out of range")
			}}
			return s, c
		})
		r.bind(t.Context(), time.Hour)
		r.say(ldaptest.BindResponse(r.take(), 0, ""))
		f := r.fault()
		require.True(t, f.Sent)
		require.True(t, f.Answered, "it would be sent again")
		r.requireEnded(Protocol, errPanic)
	})
}

func TestConn_ADeadlineIsForWritingAndReadingTogether(t *testing.T) {
	t.Parallel()
	for _, readAfter := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			began := time.Now()
			r.bind(t.Context(), 5*time.Second)
			time.Sleep(readAfter) // the bubble's time
			r.take()
			require.NotNil(t, r.fault())
			require.Equal(t, 5*time.Second, time.Since(began))
			r.requireEnded(Timeout, errNoAnswer)
		})
	}
}

func TestConn_SlowProgressDoesNotExtendADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		began := time.Now()
		r.search(t.Context(), 5*time.Second)
		id := r.take()
		for r.Err() == nil {
			r.say(ldaptest.SearchEntry(id, ldaptest.Entry{}))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
		require.True(t, r.fault().Answered)
		r.requireEnded(Timeout, errNoAnswer)
	})
}

func TestConn_AnAnswerAtTheLastMomentLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &Conn{answered: make(chan struct{}, 1), done: make(chan struct{})}
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c.conn, c.raw = ours, ours
		id, err := c.reserve()
		require.NoError(t, err)
		require.True(t, c.begin(tagBindRequest, time.Now().Add(time.Second)))
		c.receive(ldaptest.BindResponse(int64(id), 0, ""))
		time.Sleep(time.Hour) // the deadline passes before the caller fetches its answer
		require.True(t, c.late(os.ErrDeadlineExceeded))
		_, err = c.settle()
		require.NoError(t, err)
		require.NoError(t, c.Err())
	})
}

func TestConn_ATimeoutEndsOnlyTheOperationWhoseDeadlineItIs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		state func(c *Conn)
		late  bool
	}{
		{"while idle", func(*Conn) {}, true},
		{"before the request is sent", func(c *Conn) { _, _ = c.reserve() }, true},
		{"in the next operation", func(c *Conn) { _, _ = c.reserve(); c.begin(tagBindRequest, time.Now().Add(time.Hour)) }, true},
		{"in an operation without deadline", func(c *Conn) { _, _ = c.reserve(); c.begin(tagBindRequest, time.Time{}) }, true},
		{"behind an operation", func(c *Conn) {
			_, _ = c.reserve()
			c.begin(tagBindRequest, time.Now().Add(-time.Hour))
			c.release()
		}, true},
		{"in the operation", func(c *Conn) { _, _ = c.reserve(); c.begin(tagBindRequest, time.Now().Add(-time.Second)) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &Conn{answered: make(chan struct{}, 1), done: make(chan struct{})}
			ours, theirs := net.Pipe()
			defer theirs.Close()
			c.conn, c.raw = ours, ours
			tt.state(c)
			require.Equal(t, tt.late, c.late(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}))
			require.False(t, c.late(io.EOF))
		})
	}
}

// TestConn_AContextsDeadlineEndsABlockedWrite, also where nothing else would watch the context
// meanwhile.
func TestConn_AContextsDeadlineEndsABlockedWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := newRig(t, nil)
		r.system = true
		began := time.Now()
		r.bind(ctx, time.Hour)
		f := r.fault()
		require.False(t, f.Sent)
		require.Equal(t, time.Second, time.Since(began))
		r.requireEnded(Timeout, errNoAnswer)
	})
}

// deadlines is a socket that notes its deadline.
type deadlines struct {
	net.Conn
	last time.Time
}

func (d *deadlines) SetDeadline(t time.Time) error {
	d.last = t
	return d.Conn.SetDeadline(t)
}

// TestConn_NoDeadlineIsLeftBehind: while it is idle, TLS may have to answer the server's change of
// keys.
func TestConn_NoDeadlineIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d *deadlines
		r := newRig(t, func(c net.Conn) (net.Conn, net.Conn) {
			d = &deadlines{Conn: c}
			return d, d
		})
		r.bind(t.Context(), time.Hour)
		id := r.take()
		require.Equal(t, time.Now().Add(time.Hour), d.last)
		r.say(ldaptest.BindResponse(id, 0, ""))
		_, err := r.over()
		require.NoError(t, err)
		require.Zero(t, d.last)
	})
}
