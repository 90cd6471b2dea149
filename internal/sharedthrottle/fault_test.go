package sharedthrottle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"
	"authsvc/internal/throttle"

	"github.com/stretchr/testify/require"
)

// fault is one of the server.
type fault struct {
	begin, end func(s *redistest.Server)
	down       bool // the server cannot be used meanwhile
	most       int  // wrong attempts that are allowed, with three instances and a budget of 10
}

// faults of a server that runs alone.
func faults() map[string]fault {
	pass := func(*redistest.Server) {}
	return map[string]fault{
		"healthy": {pass, pass, false, 10},
		"killed":  {func(s *redistest.Server) { s.Kill() }, func(s *redistest.Server) { s.Up() }, true, 30},
		"paused":  {func(s *redistest.Server) { s.Pause() }, func(s *redistest.Server) { s.Resume() }, true, 30},
		"slow": {
			func(s *redistest.Server) { s.Run("CLIENT", "PAUSE", "60000", "ALL") },
			func(s *redistest.Server) { s.Kill(); s.Up() }, true, 30,
		},
		"read-only": {
			func(s *redistest.Server) {
				s.Run("REPLICAOF", "127.0.0.1", "1")
				s.Run("CONFIG", "SET", "replica-serve-stale-data", "yes")
			},
			func(s *redistest.Server) { s.Run("REPLICAOF", "NO", "ONE") }, true, 30,
		},
		"full": {
			func(s *redistest.Server) { s.Run("CONFIG", "SET", "maxmemory", "1") },
			func(s *redistest.Server) { s.Run("CONFIG", "SET", "maxmemory", "0") }, true, 30,
		},
		"restarted empty": {func(s *redistest.Server) { s.Kill(); s.Up() }, pass, false, 30},
		"flushed":         {func(s *redistest.Server) { s.Run("FLUSHALL") }, pass, false, 10},
		"without scripts": {func(s *redistest.Server) { s.Run("SCRIPT", "FLUSH") }, pass, false, 10},
	}
}

// TestFaults_OfTheServerFailNoAttemptAndLiftNoLimit: right attempts on other accounts succeed
// before, during and after the fault, and wrong ones on one account get no more than the budgets of
// the instances.
func TestFaults_OfTheServerFailNoAttemptAndLiftNoLimit(t *testing.T) {
	t.Parallel()
	for name, f := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			patience := DefaultPatience
			if !f.down {
				patience = patient
			}
			all := newInstances(t, 3, usual(), at(s), patience)
			rights := succeed(t, all)
			f.begin(s)
			allowed, longest := guess(t, all, 1000)
			if f.down {
				for _, i := range all {
					i.waitDown(t)
				}
			}
			f.end(s)
			for _, i := range all {
				i.waitUp(t)
			}
			again, _ := guess(t, all, 100)
			right, failed, slowest := rights.stop()
			t.Logf("%s: allowed %d and then %d of 1,100 wrong attempts, the longest wait was %v; %d right ones, %d failed, the slowest took %v",
				name, allowed, again, longest, right, failed, slowest)
			require.Zero(t, failed)
			require.Positive(t, right)
			require.LessOrEqual(t, allowed+again, f.most)
			require.GreaterOrEqual(t, allowed, 10)
		})
	}
}

// right are right attempts on other accounts, over and over.
type right struct {
	done             chan struct{}
	made, failed, ns atomic.Int64
	callers          sync.WaitGroup
}

func succeed(t testing.TB, all []*instance) *right {
	t.Helper()
	r := &right{done: make(chan struct{})}
	for n := range 4 {
		r.callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-r.done:
					return
				default:
				}
				began := time.Now()
				reserved, err := all[(i+n)%len(all)].Reserve(context.Background(), throttle.ByName(fmt.Sprint("right", n, i%50)), client0)
				for took, known := int64(time.Since(began)), r.ns.Load(); took > known && !r.ns.CompareAndSwap(known, took); known = r.ns.Load() {
				}
				if err != nil {
					r.failed.Add(1)
					t.Errorf("a right attempt: %v", err)
					continue
				}
				reserved.Settle(context.Background(), throttle.Succeeded)
				r.made.Add(1)
				pause(time.Millisecond)
			}
		})
	}
	return r
}

func (r *right) stop() (made, failed int64, slowest time.Duration) {
	close(r.done)
	r.callers.Wait()
	return r.made.Load(), r.failed.Load(), time.Duration(r.ns.Load())
}

// TestGarbage_InAnswersIsAFault: it ends no process, takes no memory, and fails no attempt.
func TestGarbage_InAnswersIsAFault(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an HTTP server": "HTTP/1.1 400 Bad Request\r\n\r\n", "an endless line": strings.Repeat("+", 1<<20), "nothing": "",
		"a huge string": "$2000000000\r\n", "a huge array": "*1000000000000\r\n", "a negative length": "$-7\r\n", "the longest length": "*9223372036854775807\r\n",
		"nested arrays": strings.Repeat("*1\r\n", 1<<18), "wide arrays": strings.Repeat("*60000\r\n", 1000), "a long string": "$1048576\r\n" + strings.Repeat("x", 1<<21),
		"no length": "$\r\n", "a huge map": "%500000000000\r\n", "a map": "%1\r\n+a\r\n+b\r\n", "pongs": strings.Repeat("+PONG\r\n", 1000), "numbers": strings.Repeat(":1\r\n", 1000),
		"answers that do not fit": "+PONG\r\n*4\r\n:9\r\n:9\r\n:9\r\n:9\r\n*0\r\n", "null": strings.Repeat("*-1\r\n", 100), "an error": strings.Repeat("-ERR no\r\n", 100),
		"an unknown script for ever": strings.Repeat("-NOSCRIPT no\r\n", 1000), "a redirection": strings.Repeat("-MOVED 1 127.0.0.1:1\r\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstance(t, usual(), Server{Addrs: []string{serve(t, text)}}, DefaultPatience)
			ldaptest.Eventually(t, "there is a fault", func() bool { return i.Stat().Err != "" })
			for range 10 {
				require.NoError(t, i.try(user, throttle.Failed))
			}
			require.True(t, refusalOf(t, i.try(user, throttle.Failed)).Exhausted)
			require.False(t, i.Stat().Up)
		})
	}
}

// serve accepts connections, and answers the first bytes of each with a text.
func serve(t testing.TB, text string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		serving.Wait()
	})
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1))
				_, _ = io.Copy(c, strings.NewReader(text))
				_, _ = io.Copy(io.Discard, c)
			})
		}
	})
	return l.Addr().String()
}

// TestGuard_PassesWhatRedisAnswers: in pieces of any size.
func TestGuard_PassesWhatRedisAnswers(t *testing.T) {
	t.Parallel()
	answers := "+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$3\r\n\r\n*\r\n%1\r\n_\r\n#t\r\n>1\r\n,1.5\r\n=7\r\ntxt:$9\n\r\n"
	for size := 1; size <= len(answers); size++ {
		near, far := net.Pipe()
		go func() {
			for rest := []byte(answers); len(rest) > 0; {
				n, _ := far.Write(rest[:min(size, len(rest))])
				rest = rest[n:]
			}
			_ = far.Close()
		}()
		got, err := io.ReadAll(newGuard(near))
		require.NoError(t, err)
		require.Equal(t, answers, string(got))
	}
}

func TestInstance_ThatEndsSuddenlyKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	limits := usual()
	limits.MaxWait = 2 * time.Second
	all := newInstances(t, 2, limits, at(redistest.Start(t)), patient)
	for range 10 { // and none of them is ever settled
		_, err := all[0].Reserve(t.Context(), user, client0)
		require.NoError(t, err)
	}
	began := time.Now()
	r, err := all[1].Reserve(t.Context(), user, client0)
	require.NoError(t, err)
	require.Greater(t, time.Since(began), 500*time.Millisecond, "it waited")
	began = time.Now()
	require.NoError(t, all[1].try(user, throttle.Refunded))
	require.Greater(t, time.Since(began), 500*time.Millisecond, "one attempt at a time, until it is old too")
	r.Settle(t.Context(), throttle.Refunded)
	ldaptest.Eventually(t, "the next one may", func() bool { return all[1].try(user, throttle.Refunded) == nil })
}

// TestResults_OfAnOutageAreToldAfterIt: so that an attacker gains nothing by it for longer.
func TestResults_OfAnOutageAreToldAfterIt(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	all := newInstances(t, 2, usual(), at(s), patient)
	s.Kill()
	all[0].waitDown(t)
	for range 10 {
		require.NoError(t, all[0].try(user, throttle.Failed))
	}
	require.EqualValues(t, 10, all[0].Stat().Alone)
	s.Up()
	all[1].waitUp(t)
	ldaptest.Eventually(t, "the other instance knows", func() bool {
		r, err := all[1].Reserve(t.Context(), user, client0)
		if err != nil {
			return true
		}
		r.Settle(t.Context(), throttle.Refunded)
		return false
	})
}

func TestClose_TellsTheResultsThatWait(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	all := newInstances(t, 1, usual(), at(s), patient)
	local, err := throttle.New(usual())
	require.NoError(t, err)
	leaving, err := New(local, all[0].cfg)
	require.NoError(t, err)
	for range 1000 {
		leaving.Count(t.Context(), user, client0) // from this client, and 100 clients of it exhaust nothing
	}
	ldaptest.Eventually(t, "the server is asked", func() bool { return leaving.Stat().Up })
	require.NoError(t, leaving.Close(t.Context()))
	require.Zero(t, leaving.Stat().Dropped)
	require.True(t, refusalOf(t, all[0].try(user, throttle.Failed)).Exhausted)
}

func TestClose_WithoutTheServerIsBounded(t *testing.T) {
	t.Parallel()
	local, err := throttle.New(usual())
	require.NoError(t, err)
	leaving, err := New(local, Config{Server: Server{Addrs: []string{serve(t, "")}}, MaxWait: time.Second, MaxAttempt: time.Second, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	leaving.Count(t.Context(), user, client0)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = leaving.Close(ctx)
	require.Less(t, time.Since(began), 2*time.Second)
	require.EqualValues(t, 1, leaving.Stat().Dropped)
}

func TestBreaker_SaysEachChangeOnce(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	i := newInstances(t, 1, usual(), at(s), patient)[0]
	s.Kill()
	i.waitDown(t)
	s.Up()
	i.waitUp(t)
	text := i.log.String()
	require.Equal(t, 2, strings.Count(text, `"msg":"shared throttle up"`), text)
	require.Equal(t, 1, strings.Count(text, `"msg":"shared throttle down"`), text)
}

func TestEnded_KnowsAClosedConnection(t *testing.T) {
	t.Parallel()
	require.True(t, isEnded(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}))
	require.True(t, isEnded(io.EOF))
	require.False(t, isEnded(errors.New("EOF")))
	require.False(t, isEnded(nil))
}
