package demo

import (
	"log/slog"
	"net"

	"github.com/hashicorp/go-hclog"
)

// coreLogger silences gldap, whose debug level dumps packets with their
// passwords. Its errors go to slog at debug level: a client that hangs up is one.
//
// It also learns where gldap listens. gldap has no accessor for its listener and
// tells the address to its logger only; with that a port of the system's choice
// works, and no port is guessed that another process may take meanwhile.
type coreLogger struct {
	hclog.InterceptLogger
	listening chan net.Addr // one address, once
}

// newCoreLogger returns a logger that writes to log.
func newCoreLogger(log *slog.Logger) *coreLogger {
	l := &coreLogger{
		InterceptLogger: hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off}),
		listening:       make(chan net.Addr, 1),
	}
	l.RegisterSink(&coreSink{log: log, listening: l.listening})
	return l
}

// coreSink receives what gldap logs, at any level.
type coreSink struct {
	log       *slog.Logger
	listening chan<- net.Addr
}

// Accept implements hclog.SinkAdapter.
func (s *coreSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	switch level {
	case hclog.Error:
		s.log.Debug("demo directory: "+msg, args...)
	case hclog.Info:
		for _, arg := range args {
			if addr, ok := arg.(net.Addr); ok {
				select {
				case s.listening <- addr:
				default:
				}
			}
		}
	}
}
