package ldapconn

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestConn_EndsAtOnceOnBytesWhileIdle(t *testing.T) {
	t.Parallel()
	notice := ldaptest.NoticeOfDisconnection(52, "bye")
	tests := []struct {
		name   string
		bytes  []byte
		reason Reason
		err    error
	}{
		{"the first byte of a message", notice[:1], Protocol, errUnsolicited},
		{"half a message", notice[:len(notice)/2], Protocol, errUnsolicited},
		{"an answer to nothing", ldaptest.BindResponse(1, 0, ""), Protocol, errUnsolicited},
		{"an entry of nothing", ldaptest.SearchEntry(1, ldaptest.Entry{}), Protocol, errUnsolicited},
		{"an extended answer to nothing", ldaptest.ExtendedResponse(1, 0, "", "", nil), Protocol, errUnsolicited},
		{"a bind's answer under the ID of notices", ldaptest.MessageIDZero(0), Protocol, errUnsolicited},
		{"an empty message", ldaptest.EmptySequence(), Protocol, errUnsolicited},
		{"a notice of disconnection", notice, Notice, errNotice},
		{"a notice and more", append(bytes.Clone(notice), 'x'), Notice, errNotice},
		{"garbage", ldaptest.Garbage(), Protocol, errNotLDAP},
		{"an endless length", ldaptest.EndlessLength(), Protocol, errTooLong},
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
					began := time.Now()
					r.say(tt.bytes)
					r.requireEnded(tt.reason, tt.err)
					var end *EndError
					require.ErrorAs(t, r.Err(), &end)
					require.True(t, end.Idle)
					require.Equal(t, began, end.Time)
					require.Equal(t, began, time.Now())

					r.bind(t.Context(), time.Hour)
					f := r.fault()
					require.ErrorIs(t, f, tt.err)
					require.False(t, f.Sent)
					require.False(t, f.Answered)
				})
			})
		}
	}
}

func TestConn_EndsAtOnceWhenThePeerClosesWhileIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		require.NoError(t, r.peer.Close())
		synctest.Wait()
		r.requireEnded(PeerClosed, errPeerClosed)
	})
}

func TestConn_DeliversACompleteAnswerAlthoughItEndsBehindIt(t *testing.T) {
	t.Parallel()
	answer := ldaptest.BindResponse(1, 49, "no")
	tests := []struct {
		name   string
		behind []byte
		reason Reason
		err    error
	}{
		{"a byte", []byte{0x30}, Protocol, errUnsolicited},
		{"the same again", answer, Protocol, errUnsolicited},
		{"a success", ldaptest.BindResponse(1, 0, ""), Protocol, errUnsolicited},
		{"the answer to the next request", ldaptest.BindResponse(2, 0, ""), Protocol, errUnsolicited},
		{"garbage", ldaptest.Garbage(), Protocol, errNotLDAP},
		{"a notice of disconnection", ldaptest.NoticeOfDisconnection(52, ""), Notice, errNotice},
	}
	for _, tt := range tests {
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in a packet of its own: %v", tt.name, apart), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.bind(t.Context(), time.Hour)
					require.EqualValues(t, 1, r.take())
					if apart {
						r.say(answer)
						r.say(tt.behind)
					} else {
						r.say(join(answer, tt.behind))
					}
					got, err := r.over()
					require.NoError(t, err)
					require.Equal(t, Result{Code: 49, Diagnostic: "no"}, got.Result)
					r.requireEnded(tt.reason, tt.err)
				})
			})
		}
	}
}

func TestConn_EndsOnAnAnswerThatDoesNotFitTheRequest(t *testing.T) {
	t.Parallel()
	entry := ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"})
	request, err := appendMessage(nil, 1, func(b []byte) ([]byte, error) { return appendBind(b, "cn=x", "x", nil), nil })
	require.NoError(t, err)
	tests := []struct {
		name   string
		search bool
		answer []byte
		err    error
	}{
		{"another ID", false, ldaptest.WrongMessageID(1), errWrongReply},
		{"another ID in a search", true, ldaptest.SearchDone(2, 0, ""), errWrongReply},
		{"an entry of another search", true, ldaptest.SearchEntry(2, ldaptest.Entry{}), errWrongReply},
		{"ID 0", false, ldaptest.MessageIDZero(1), errWrongReply},
		{"an extended success to a bind", false, ldaptest.ExtendedToBind(1), errWrongReply},
		{"an extended success to a search", true, ldaptest.ExtendedToBind(1), errWrongReply},
		{"a search's end to a bind", false, ldaptest.SearchDoneToBind(1), errWrongReply},
		{"an entry to a bind", false, entry, errWrongReply},
		{"a bind's success to a search", true, ldaptest.BindResponse(1, 0, ""), errWrongReply},
		{"a bind's success behind an entry", true, join(entry, ldaptest.BindResponse(1, 0, "")), errWrongReply},
		{"an intermediate response", true, []byte{0x30, 0x05, 0x02, 0x01, 0x01, 0x79, 0x00}, errWrongReply},
		{"a request", false, request, errWrongReply},
		{"garbage", false, ldaptest.Garbage(), errNotLDAP},
		{"text for a result code", false, ldaptest.TextResultCode(1), errNotLDAP},
		{"a result code out of range", false, ldaptest.HugeResultCode(1), errCode},
		{"no result", false, ldaptest.EmptyResult(1), errNotLDAP},
		{"no operation", false, ldaptest.NoOperation(1), errNotLDAP},
		{"an empty sequence", false, ldaptest.EmptySequence(), errNotLDAP},
		{"an endless length", false, ldaptest.EndlessLength(), errTooLong},
	}
	for _, tt := range tests {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, byte by byte: %v", tt.name, slowly), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					if tt.search {
						r.search(t.Context(), time.Hour)
					} else {
						r.bind(t.Context(), time.Hour)
					}
					require.EqualValues(t, 1, r.take())
					pieces := [][]byte{tt.answer}
					if slowly {
						pieces = singly(tt.answer)
					}
					for _, b := range pieces {
						r.say(b)
					}
					f := r.fault()
					require.True(t, f.Sent)
					require.True(t, f.Answered, "a bind would be sent again although it was answered")
					require.False(t, f.End.Idle)
					r.requireEnded(Protocol, tt.err)
				})
			})
		}
	}
}

func TestConn_DoesNotCountANoticeAsAnAnswer(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]byte{"at once": nil, "behind an entry": ldaptest.SearchEntry(1, ldaptest.Entry{DN: "cn=x"})} {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, byte by byte: %v", name, slowly), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, nil)
					r.search(t.Context(), time.Hour)
					r.take()
					b := join(before, ldaptest.NoticeOfDisconnection(ldap.LDAPResultUnavailable, "restarting"))
					pieces := [][]byte{b}
					if slowly {
						pieces = singly(b)
					}
					for _, b := range pieces {
						r.say(b)
					}
					f := r.fault()
					require.True(t, f.Sent)
					require.Equal(t, before != nil, f.Answered)
					require.ErrorContains(t, f, "result code 52")
					require.NotContains(t, f.Error(), "restarting")
					r.requireEnded(Notice, errNotice)
				})
			})
		}
	}
}

func TestConn_ReadsAnAnswerInSingleBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.search(t.Context(), time.Hour)
		id := r.take()
		b := join(ldaptest.SearchEntry(id, ldaptest.Entry{DN: "cn=x"}), ldaptest.SearchReference(id, "ldap://o/"), ldaptest.SearchDone(id, 4, "more"))
		for _, piece := range singly(b) {
			require.Empty(t, r.ops, "before the last byte")
			r.say(piece)
		}
		answer, err := r.over()
		require.NoError(t, err)
		require.Equal(t, &SearchResult{
			Result: Result{Code: 4, Diagnostic: "more"}, Entries: []*ldap.Entry{{DN: "cn=x"}}, References: []string{"ldap://o/"},
		}, answer)
		r.requireOpen()
	})
}

func TestConn_KnowsWhetherARequestWasSentAndAnswered(t *testing.T) {
	t.Parallel()
	answer := ldaptest.BindResponse(1, 0, "")
	wait := func(*rig) { time.Sleep(2 * time.Second); synctest.Wait() } // the bubble's time
	closed := func(r *rig) { _ = r.peer.Close(); synctest.Wait() }
	readByte := func(r *rig) { _, _ = io.ReadFull(r.peer, make([]byte, 1)) }
	readAll := func(r *rig) { r.take() }
	say := func(b []byte) func(*rig) { return func(r *rig) { r.say(b) } }
	tests := []struct {
		name           string
		around         func(net.Conn) (conn, raw net.Conn)
		peer           []func(*rig)
		sent, answered bool
		reason         Reason
	}{
		{"the socket refused the write", refusing(0), nil, false, false, PeerClosed},
		{"the socket took a byte and failed", refusing(1), nil, true, false, PeerClosed},
		{"TLS failed to write, so it is not known", underTLS, nil, true, false, PeerClosed},
		{"the peer reads nothing", nil, []func(*rig){wait}, false, false, Timeout},
		{"the peer reads a byte and no more", nil, []func(*rig){readByte, wait}, true, false, Timeout},
		{"the peer closes without reading", nil, []func(*rig){closed}, false, false, PeerClosed},
		{"the peer closes after a byte of the request", nil, []func(*rig){readByte, closed}, true, false, PeerClosed},
		{"the peer closes without an answer", nil, []func(*rig){readAll, closed}, true, false, PeerClosed},
		{"the peer is silent", nil, []func(*rig){readAll, wait}, true, false, Timeout},
		{"the peer closes after a byte of an answer", nil, []func(*rig){readAll, say(answer[:1]), closed}, true, true, PeerClosed},
		{"the peer closes after half an answer", nil, []func(*rig){readAll, say(answer[:len(answer)/2]), closed}, true, true, PeerClosed},
		{"the peer stops after half an answer", nil, []func(*rig){readAll, say(answer[:len(answer)/2]), wait}, true, true, Timeout},
		{"the peer answers with garbage", nil, []func(*rig){readAll, say(ldaptest.Garbage())}, true, true, Protocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, tt.around)
				began := time.Now()
				r.bind(t.Context(), time.Second)
				synctest.Wait()
				for _, step := range tt.peer {
					step(r)
				}
				f := r.fault()
				require.Equal(t, tt.reason, f.End.Reason, f)
				require.Equal(t, tt.sent, f.Sent, "sent")
				require.Equal(t, tt.answered, f.Answered, "answered")
				if tt.reason == Timeout {
					require.Equal(t, time.Second, f.End.Time.Sub(began))
				}
			})
		})
	}
}

func TestConn_AContextEndsAnOperation(t *testing.T) {
	t.Parallel()
	for name, stage := range map[string]func(*rig){
		"before the request is read": func(*rig) {},
		"in the middle of its write": func(r *rig) { _, _ = io.ReadFull(r.peer, make([]byte, 1)) },
		"while it waits":             func(r *rig) { r.take() },
		"in the middle of an answer": func(r *rig) { r.take(); r.say(ldaptest.HalfMessage(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				r := newRig(t, nil)
				r.bind(ctx, time.Hour)
				synctest.Wait()
				stage(r)
				synctest.Wait()
				require.Empty(t, r.ops)
				began := time.Now()
				cancel()
				f := r.fault()
				require.Equal(t, began, time.Now())
				require.ErrorIs(t, f, context.Canceled)
				r.requireEnded(Canceled, context.Canceled)
			})
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := newRig(t, nil)
				r.bind(ctx, time.Hour)
				synctest.Wait()
				stage(r)
				require.NotNil(t, r.fault())
				require.Equal(t, time.Minute, time.Since(began))
				r.requireEnded(Timeout, errNoAnswer)
			})
		})
	}
}

func TestConn_AContextThatEndsAfterTheAnswerHarmsNothing(t *testing.T) {
	t.Parallel()
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			r := newRig(t, nil)
			r.bind(ctx, time.Hour)
			id := r.take()
			_, err := r.peer.Write(ldaptest.BindResponse(id, 0, ""))
			require.NoError(t, err)
			cancel() // the answer may be on its way to the caller
			answer, err := r.over()
			if err != nil { // the context was first
				require.ErrorIs(t, err, context.Canceled)
				return
			}
			require.Zero(t, answer.Code)
			synctest.Wait()
			r.requireOpen()
		})
	}
}

func TestConn_ArrivedAnswerCountsHoweverTheWaitEnds(t *testing.T) {
	t.Parallel()
	c := &Conn{answered: make(chan struct{}, 1), done: make(chan struct{})}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c.conn, c.raw = ours, ours
	id, err := c.reserve()
	require.NoError(t, err)
	require.True(t, c.begin(tagBindRequest, time.Time{}))
	b := ldaptest.BindResponse(int64(id), 0, "")
	require.Equal(t, len(b), c.receive(b))
	c.abandon(id, context.Canceled)
	require.NoError(t, c.Err(), "nothing was waiting any more")
	c.finish(PeerClosed, errTest)
	answer, err := c.settle()
	require.NoError(t, err)
	require.Zero(t, answer.Code)
	require.Empty(t, c.answered, "the next operation would take it for its own")

	c.abandon(id-1, context.Canceled)
	require.ErrorIs(t, c.Err(), errTest)
}

func TestConn_AnOperationThatIsOverCannotBeAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.requireOpen()
		r.bind(t.Context(), time.Hour)
		id := r.take()
		r.abandon(int(id)-1, context.Canceled) // of the operation before, and late
		r.say(ldaptest.BindResponse(id, 0, ""))
		_, err := r.over()
		require.NoError(t, err)
		r.requireOpen()
	})
}

func TestConn_ADeadlineOfAnOperationThatIsOverHarmsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.bind(t.Context(), time.Second)
		r.say(ldaptest.BindResponse(r.take(), 0, ""))
		_, err := r.over()
		require.NoError(t, err)
		time.Sleep(time.Hour)
		r.requireOpen()
		require.NoError(t, r.raw.SetReadDeadline(time.Now())) // as if it had passed just before it was taken back
		synctest.Wait()
		r.requireOpen()
	})
}

func TestConn_DoesOneOperationAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.bind(t.Context(), time.Hour)
		id := r.take()
		_, err := r.Search(t.Context(), time.Time{}, anyone(), Filter{})
		require.ErrorIs(t, err, ErrInvalidRequest)
		r.say(ldaptest.BindResponse(id, 0, ""))
		_, err = r.over()
		require.NoError(t, err)
		r.requireOpen()
	})
}

// TestConn_AnExternalBindEndsWithWhateverIsAnswered: EXTERNAL has one step, so a server's challenge
// is not answered, and not waited for either.
func TestConn_AnExternalBindEndsWithWhateverIsAnswered(t *testing.T) {
	t.Parallel()
	const serverCredentials = 0x87 // [7] of BindResponse, which nobody here reads
	credentials := around(serverCredentials, []byte("\x00more, please\xff"))
	for name, tt := range map[string]struct {
		answer []byte
		code   uint16
	}{
		"accepted":                      {ldaptest.BindResponse(1, 0, ""), 0},
		"accepted, with credentials":    {bindAnswer(credentials, nil), 0},
		"not supported":                 {ldaptest.BindResponse(1, 7, "no"), 7},
		"a challenge":                   {bindResult(14, credentials, nil), 14},
		"a challenge without its bytes": {bindResult(14, nil, nil), 14},
		"a challenge of 64 KiB":         {bindResult(14, around(serverCredentials, make([]byte, 64<<10)), nil), 14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.bindExternal(t.Context(), time.Hour)
				require.EqualValues(t, 1, r.take())
				r.say(tt.answer)
				answer, err := r.over()
				require.NoError(t, err)
				require.Equal(t, tt.code, answer.Code)
				r.requireOpen()
			})
		})
	}
}

func TestConn_AnExternalBindWithoutAnAnswerIsAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.bindExternal(t.Context(), time.Second)
		r.take()
		require.Equal(t, Timeout, r.fault().End.Reason)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.bindExternal(t.Context(), time.Hour)
		r.take()
		r.say(ldaptest.SearchDone(1, 0, ""))
		require.Equal(t, Protocol, r.fault().End.Reason)
	})
}

func TestConn_RefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAnswer)
	negative := anyone()
	negative.SizeLimit = -1
	unbalanced := anyone()
	unbalanced.Filter = "(uid=x"
	nilControl := anyone()
	nilControl.Controls = []ldap.Control{nil}
	endless := anyone()
	endless.BaseDN = long
	for name, do := range map[string]func(r *rig) error{
		"a bind without password":    func(r *rig) error { _, err := r.Bind(t.Context(), time.Time{}, "cn=x", ""); return err },
		"a bind without DN":          func(r *rig) error { _, err := r.Bind(t.Context(), time.Time{}, "", "x"); return err },
		"a bind of 4 MiB":            func(r *rig) error { _, err := r.Bind(t.Context(), time.Time{}, "cn=x", long); return err },
		"a negative size limit":      func(r *rig) error { _, err := r.Search(t.Context(), time.Time{}, negative, Filter{}); return err },
		"no search":                  func(r *rig) error { _, err := r.Search(t.Context(), time.Time{}, nil, Filter{}); return err },
		"a nil control":              func(r *rig) error { _, err := r.Search(t.Context(), time.Time{}, nilControl, Filter{}); return err },
		"a filter without its end":   func(r *rig) error { _, err := r.Search(t.Context(), time.Time{}, unbalanced, Filter{}); return err },
		"a search of more than 4MiB": func(r *rig) error { _, err := r.Search(t.Context(), time.Time{}, endless, Filter{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				require.ErrorIs(t, do(r), ErrInvalidRequest)
				require.Less(t, cap(r.out), maxAnswer)
				r.requireOpen()
			})
		})
	}
}

func TestConn_DoesNotTakeAnAnswerBeforeItsRequest(t *testing.T) {
	t.Parallel()
	c := &Conn{answered: make(chan struct{}, 1), done: make(chan struct{})}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	c.conn, c.raw = ours, ours
	id, err := c.reserve()
	require.NoError(t, err)
	c.receive(ldaptest.BindResponse(int64(id), 0, ""))
	require.False(t, c.begin(tagBindRequest, time.Time{}))
	_, err = c.settle()
	require.ErrorIs(t, err, errUnsolicited)
	var f *Fault
	require.ErrorAs(t, err, &f)
	require.False(t, f.Sent)
	require.False(t, f.Answered)
}

func TestConn_BoundsAnAnswer(t *testing.T) {
	t.Parallel()
	big := ldaptest.SearchReference(1, strings.Repeat("x", 100_000))
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.search(t.Context(), time.Hour)
		r.take()
		n := 0
		for ; r.Err() == nil; n++ {
			require.LessOrEqual(t, n*len(big), maxAnswer)
			r.say(big)
		}
		require.Greater(t, n*len(big), maxAnswer-len(big), "the bound is lower than said")
		require.True(t, r.fault().Answered)
		r.requireEnded(Protocol, errTooLong)
	})
	t.Run("and each answer has the bound for itself", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			for i := range 40 {
				r.search(t.Context(), time.Hour)
				id := r.take()
				one := ldaptest.SearchReference(id, strings.Repeat("x", 100_000))
				r.say(append(bytes.Repeat(one, 4), ldaptest.SearchDone(id, 0, "")...))
				answer, err := r.over()
				require.NoError(t, err, i)
				require.Len(t, answer.References, 4)
			}
		})
	})
	t.Run("and so has the number of its elements", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			for range 3 {
				r.search(t.Context(), time.Hour)
				id := r.take()
				entries := bytes.Repeat(ldaptest.SearchEntry(id, ldaptest.Entry{DN: "cn=x"}), maxElements/6) // five each
				r.say(append(entries, ldaptest.SearchDone(id, 0, "")...))
				answer, err := r.over()
				require.NoError(t, err)
				require.Len(t, answer.Entries, maxElements/6)
			}
			r.search(t.Context(), time.Hour)
			r.say(bytes.Repeat(ldaptest.SearchEntry(r.take(), ldaptest.Entry{DN: "cn=x"}), maxElements/5+1))
			require.True(t, r.fault().Answered)
			r.requireEnded(Protocol, errTooMany)
		})
	})
}
