package ldappool

import (
	"context"
	"time"

	"authsvc/ldappool/internal/core"

	"github.com/go-ldap/ldap/v3"
)

// outcome is what a cell must come to.
type outcome struct {
	kind    error                  // nil: a result
	code    uint16                 // the result's
	retries int64                  // operations that were sent twice
	retired map[RetireReason]int64 // connections given up by then, and why
	most    time.Duration          // time that the caller may have to wait
	closing error                  // what Close returns, where that is the moment
}

// effect is what a fault makes of one exchange.
type effect struct {
	result  bool         // it is an answer in order
	silent  bool         // only a timeout shows it
	partial bool         // something of an answer came
	reason  RetireReason // by which its connection goes
}

func (h netFault) effect() effect {
	switch h {
	case faultBusy:
		return effect{result: true}
	case faultDrop, faultStallBefore, faultStallAfter:
		return effect{silent: true, reason: RetiredTimeout}
	case faultHalf, faultSlow:
		return effect{silent: true, partial: true, reason: RetiredTimeout}
	case faultHalfFIN:
		return effect{partial: true, reason: RetiredPeerClosed}
	case faultGarbage:
		return effect{partial: true, reason: RetiredProtocol}
	case faultNotice:
		return effect{reason: RetiredNotice}
	}
	return effect{reason: RetiredPeerClosed}
}

// outcome is the rule.
func (c cell) outcome() outcome {
	switch c.at {
	case atStart, atServiceBind, atDial:
		return c.ofDial()
	case atSearchPing, atBindPing:
		return c.ofPing()
	case atIdle:
		return c.ofIdle()
	case atClose, atBusyClose:
		return c.ofClose()
	}
	return c.ofRequest()
}

// ofDial: a caller that needs a connection that cannot be made gets an error as soon as that is
// known, and within MaxWait. If it is not the first connection, the server is asked once more
// before that; and if it hangs, another one is made meanwhile.
func (c cell) ofDial() outcome {
	e := c.fault.effect()
	switch {
	case e.silent && !c.lasting:
		return outcome{most: core.RedialAfter}
	case e.silent:
		return outcome{kind: ErrUnavailable, most: min(matrixTimes.MaxWait, matrixTimes.DialTimeout)}
	case c.at == atDial && !c.lasting:
		return outcome{}
	}
	return outcome{kind: ErrUnavailable}
}

// ofPing: a ping that fails costs the caller its time, and pingTimeout at most; another connection
// is made, if one can be. Any answer will do.
func (c cell) ofPing() outcome {
	e := c.fault.effect()
	if e.result {
		return outcome{}
	}
	o := outcome{retired: map[RetireReason]int64{RetiredPing: 1}}
	if e.silent {
		o.most = pingTimeout
	}
	if c.at == atBindPing && c.lasting { // the new one begins with a ping as well
		o.kind = ErrUnavailable
		if e.silent {
			o.most = matrixTimes.MaxWait
		}
	}
	return o
}

// ofRequest: time decides where nothing else does, and is not spent twice. What was lost is sent
// once more if it is a search, or a bind that by its rule may be.
func (c cell) ofRequest() outcome {
	e := c.fault.effect()
	if e.result {
		return outcome{code: ldap.LDAPResultBusy}
	}
	o := outcome{retired: map[RetireReason]int64{e.reason: 1}}
	again := c.at == atSearch || (c.at == atBind || c.at == atFreshBind || c.at == atWrongBind) && !e.partial
	switch {
	case e.silent:
		o.kind, o.most = ErrTimeout, matrixTimes.RequestTimeout
	case again && !c.lasting:
		o.retries = 1
		if c.at == atWrongBind {
			o.code = ldap.LDAPResultInvalidCredentials
		}
	case again:
		o.kind, o.retries, o.retired[e.reason] = ErrConnLost, 1, 2
	default:
		o.kind = ErrConnLost
	}
	return o
}

// ofIdle: the login that comes later notices nothing. What the connection tells of itself retires
// it at once; what it does not costs each lane a ping.
func (c cell) ofIdle() outcome {
	e, hit := c.fault.effect(), int64(1)
	if c.lasting {
		hit = 2 // one in each lane
	}
	switch {
	case c.fault == faultHalf, c.fault == faultHalfFIN:
		e = effect{reason: RetiredProtocol} // of nothing that was asked
	case e.silent:
		return outcome{retired: map[RetireReason]int64{RetiredPing: hit}, most: time.Duration(hit) * pingTimeout}
	}
	return outcome{retired: map[RetireReason]int64{e.reason: hit}}
}

// closeWithin is how long Close lets a search under way go on in the matrix.
const closeWithin = time.Second

// ofClose: Close takes no longer than an unbind may, or than its context allows.
func (c cell) ofClose() outcome {
	e := c.fault.effect()
	if c.at == atClose {
		return outcome{retired: map[RetireReason]int64{RetiredClosed: 2}, most: 2 * closeTimeout}
	}
	switch {
	case e.result:
		return outcome{code: ldap.LDAPResultBusy, retired: map[RetireReason]int64{RetiredClosed: 2}}
	case e.silent:
		return outcome{kind: ErrClosed, retired: map[RetireReason]int64{RetiredClosed: 2},
			most: closeWithin + closeGrace, closing: context.DeadlineExceeded}
	}
	return outcome{kind: ErrClosed, retired: map[RetireReason]int64{e.reason: 1, RetiredClosed: 1}}
}
