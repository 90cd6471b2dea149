package ldappool

import (
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestADeadlineIsForWritingAndReadingTogether(t *testing.T) {
	t.Parallel()
	for _, readAfter := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			over := make(chan time.Time, 1)
			r.onEnd = func() { r.ends.Add(1); over <- time.Now() }
			began := time.Now()
			require.NoError(t, r.begin(began.Add(5*time.Second)))
			go func() { _, _ = r.Write(bindRequest) }()
			time.Sleep(readAfter) // the bubble's time
			_, err := io.ReadFull(r.peer, make([]byte, len(bindRequest)))
			require.NoError(t, err)
			require.Equal(t, 5*time.Second, (<-over).Sub(began))
			synctest.Wait()
			r.requireOver(RetiredTimeout, errNoAnswer)
		})
	}
}

func TestSlowProgressDoesNotPutADeadlineOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		began := time.Now()
		r.ask(searchRequest, 5*time.Second)
		for r.over() == nil {
			r.say(ldaptest.SearchEntry(1, ldaptest.Entry{}))
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
		x, _ := r.finish()
		require.True(t, x.answered)
		require.False(t, x.final)
		r.requireOver(RetiredTimeout, errNoAnswer)
	})
}

func TestAnExchangeThatIsCompleteButNotFinishedEndsSoonAfterItsDeadline(t *testing.T) {
	t.Parallel()
	// go-ldap has the answer and is slow to say so; should it never, the connection ends all the same.
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		began := time.Now()
		r.ask(bindRequest, time.Second)
		r.say(ldaptest.BindResponse(1, 0, ""))
		time.Sleep(time.Second + closeTimeout/2)
		synctest.Wait()
		require.Nil(t, r.over(), "the answer was in time")
		for r.over() == nil {
			time.Sleep(closeTimeout / 4)
		}
		require.LessOrEqual(t, time.Since(began), time.Second+2*closeTimeout)
		r.requireOver(RetiredTimeout, errNoAnswer)
	})
}

func TestAPingAnsweredAtTheLastMomentLeavesTheConnectionInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.ask(searchRequest, time.Second)
		r.say(ldaptest.SearchDone(1, 0, ""))
		time.Sleep(time.Second) // the deadline comes before the caller does
		synctest.Wait()
		x, e := r.finish()
		require.Nil(t, e)
		require.True(t, x.final)
		r.ask(bindRequest, time.Second)
		r.say(ldaptest.BindResponse(1, 0, ""))
		_, e = r.finish()
		require.Nil(t, e)
	})
}

// overrunning is a bind's success whose last string is said to be longer than the message.
func overrunning(id int64) []byte {
	b := ldaptest.BindResponse(id, 0, "")
	b[len(b)-1] = 100
	return b
}

func TestADeadlineThatFiresAfterItsExchangeEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 5 {
			r.ask(bindRequest, time.Second)
			r.say(ldaptest.BindResponse(1, 0, ""))
			_, e := r.finish()
			require.Nil(t, e)
			time.Sleep(time.Minute)
		}
		r.requireOpen()
	})
}

func TestAReadDeadlineThatTheSocketReportsLateIsSetAnew(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		state func(w *wire)
		ends  bool
	}{
		{"while idle", func(*wire) {}, false},
		{"behind a finished exchange", func(w *wire) { _ = w.begin(time.Now().Add(-time.Hour)); _, _ = w.finish() }, false},
		{"in the next exchange", func(w *wire) { _ = w.begin(time.Now().Add(time.Hour)) }, false},
		{"in the exchange whose deadline it is", func(w *wire) { _ = w.begin(time.Now().Add(-time.Second)) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				results := make(chan error, 2)
				ours, theirs := net.Pipe()
				defer ours.Close()
				defer theirs.Close()
				s := &stubConn{Conn: ours, read: func([]byte) (int, error) { return 0, <-results }}
				w := newWire(s, s)
				tt.state(w)
				results <- &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
				results <- io.EOF
				_, err := w.Read(make([]byte, 1))
				require.Error(t, err)
				if tt.ends {
					require.Equal(t, RetiredTimeout, w.over().reason)
				} else {
					require.Equal(t, RetiredPeerClosed, w.over().reason, "the late deadline ended the connection")
				}
			})
		})
	}
}

func TestABlockedWriteEndsByItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		began := time.Now()
		require.NoError(t, r.begin(began.Add(time.Second)))
		_, err := r.Write(bindRequest)
		require.ErrorIs(t, err, errNoAnswer)
		require.Equal(t, time.Second, time.Since(began))
		synctest.Wait()
		r.requireOver(RetiredTimeout, errNoAnswer)
	})
}

func TestEndFreesABlockedWriteAndABlockedRead(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig){
		"end":   func(r *rig) { r.end(RetiredCanceled, net.ErrClosed) },
		"close": func(r *rig) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				began := time.Now()
				require.NoError(t, r.begin(began.Add(time.Hour)))
				wrote := make(chan error, 1)
				go func() { _, err := r.Write(bindRequest); wrote <- err }()
				synctest.Wait()
				end(r)
				require.ErrorIs(t, <-wrote, net.ErrClosed)
				synctest.Wait()
				_, readErr := r.received()
				require.ErrorIs(t, readErr, net.ErrClosed)
				require.Zero(t, time.Since(began))
			})
		})
	}
}
