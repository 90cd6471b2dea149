package ldapconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
)

// deadPeerTimeout is how long it takes to detect a peer that disappeared without closing the
// connection: by TCP keep-alive on a quiet connection, and by the timeout of unacknowledged bytes.
const deadPeerTimeout = 25 * time.Second

// maxStartTLSAnswer bounds the answer to StartTLS, which is read byte by byte.
const maxStartTLSAnswer = 4 << 10

// DialFunc opens a socket, as [net.Dialer.DialContext] does. It returns when ctx ends.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Options are how a connection is dialed. The zero value can be used.
type Options struct {
	// TLS is the configuration for endpoints with TLS. It is not changed; Dial sets the ServerName
	// to the endpoint's name where it is empty, and TLS 1.2 as the oldest version.
	TLS *tls.Config
	// Authorities are the certificates of TLS.RootCAs, in their order; nil stands for one that
	// cannot be used. They are only used to name the authority in the error of a failed handshake.
	Authorities []*x509.Certificate
	// Dial opens the socket; nil is [NetDial].
	Dial DialFunc
	// Large bounds the connection's large answers together with those of other connections; nil is
	// no bound.
	Large *LargeAnswers
	// OnStep, if not nil, is called when a step of the dial is over.
	OnStep func(Step)
}

// Step is a step of [Dial], done or failed.
type Step struct {
	Name string // "connect", "starttls" or "tls"
	Took time.Duration
	TLS  *tls.ConnectionState // with "tls": the negotiated state, as far as the handshake got
	Seen tlscause.Seen        // with "tls": whether the server requested a client certificate, and got one
	Err  error                // nil for a step that succeeded
}

// NetDial opens a socket that detects a dead peer within 25 s. It resolves the name at each call.
// It tries the addresses in turn, both families in parallel (RFC 8305).
func NetDial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialBy(ctx, net.DefaultResolver, network, address)
}

// dialBy is NetDial with a given resolver.
func dialBy(ctx context.Context, names *net.Resolver, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Resolver:        names,
		Control:         setUserTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeerTimeout * 2 / 5, Interval: deadPeerTimeout / 5, Count: 3},
	}
	return d.DialContext(ctx, network, address)
}

// Dial opens a connection to an endpoint, with TLS where the endpoint has it. It waits until ctx
// ends, which therefore should have a deadline; the connection does not depend on ctx afterwards.
// An error is a [*DialError].
func Dial(ctx context.Context, to Endpoint, o Options) (*Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = NetDial
	}
	d := dialing{to: to, o: &o}
	var raw net.Conn
	err := d.step("connect", func(*Step) (err error) {
		raw, err = dial(ctx, to.Network, to.Address)
		return err
	})
	if err != nil {
		return nil, err
	}
	if to.Security == Plain {
		return start(raw, raw, 0, &o, tlscause.Seen{}), nil
	}
	conn, err := d.secure(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return start(conn, raw, d.lastID, &o, d.seen), nil
}

// dialing is a dial under way.
type dialing struct {
	to     Endpoint
	o      *Options
	lastID int // message ID of the last request
	seen   tlscause.Seen
}

// step does a step of the dial and reports it.
func (d *dialing) step(name string, do func(*Step) error) error {
	s := Step{Name: name}
	began := time.Now()
	s.Err = do(&s)
	s.Took = time.Since(began)
	if d.o.OnStep != nil {
		d.o.OnStep(s)
	}
	if s.Err != nil {
		return &DialError{Step: name, Err: s.Err}
	}
	return nil
}

// secure establishes TLS on a new socket. When ctx ends it closes the socket, so it returns
// whatever the server does.
func (d *dialing) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if d.to.Security == StartTLS {
		if err := d.step("starttls", func(*Step) error { return causeOf(ctx, d.startTLS(raw)) }); err != nil {
			return nil, err
		}
	}
	conn := tls.Client(raw, d.config())
	err := d.step("tls", func(s *Step) error {
		err := causeOf(ctx, conn.HandshakeContext(ctx))
		state := conn.ConnectionState()
		s.TLS, s.Seen = &state, d.seen
		switch {
		case err != nil:
			return newTLSError(err, d.seen)
		case !stop():
			return ctx.Err() // it closed the socket
		}
		return nil
	})
	return conn, err
}

// causeOf returns why a step failed with err: because ctx ended and the socket was closed, or
// because of err itself.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// config completes the TLS configuration for the endpoint: crypto/tls infers no name to verify.
func (d *dialing) config() *tls.Config {
	c := &tls.Config{}
	if d.o.TLS != nil {
		c = d.o.TLS.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = d.to.Name
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	d.seen.Authorities = d.o.Authorities
	watchClientCertificate(c, &d.seen)
	return c
}

// startTLS asks for TLS (RFC 4511 section 4.14.1). It reads no byte past the answer, so that
// plaintext injected after it becomes a part of the handshake, which then fails.
func (d *dialing) startTLS(raw net.Conn) error {
	d.lastID++
	request, err := appendMessage(nil, d.lastID, func(b []byte) ([]byte, error) { return appendStartTLS(b), nil })
	if err != nil {
		return err
	}
	if _, err := raw.Write(request); err != nil {
		return err
	}
	answer, err := readSingly(raw)
	if err != nil {
		return err
	}
	var count int
	m, err := readMessage(answer, &count)
	if err != nil {
		return err
	}
	var r SearchResult
	if _, err := r.decode(&m, d.lastID, tagExtendedRequest); err != nil {
		return err
	}
	if r.Code != ldap.LDAPResultSuccess {
		return fmt.Errorf("refused with result code %d (%s)", r.Code, ldap.LDAPResultCodeMap[r.Code])
	}
	return nil
}

// readSingly reads one message byte by byte.
func readSingly(raw net.Conn) ([]byte, error) {
	var b []byte
	for len(b) < maxStartTLSAnswer {
		b = append(b, 0)
		if _, err := raw.Read(b[len(b)-1:]); err != nil {
			return nil, err
		}
		size, err := messageSize(b)
		if err != nil || size == len(b) {
			return b, err
		}
	}
	return nil, errors.New("the answer is too long")
}
