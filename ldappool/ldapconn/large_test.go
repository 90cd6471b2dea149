package ldapconn

import (
	"bytes"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/memtest"

	"github.com/stretchr/testify/require"
)

// sharing is a rig whose large answers are bounded by large.
func sharing(t *testing.T, large *LargeAnswers) *rig {
	t.Helper()
	r := newRig(t, nil)
	r.large = large // the reader does not look before bytes arrive
	return r
}

// largeEntry is a search's entry of more than largeAnswer bytes.
func largeEntry(id byte) []byte {
	return around(tagSequence, []byte{tagInteger, 1, id}, around(tagSearchEntry, text("cn=x"), around(tagSequence,
		around(tagSequence, text("photo"), around(tagSet, text(strings.Repeat("z", largeAnswer)))))))
}

func TestLargeAnswers_WaitForAPlaceAndGiveItBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := NewLargeAnswers(1)
		first, second := sharing(t, large), sharing(t, large)
		first.search(t.Context(), time.Hour)
		id := byte(first.take())
		first.say(largeEntry(id))
		second.search(t.Context(), time.Hour)
		b := largeEntry(byte(second.take()))
		go func() { _, _ = second.peer.Write(append(b, ldaptest.SearchDone(1, 0, "")...)) }()
		synctest.Wait()
		require.Empty(t, second.ops, "it has no place")
		first.say(ldaptest.SearchDone(int64(id), 0, ""))
		_, err := first.over()
		require.NoError(t, err)
		answer, err := second.over()
		require.NoError(t, err)
		require.Len(t, answer.Entries, 1)
		require.Empty(t, large.places)
		first.requireOpen()
		second.requireOpen()
	})
}

func TestLargeAnswers_ManySmallMessagesAreALargeAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := NewLargeAnswers(1)
		r := sharing(t, large)
		r.search(t.Context(), time.Hour)
		entry := ldaptest.SearchEntry(r.take(), ldaptest.Entry{DN: "cn=" + strings.Repeat("x", 1000)})
		for range largeAnswer / len(entry) {
			r.say(entry)
		}
		require.Empty(t, large.places)
		r.say(entry)
		require.Len(t, large.places, 1)
		r.Abort()
		_ = r.fault()
		require.Empty(t, large.places)
	})
}

// TestLargeAnswers_AWaitEndsWithItsOperation, and what ends it takes no place along.
func TestLargeAnswers_AWaitEndsWithItsOperation(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		end    func(*rig)
		reason Reason
	}{
		"deadline": {func(*rig) { time.Sleep(2 * time.Second) }, Timeout},
		"abort":    {func(r *rig) { r.Abort() }, Closed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				large := NewLargeAnswers(1)
				large.places <- struct{}{}
				r := sharing(t, large)
				r.search(t.Context(), time.Second)
				b := largeEntry(byte(r.take()))
				go func() { _, _ = r.peer.Write(b) }()
				synctest.Wait()
				require.NoError(t, r.Err())
				tt.end(r)
				_ = r.fault()
				r.requireEnded(tt.reason, nil)
				<-r.readerDone
				require.Len(t, large.places, 1)
			})
		})
	}
}

// TestLargeAnswers_BoundTheMemoryOfManyConnections: 32 servers, or one, answer 4 MiB at one time.
func TestLargeAnswers_BoundTheMemoryOfManyConnections(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	const conns, places, each = 32, 4, 32 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // otherwise most of the measured heap is garbage
	entry := func(values ...[]byte) []byte {
		return around(tagSequence, []byte{tagInteger, 1, 1}, around(tagSearchEntry, text("cn=x"), around(tagSequence,
			around(tagSequence, text("x"), around(tagSet, values...)))))
	}
	for name, b := range map[string][]byte{
		"one value":   entry(text(strings.Repeat("z", maxAnswer-100))),
		"many values": entry(bytes.Repeat(text(strings.Repeat("z", 28)), 130_900)),
		"references": bytes.Repeat(around(tagSequence, []byte{tagInteger, 1, 1},
			around(tagSearchReference, bytes.Repeat(text("ldap://x"), 8000))), 16),
	} {
		t.Run(name, func(t *testing.T) {
			b = append(b, ldaptest.SearchDone(1, 0, "")...)
			server := ldaptest.NewServer(t, func(c *ldaptest.Conn, _ ldaptest.Request) { c.WriteRaw(b) })
			large := NewLargeAnswers(places)
			var all []*Conn
			for range conns {
				c, err := Dial(soon(t), endpointOf(t, server.URL(), false), Options{Large: large})
				require.NoError(t, err)
				defer c.Close()
				all = append(all, c)
			}
			var failed atomic.Int32
			used := memtest.Measure(func() {
				var searches sync.WaitGroup
				for _, c := range all {
					searches.Go(func() {
						if _, err := c.Search(t.Context(), time.Now().Add(time.Minute), anyone(), Filter{}); err != nil {
							failed.Add(1)
						}
					})
				}
				searches.Wait()
			})
			t.Logf("%d times %s of input: peak %s", conns, mb(len(b)), mb(used.Peak))
			require.Zero(t, failed.Load(), "each of them gets its place")
			require.LessOrEqual(t, used.Peak, uint64(places*each+conns*5*largeAnswer))
		})
	}
}
