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

// netFault is a fault of a connection in the matrix.
type netFault string

// The faults.
const (
	faultFIN         netFault = "FIN"
	faultRST         netFault = "RST"
	faultDrop        netFault = "silent drop"              // what is sent is lost
	faultStallBefore netFault = "stall before the request" // which is not read: the client's write is stuck
	faultStallAfter  netFault = "stall after the request"  // which is read, and nothing else
	faultHalf        netFault = "half a message, then silence"
	faultHalfFIN     netFault = "half a message, then FIN"
	faultGarbage     netFault = "garbage"                 // instead of an answer
	faultNotice      netFault = "notice of disconnection" // instead of an answer
	faultBusy        netFault = "busy"                    // result code 51
	faultSlow        netFault = "1 byte per second"       // from the server, TLS records and all
	faultTLSCut      netFault = "TLS cut in the handshake"
	faultNoStartTLS  netFault = "StartTLS refused" // result code 2
)

var netFaults = []netFault{faultFIN, faultRST, faultDrop, faultStallBefore, faultStallAfter, faultHalf, faultHalfFIN, faultGarbage, faultNotice, faultBusy, faultSlow, faultTLSCut, faultNoStartTLS}

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
	fault netFault
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

// skipReason returns why there is no such cell, or "".
func (c cell) skipReason() string {
	switch {
	case c.fault == faultTLSCut && c.over == overPlain:
		return "no TLS, no handshake"
	case c.fault == faultNoStartTLS && c.over != overStartTLS:
		return "StartTLS is not asked for"
	case (c.fault == faultTLSCut || c.fault == faultNoStartTLS) && !c.dialling():
		return "TLS is there by then"
	case c.fault == faultBusy && c.dialling() && c.over != overStartTLS, c.fault == faultBusy && c.at == atIdle:
		return "nothing was asked that could be answered"
	case (c.fault == faultBusy || c.fault == faultSlow) && c.at == atClose:
		return "an unbind has no answer (RFC 4511 section 4.3)"
	case c.fault == faultHalf && c.dialling() && c.over == overPlain:
		return "a half that came before the request and one that came after it are two things, and idle and service bind have them"
	}
	return ""
}

// cells returns all cells. Those that are impossible are counted by reason.
func cells() (all []cell, impossible map[string]int) {
	impossible = map[string]int{}
	for _, fault := range netFaults {
		for _, at := range moments {
			for _, over := range transports {
				for _, lasting := range []bool{false, true} {
					c := cell{fault, at, over, lasting}
					if why := c.skipReason(); why != "" {
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

// TestMatrix_OfFaults injects each fault at each moment over each transport. A rule derives the
// expected outcome of a cell from the effect of the fault on an exchange, and from the moment. No
// outcome is written down for a single cell.
func TestMatrix_OfFaults(t *testing.T) {
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

// matrixTimes are the times from which the cells' bounds are computed: the defaults.
var matrixTimes = Config{}.withDefaults()

// recovery is how long a pool may take to find out that a fault is over: a hanging dial, the probe
// after it, and the time for which a connection is used without a check.
var recovery = matrixTimes.DialTimeout + probeLatest + pingAfter + 10*time.Millisecond
