package ldappool

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// harm is what befalls a connection in the matrix.
type harm string

// The faults.
const (
	harmFIN         harm = "FIN"
	harmRST         harm = "RST"
	harmDrop        harm = "silent drop"              // what is sent is lost
	harmStallBefore harm = "stall before the request" // which is not read: the client's write is stuck
	harmStallAfter  harm = "stall after the request"  // which is read, and nothing else
	harmHalf        harm = "half a message, then silence"
	harmHalfFIN     harm = "half a message, then FIN"
	harmGarbage     harm = "garbage"                 // instead of an answer
	harmNotice      harm = "notice of disconnection" // instead of an answer
	harmBusy        harm = "busy"                    // result code 51
	harmSlow        harm = "1 byte per second"       // from the server, TLS records and all
	harmTLSCut      harm = "TLS cut in the handshake"
	harmNoStartTLS  harm = "StartTLS refused" // result code 2
)

var harms = []harm{harmFIN, harmRST, harmDrop, harmStallBefore, harmStallAfter, harmHalf, harmHalfFIN, harmGarbage, harmNotice, harmBusy, harmSlow, harmTLSCut, harmNoStartTLS}

// moment is when the fault happens.
type moment string

// The moments. Unless they say otherwise, they are those of a pool at work with one connection in
// each lane.
const (
	atStart       moment = "first dial of all"
	atServiceBind moment = "service bind" // of the first dial of all
	atDial        moment = "dial"         // of a connection for a bind, after one that searches
	atSearchPing  moment = "ping before a search"
	atBindPing    moment = "ping before a bind" // also the one that introduces a new connection
	atSearch      moment = "search"
	atBind        moment = "user bind" // with the right password, as the next two
	atFreshBind   moment = "user bind on a new connection"
	atUnsentBind  moment = "user bind under RetryUnsent"
	atWrongBind   moment = "user bind with a wrong password"
	atIdle        moment = "idle" // a login comes when the ping is due
	atClose       moment = "close"
	atBusyClose   moment = "close with a search under way" // which has the fault
)

var moments = []moment{atStart, atServiceBind, atDial, atSearchPing, atBindPing, atSearch, atBind, atFreshBind, atUnsentBind,
	atWrongBind, atIdle, atClose, atBusyClose}

// transport is what LDAP goes over.
type transport string

// The transports.
const (
	overPlain    transport = "plain"
	overTLS      transport = "ldaps"
	overStartTLS transport = "StartTLS"
)

var transports = []transport{overPlain, overTLS, overStartTLS}

// cell is one place in the matrix.
type cell struct {
	fault harm
	at    moment
	over  transport
	// lasting: each connection and request of the moment has the fault until that is cleared.
	// Otherwise the first has it.
	lasting bool
}

func (c cell) String() string {
	times := "once"
	if c.lasting {
		times = "lasting"
	}
	return fmt.Sprintf("%s, %s at %s, %s", c.over, c.fault, c.at, times)
}

// dialling reports whether the fault happens before the first request.
func (c cell) dialling() bool { return c.at == atStart || c.at == atDial }

// impossible says why there is no such cell, or nothing.
func (c cell) impossible() string {
	switch {
	case c.fault == harmTLSCut && c.over == overPlain:
		return "no TLS, no handshake"
	case c.fault == harmNoStartTLS && c.over != overStartTLS:
		return "StartTLS is not asked for"
	case (c.fault == harmTLSCut || c.fault == harmNoStartTLS) && !c.dialling():
		return "TLS is there by then"
	case c.fault == harmBusy && c.dialling() && c.over != overStartTLS, c.fault == harmBusy && c.at == atIdle:
		return "nothing was asked that could be answered"
	case (c.fault == harmBusy || c.fault == harmSlow) && c.at == atClose:
		return "an unbind has no answer (RFC 4511 section 4.3)"
	case c.fault == harmHalf && c.dialling() && c.over == overPlain:
		return "a half that came before the request and one that came after it are two things, and idle and service bind have them"
	}
	return ""
}

// cells are all of them but the impossible ones, which are counted by why.
func cells() (all []cell, impossible map[string]int) {
	impossible = map[string]int{}
	for _, fault := range harms {
		for _, at := range moments {
			for _, over := range transports {
				for _, lasting := range []bool{false, true} {
					c := cell{fault, at, over, lasting}
					if why := c.impossible(); why != "" {
						impossible[why]++
						continue
					}
					all = append(all, c)
				}
			}
		}
	}
	return all, impossible
}

// TestMatrixOfFaults has each fault at each moment over each transport. A cell's outcome is made by
// a rule of what the fault does to an exchange and what the moment makes of that: nothing is
// written down for a cell.
func TestMatrixOfFaults(t *testing.T) {
	t.Parallel()
	certs := newMatrixCerts(t)
	all, impossible := cells()
	none := 0
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(impossible)) {
		none += impossible[reason]
		why = append(why, fmt.Sprintf("%d: %s", impossible[reason], reason))
	}
	t.Logf("%d cells, %d impossible: %s", len(all), none, strings.Join(why, "; "))
	var ran atomic.Int64
	t.Cleanup(func() {
		if !t.Failed() && testing.Verbose() {
			t.Logf("%d cells ran", ran.Load())
		}
	})
	for _, c := range all {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			playCell(t, c, certs)
			ran.Add(1)
		})
	}
}

// matrixTimes are what the cells' bounds are made of. They are the defaults.
var matrixTimes = Config{}.withDefaults()

// recovery is how long a pool may take to find out that a fault is over: a dial that hangs, the
// probe after it, and as long as a connection is trusted.
var recovery = matrixTimes.DialTimeout + probeLatest + pingAfter + 10*time.Millisecond
