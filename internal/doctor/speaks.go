package doctor

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"
)

// speaksTimeout bounds each question about what is at a port.
const speaksTimeout = time.Second

// speaks finds out what is at an address that does not answer as a directory: "http", "tls", or
// nothing that is known. secure says that it is asked over TLS.
func speaks(ctx context.Context, addr string, secure bool) string {
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
	ctx, cancel := context.WithTimeout(ctx, speaksTimeout)
	defer cancel()
	if c, err := anyTLS().DialContext(ctx, "tcp", addr); err == nil {
		_ = c.Close()
		return "tls"
	}
	return ""
}

// exchange sends text and gives the beginning of what comes back.
func exchange(ctx context.Context, addr string, secure bool, text string) string {
	ctx, cancel := context.WithTimeout(ctx, speaksTimeout)
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
		_ = c.SetDeadline(deadline) // where it fails, so does what follows
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return ""
	}
	b := make([]byte, 256)
	n, _ := c.Read(b) // what came counts
	return string(b[:n])
}

// anyTLS speaks TLS with anybody: it is only asked who is there, and nothing is sent that a
// stranger must not see.
func anyTLS() *tls.Dialer { return &tls.Dialer{Config: anyTLSConfig()} }
