package ldapconn

import "time"

// largeAnswer is the size from which an answer takes a slot of a LargeAnswers.
const largeAnswer = 256 << 10

// LargeAnswers bounds the memory that the answers on several connections take together. An answer
// larger than 256 KiB can take 20 MiB while it is read and decoded. It takes one of the slots for
// that time, or waits for one until its operation's deadline. Smaller answers never wait.
type LargeAnswers struct{ places chan struct{} }

// NewLargeAnswers returns a LargeAnswers with n slots.
func NewLargeAnswers(n int) *LargeAnswers { return &LargeAnswers{make(chan struct{}, n)} }

// admit takes a slot for the answer of the operation under way if the bytes that arrived make it
// large. It returns false if the connection ended before a slot was free.
func (c *Conn) admit(arrived int) bool {
	c.mu.Lock()
	op := c.op
	c.mu.Unlock()
	if c.large == nil || !op.open || op.complete || op.large || op.size+arrived <= largeAnswer {
		return true
	}
	var late <-chan time.Time // meanwhile no read of the socket checks the deadline
	if !op.deadline.IsZero() {
		timer := time.NewTimer(time.Until(op.deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case c.large.places <- struct{}{}:
	case <-late:
		c.finish(Timeout, errNoAnswer)
		return false
	case <-c.done:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.Load() != nil { // the operation may be over, and not return the slot
		<-c.large.places
		return false
	}
	c.op.large = true
	return true
}
