package telemetry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"authsvc/internal/auth"
	"authsvc/ldappool"
)

// Bounds on the faults that are kept.
const (
	maxFaults    = 20
	maxFaultText = 300 // bytes
)

// Fault is something that went wrong, once or often.
type Fault struct {
	Server      string // where; empty where no server was involved
	What        string // a login's outcome; dial, probe, ping, search or bind; or the reason why a connection ended
	Text        string // the error seen last, clean
	Count       int64
	First, Last time.Time
}

// faults keeps the last faults, those that are alike as one. It costs nothing where there are none, and in an outage a
// comparison or two for each.
type faults struct {
	mu   sync.Mutex
	kept []Fault // guarded by mu; at most maxFaults
}

// note takes one more fault. Of those that are kept the one that was seen longest ago makes room.
func (f *faults) note(server, what, text string) {
	text, now := Printable(text, maxFaultText), time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.kept {
		if k := &f.kept[i]; k.Server == server && k.What == what && alike(k.Text, text) {
			k.Text, k.Last = text, now
			k.Count++
			return
		}
	}
	one := Fault{Server: server, What: what, Text: text, Count: 1, First: now, Last: now}
	if len(f.kept) < maxFaults {
		f.kept = append(f.kept, one)
		return
	}
	oldest := 0
	for i := range f.kept {
		if f.kept[i].Last.Before(f.kept[oldest].Last) {
			oldest = i
		}
	}
	f.kept[oldest] = one
}

// alike tells whether two texts differ in numbers alone: ports of our own and waits differ from one fault to the next of its
// kind.
func alike(a, b string) bool {
	for {
		a, b = strings.TrimLeft(a, digits), strings.TrimLeft(b, digits)
		i, j := strings.IndexAny(a, digits), strings.IndexAny(b, digits)
		if i != j || i < 0 {
			return i == j && a == b
		}
		if a[:i] != b[:j] {
			return false
		}
		a, b = a[i:], b[j:]
	}
}

const digits = "0123456789"

// Faults are the last faults, the latest first.
func (t *Telemetry) Faults() []Fault {
	t.faults.mu.Lock()
	defer t.faults.mu.Unlock()
	all := slices.Clone(t.faults.kept)
	slices.SortStableFunc(all, func(a, b Fault) int { return b.Last.Compare(a.Last) })
	return all
}

func (f *faults) loginDone(r auth.Result) {
	if r.Outcome.IsFault() {
		f.note(r.Server, r.Outcome.Code(), errorText(r.Cause))
	}
}

// operated tells the kind of the fault alone: what a server said of a user's bind may repeat the password, which only the
// login knows to look for.
func (f *faults) operated(e ldappool.OperationEvent) {
	if e.Err == nil || errors.Is(e.Err, context.Canceled) {
		return
	}
	var op *ldappool.OpError
	if errors.As(e.Err, &op) {
		f.note(e.Server, e.Op, errorText(op.Kind))
	}
}

func (f *faults) dialed(e ldappool.DialEvent) {
	if e.Err == nil || errors.Is(e.Err, context.Canceled) {
		return
	}
	f.note(e.Server, dialOp(e), errorText(e.Err))
}

func (f *faults) pinged(e ldappool.PingEvent) {
	if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
		f.note(e.Server, opPing, errorText(e.Err))
	}
}

// retired tells of the ends that are a server's fault; that it cuts what is idle is its right.
func (f *faults) retired(e ldappool.RetireEvent) {
	if e.Reason == ldappool.RetiredNotice || e.Reason == ldappool.RetiredProtocol {
		f.note(e.Server, string(e.Reason), errorText(e.Err))
	}
}
