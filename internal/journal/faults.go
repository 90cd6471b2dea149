package journal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/ldappool"
)

// maxFaults is how many faults are kept.
const maxFaults = 20

// Fault is a fault, with how often it occurred.
type Fault struct {
	Server      string // where; empty where no server was involved
	What        string // a login's outcome; dial, probe, ping, search or bind; or the reason why a connection ended
	Text        string // the error seen last, clean
	Count       int64
	First, Last time.Time
}

// faults keeps the last faults, and similar ones as one. A login without a fault costs nothing.
type faults struct {
	mu   sync.Mutex
	kept []Fault // guarded by mu; at most maxFaults
}

// record adds a fault. If there are too many, it drops the least recent one.
func (f *faults) record(server, what, text string) {
	text, now := logsafe.Printable(text, logsafe.MaxShown), time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.kept {
		if k := &f.kept[i]; k.Server == server && k.What == what && equalExceptNumbers(k.Text, text) {
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

// equalExceptNumbers reports whether two texts differ only in numbers. Local ports and waits differ
// between faults of the same kind.
func equalExceptNumbers(a, b string) bool {
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

// Faults returns the last faults, the latest first.
func (j *Journal) Faults() []Fault {
	j.faults.mu.Lock()
	defer j.faults.mu.Unlock()
	all := slices.Clone(j.faults.kept)
	slices.SortStableFunc(all, func(a, b Fault) int { return b.Last.Compare(a.Last) })
	return all
}

func (f *faults) loginDone(r auth.Result) {
	if r.Outcome.IsFault() {
		f.record(r.Server, r.Outcome.Code(), logsafe.ErrorText(r.Cause))
	}
}

// operated keeps only the kind of the fault. The server's text may repeat the password of a user's
// bind, which only the login can remove.
func (f *faults) operated(e ldappool.OperationEvent) {
	if e.Err == nil || errors.Is(e.Err, context.Canceled) {
		return
	}
	var op *ldappool.OpError
	if errors.As(e.Err, &op) {
		f.record(e.Server, e.Op, logsafe.ErrorText(op.Kind))
	}
}

func (f *faults) dialed(e ldappool.DialEvent) {
	if e.Err == nil || errors.Is(e.Err, context.Canceled) {
		return
	}
	f.record(e.Server, dialOp(e), logsafe.ErrorText(e.Err))
}

func (f *faults) pinged(e ldappool.PingEvent) {
	if e.Err != nil && !errors.Is(e.Err, context.Canceled) {
		f.record(e.Server, opPing, logsafe.ErrorText(e.Err))
	}
}

// retired records ends that are a server's fault. Closing an idle connection is none.
func (f *faults) retired(e ldappool.RetireEvent) {
	if e.Reason == "notice" || e.Reason == "protocol" {
		f.record(e.Server, string(e.Reason), logsafe.ErrorText(e.Err))
	}
}
