package core

import "slices"

// stack is an Idle that checks how it is used.
type stack struct {
	w     *world
	conns []*Conn
}

func (s *stack) Pop() *Conn {
	if len(s.conns) == 0 {
		s.w.fail("a connection is popped where none is idle")
		return nil
	}
	c := s.conns[len(s.conns)-1]
	s.conns = s.conns[:len(s.conns)-1]
	return c
}

func (s *stack) Take(c *Conn) {
	i := slices.Index(s.conns, c)
	if i < 0 {
		s.w.fail("a connection is taken that is not idle")
		return
	}
	s.conns = slices.Delete(s.conns, i, i+1)
}

func (s *stack) Push(c *Conn) { s.conns = append(s.conns, c) }

func (s *stack) PutBack(c *Conn) {
	i := len(s.conns)
	for i > 0 && c.LastUsed.Before(s.conns[i-1].LastUsed) {
		i--
	}
	s.conns = slices.Insert(s.conns, i, c)
}

func (s *stack) Adopt(*Conn) {}
