package throttle

// Len is how many spellings are remembered.
func (s *Spellings) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.young) + len(s.old)
}

// Len is the number of accounts whose turn is taken.
func (t *Turns) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}
