package ldappool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// vanished is how long a peer that is gone without a word may stay unnoticed: the kernel probes a quiet
// connection and gives up on unacknowledged bytes in that time.
const vanished = 25 * time.Second

// endpoint is where and how to reach a server.
type endpoint struct {
	network, addr string
	tls           *tls.Config // nil: no TLS
	base          *tls.Config // of which tls was made
	startTLS      bool
}

// parseEndpoint reads a server's URL (RFC 4516, of which scheme, host and port are used; ldapi as OpenLDAP has it).
func parseEndpoint(raw string, cfg Config) (endpoint, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	if scheme == "ldapi" {
		path, err := url.PathUnescape(strings.TrimSuffix(rest, "/"))
		if err != nil || !strings.HasPrefix(path, "/") {
			return endpoint{}, fmt.Errorf("%q: the path of an ldapi URL is percent-encoded, as in ldapi://%%2frun%%2fslapd%%2fldapi", raw)
		}
		return endpoint{network: "unix", addr: path}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, fmt.Errorf("%q is not a URL such as ldap://ldap.example.org:389", raw)
	}
	port := map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	if port == "" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return endpoint{}, fmt.Errorf("%q: want ldap://host:port, ldaps://host:port, ldapi://path or ldap+srv://domain and nothing else", u.Redacted())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e := endpoint{network: "tcp", addr: net.JoinHostPort(u.Hostname(), port), startTLS: cfg.StartTLS && u.Scheme == "ldap"}
	if e.startTLS || u.Scheme == "ldaps" {
		e.tls, e.base = tlsConfig(cfg.TLS, u.Hostname()), cfg.TLS
	}
	return e, nil
}

// tlsConfig completes base for one server: go-ldap infers no name to verify, and verifying none is no TLS.
func tlsConfig(base *tls.Config, host string) *tls.Config {
	if base == nil {
		base = &tls.Config{}
	}
	c := base.Clone()
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

// stepError says which step of a dial failed.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// dialFunc opens a socket, as net.Dialer does.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// netDial opens sockets that notice a peer that vanished.
func netDial(ctx context.Context, network, addr string) (net.Conn, error) {
	return dialBy(ctx, net.DefaultResolver, network, addr)
}

// dialBy looks a name up by names, each time. Of several addresses it tries both families side by side (RFC 8305), and
// those of one in turn, each with its part of the time left.
func dialBy(ctx context.Context, names *net.Resolver, network, addr string) (net.Conn, error) {
	d := net.Dialer{
		Resolver: names,
		Control:  setUserTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: vanished * 2 / 5, Interval: vanished / 5, Count: 3,
		},
	}
	return d.DialContext(ctx, network, addr)
}

// dial opens a connection that speaks LDAP, with TLS where the endpoint has it. ctx carries the deadline of it all.
func (e endpoint) dial(ctx context.Context, dial dialFunc) (*wire, error) {
	began := time.Now()
	raw, err := dial(ctx, e.network, e.addr)
	tell(ctx, began, DialStep{Name: "connect", Err: err})
	if err != nil {
		return nil, &stepError{"connect", err}
	}
	if e.tls == nil {
		return newWire(raw, raw), nil
	}
	conn, err := e.secure(ctx, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return newWire(conn, raw), nil
}

// secure puts TLS on a fresh socket.
func (e endpoint) secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	// Neither a silent server nor a ctx that ends can hold us: the first by the deadline, the second by the close.
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return nil, &stepError{"tls", err}
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if e.startTLS {
		began := time.Now()
		err := startTLS(raw)
		tell(ctx, began, DialStep{Name: "starttls", Err: err})
		if err != nil {
			return nil, &stepError{"starttls", err}
		}
	}
	began := time.Now()
	conn := tls.Client(raw, e.tls)
	err := conn.HandshakeContext(ctx)
	state := conn.ConnectionState()
	tell(ctx, began, DialStep{Name: "tls", TLS: &state, Err: err})
	if err != nil {
		return nil, &stepError{"tls", err}
	}
	return conn, raw.SetDeadline(time.Time{})
}

// startTLS asks for TLS (RFC 4511 section 4.14.1). It reads not one byte past the answer: what an attacker
// puts behind it in the clear becomes part of the handshake and breaks that.
func startTLS(raw net.Conn) error {
	const oid = "1.3.6.1.4.1.1466.20037"
	envelope := ber.NewSequence("LDAPMessage")
	envelope.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "messageID"))
	request := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "ExtendedRequest")
	request.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, oid, "requestName"))
	envelope.AppendChild(request)
	if _, err := raw.Write(envelope.Bytes()); err != nil {
		return err
	}
	m, err := readMessage(raw)
	switch {
	case err != nil:
		return err
	case m.id != 1 || m.op != tagExtendedAnswer:
		return errWrongReply
	case m.code != ldap.LDAPResultSuccess:
		return fmt.Errorf("refused with result code %d (%s)", m.code, ldap.LDAPResultCodeMap[uint16(m.code&0xffff)])
	}
	return nil
}

// readMessage reads one message byte by byte.
func readMessage(raw net.Conn) (message, error) {
	var f framer
	var b [1]byte
	for range 4096 {
		if _, err := raw.Read(b[:]); err != nil {
			return message{}, err
		}
		if _, m, done, err := f.next(b[:]); done || err != nil {
			return m, err
		}
	}
	return message{}, errors.New("the answer is too long")
}
