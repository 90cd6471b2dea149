package ldaptest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// NameServer is a DNS server for one host: it answers every question for an A record with the
// host's addresses, and every other question with no record. A host without addresses does not
// exist (NXDOMAIN). Its methods may be called from any goroutine.
type NameServer struct {
	conn net.PacketConn

	mu        sync.Mutex // guards what follows
	addresses []netip.Addr
	asked     int // for A records
}

// NewNameServer starts one that lives until the test ends.
func NewNameServer(tb testing.TB, addresses ...string) *NameServer {
	tb.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(tb.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("start the name server: %v", err)
	}
	s := &NameServer{conn: conn}
	s.Set(addresses...)
	var served sync.WaitGroup
	served.Go(s.serve)
	tb.Cleanup(func() {
		_ = conn.Close()
		served.Wait()
	})
	return s
}

// Set has the host have other addresses.
func (s *NameServer) Set(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = nil
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
}

// nxDomain is the response code for a name that does not exist (RFC 1035 section 4.1.1).
const nxDomain = 3

func (s *NameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = s.conn.WriteTo(s.answer(buf[:n]), from)
	}
}

// answer is a response (RFC 1035 section 4) with the question and without what else came.
func (s *NameServer) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	kind := q[end+2]
	end += 5
	out := append([]byte{q[0], q[1], 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end]...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.addresses) == 0 {
		out[3] = nxDomain
	}
	if kind != 1 {
		return out
	}
	s.asked++
	out[7] = byte(len(s.addresses))
	for _, a := range s.addresses {
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, a.AsSlice()...)
	}
	return out
}

// Asked is how many questions for A records there were.
func (s *NameServer) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Addr is the host:port that it listens at, with UDP.
func (s *NameServer) Addr() string { return s.conn.LocalAddr().String() }

// Resolver asks it.
func (s *NameServer) Resolver() *net.Resolver { return ResolverAt(s.Addr()) }

// ResolverAt asks the DNS server at addr and no other.
func ResolverAt(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", addr)
	}}
}
