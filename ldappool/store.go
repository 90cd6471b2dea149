package ldappool

import (
	"context"
	"errors"
	"math"

	"authsvc/ldappool/internal/core"

	"github.com/jackc/puddle/v2"
)

// store keeps the connections of one lane to one server in a puddle pool: its constructor dials,
// its destructor closes, and it keeps the idle connections, the most recently used on top. It is a
// [core.Idle]. Its size is not limited, because MaxConns applies to all stores together and the
// core enforces it.
//
// A dialed connection is idle in puddle a moment before the core adopts it. Until then it must not
// be taken.
type store struct{ pool *puddle.Pool[*conn] }

type resource = *puddle.Resource[*conn]

// connKey is the context key of the connection that puddle's constructor opens.
type connKey struct{}

var errNoDial = errors.New("ldappool: bug: puddle dials on its own account")

func (p *Pool) newStoreLocked(s *core.Server, l core.Lane) core.Idle {
	pool, err := puddle.NewPool(&puddle.Config[*conn]{
		Constructor: func(ctx context.Context) (*conn, error) {
			c, ok := ctx.Value(connKey{}).(*conn)
			if !ok {
				return nil, errNoDial
			}
			return c, p.open(ctx, c)
		},
		Destructor: p.destroy,
		MaxSize:    math.MaxInt32,
	})
	if err != nil {
		panic(err) // for a size below 1
	}
	if p.stores[s] == nil {
		p.stores[s], p.facts[s] = &[2]*store{}, &serverFacts{}
	}
	p.stores[s][l] = &store{pool}
	return p.stores[s][l]
}

// forget closes the stores of a server that has no connection any more.
func (p *Pool) forget(s *core.Server) {
	defer p.work.Done()
	p.mu.Lock()
	stores := p.stores[s]
	delete(p.stores, s)
	delete(p.facts, s)
	p.mu.Unlock()
	for _, st := range stores {
		st.pool.Close()
	}
}

// create dials a connection.
func (s *store) create(ctx context.Context, c *conn) error {
	return s.pool.CreateResource(context.WithValue(ctx, connKey{}, c))
}

// Pop takes the connection that was used last.
func (s *store) Pop() *core.Conn {
	return s.take(func(c *conn) bool { return !c.core.IsDialing() }).core
}

// Take takes an idle connection.
func (s *store) Take(wanted *core.Conn) {
	s.take(func(c *conn) bool { return c.core == wanted })
}

// Adopt takes a connection that was just dialed.
func (s *store) Adopt(dialed *core.Conn) { s.Take(dialed) }

// take takes the topmost idle connection that matches; there must be one.
func (s *store) take(match func(*conn) bool) *conn {
	var skipped []resource
	for {
		res, err := s.pool.TryAcquire(context.Background())
		if err != nil {
			panic("ldappool: bug: puddle has fewer idle connections than the core: " + err.Error())
		}
		if c := res.Value(); match(c) {
			c.res = res
			releaseAll(skipped)
			return c
		}
		skipped = append(skipped, res)
	}
}

// releaseAll makes taken connections idle again, in their order.
func releaseAll(taken []resource) {
	for i := len(taken) - 1; i >= 0; i-- {
		taken[i].ReleaseUnused()
	}
}

// Push makes a used connection idle.
func (s *store) Push(c *core.Conn) { shellOf(c).res.Release() }

// PutBack makes an unused connection idle, below those that were used after it.
func (s *store) PutBack(c *core.Conn) {
	later := s.pool.AcquireAllIdle() // the most recently used first
	for i, res := range later {
		if o := res.Value().core; !o.IsDialing() && !o.LastUsed.After(c.LastUsed) {
			releaseAll(later[i:])
			later = later[:i]
			break
		}
	}
	shellOf(c).res.ReleaseUnused()
	releaseAll(later)
}
