package connlimit

// Computing is how many handshakes compute now.
func (l *Listener) Computing() int { return len(l.handshakes) }

// AtOnce is how many may.
func (l *Listener) AtOnce() int { return cap(l.handshakes) }

// PerAddress is how many of one address may.
func (l *Listener) PerAddress() int { return max(cap(l.handshakes)/2, 1) }
