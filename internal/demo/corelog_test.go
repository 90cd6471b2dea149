package demo

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGldapIsKeptFromDumpingPackets(t *testing.T) {
	t.Parallel()
	var log logBuffer
	quiet := newCoreLogger(log.logger())
	assert.False(t, quiet.IsDebug(), "gldap dumps packets, passwords too, where this is true")
	quiet.Debug("packet read", "packet", "secret")
	quiet.Info("something else")
	quiet.Warn("something else")
	assert.Empty(t, log.String())
}

func TestAnErrorOfGldapIsLoggedForWhoeverDebugs(t *testing.T) {
	t.Parallel()
	var log logBuffer
	newCoreLogger(log.logger()).Error("error handling conn", "err", errors.New("reset"))
	assert.Contains(t, log.String(), "level=DEBUG")
	assert.Contains(t, log.String(), `msg="demo directory: error handling conn" err=reset`)
}

func TestTheFirstAddressThatGldapLogsIsItsListeners(t *testing.T) {
	t.Parallel()
	quiet := newCoreLogger((&logBuffer{}).logger())
	first := &net.TCPAddr{Port: 1}
	quiet.Info("listening", "op", "run", "addr", first)
	quiet.Info("listening", "addr", &net.TCPAddr{Port: 2})
	assert.Equal(t, first, <-quiet.listening)
}
