package doctor

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"
)

// probeTimeout bounds each attempt to detect a protocol.
const probeTimeout = time.Second

// detectProtocol returns the protocol of a server that does not answer LDAP: "http", "tls", or ""
// if it is not known. With secure it connects over TLS.
func detectProtocol(ctx context.Context, addr string, secure bool) string {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return ""
	}
	if begin := exchange(ctx, addr, secure, "OPTIONS / HTTP/1.0\r\n\r\n"); strings.HasPrefix(begin, "HTTP/") {
		if secure || !strings.Contains(begin, "HTTPS server") && !strings.Contains(begin, "HTTPS port") {
			return "http"
		}
	}
	if secure {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if c, err := anyTLS().DialContext(ctx, "tcp", addr); err == nil {
		_ = c.Close()
		return "tls"
	}
	return ""
}

// exchange sends text and returns the beginning of the answer.
func exchange(ctx context.Context, addr string, secure bool, text string) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	dial := new(net.Dialer).DialContext
	if secure {
		dial = anyTLS().DialContext
	}
	c, err := dial(ctx, "tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline) // if it fails, so does the write
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return ""
	}
	b := make([]byte, 256)
	n, _ := c.Read(b) // a partial answer is enough
	return string(b[:n])
}

// anyTLS accepts every certificate. It is only used to detect protocols, and nothing secret is
// sent.
func anyTLS() *tls.Dialer { return &tls.Dialer{Config: anyTLSConfig()} }
