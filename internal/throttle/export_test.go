package throttle

// Len is how many spellings are remembered.
func (s *Spellings) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.young) + len(s.old)
}
