package throttle

// Len is how many spellings are remembered.
func (s *ExhaustedNames) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.current) + len(s.previous)
}

// Len is the number of accounts whose turn is taken.
func (t *Turns) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.queue)
}
