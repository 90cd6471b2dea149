package api

import (
	"log/slog"
	"net/http"
	"time"
)

// limits are what one connection may take of the service.
type limits struct {
	readHeader  time.Duration // from a request's first byte to the end of its headers
	read        time.Duration // the same to the end of its body
	write       time.Duration // from the end of the headers to the end of the answer
	idle        time.Duration // between two requests
	headerBytes int
}

// writeMargin is how much longer than the login itself an answer may take: for the delay of
// failures in uniform mode, and for a caller that reads slowly.
const writeMargin = 10 * time.Second

// defaultLimits returns the limits with which a login of authTimeout can still be answered when its
// request came in as slowly as it may: net/http counts the write limit from the end of the headers.
func defaultLimits(authTimeout time.Duration) limits {
	const read = 15 * time.Second
	return limits{
		readHeader:  10 * time.Second,
		read:        read,
		write:       read + authTimeout + writeMargin,
		idle:        120 * time.Second,
		headerBytes: 16 << 10,
	}
}

// HTTPServer returns a server for the main listener with all limits set. Its address and TLS are
// the caller's.
func (s *Server) HTTPServer() *http.Server {
	return s.limited(s.Handler())
}

// ForwardHTTPServer returns a server for the listener for reverse proxies, with the same limits.
func (s *Server) ForwardHTTPServer() *http.Server { return s.limited(s.ForwardHandler()) }

// limited returns a server of h that no client can hold on to. It speaks HTTP/1.1 alone, over TLS
// too: the limit on headers is HTTP/1.1's, and a header block of HTTP/2 that comes in pieces would
// be bounded by the idle limit at best. What net/http reports about single connections is the
// clients' doing and therefore logged at debug.
func (s *Server) limited(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ConnContext:       withConnState,
		ReadHeaderTimeout: s.limits.readHeader,
		ReadTimeout:       s.limits.read,
		WriteTimeout:      s.limits.write,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    s.limits.headerBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// Otherwise "OPTIONS *" would be answered by net/http, with 200 and no body.
		DisableGeneralOptionsHandler: true,
	}
}
