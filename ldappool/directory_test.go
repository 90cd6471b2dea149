package ldappool_test

import (
	"fmt"
	"slices"
	"testing"

	"authsvc/internal/ldaptest"
)

// noTest stands in for the test that an example does not have.
type noTest struct {
	testing.TB
	cleanups []func()
}

func (*noTest) Helper()                           {}
func (n *noTest) Cleanup(f func())                { n.cleanups = append(n.cleanups, f) }
func (*noTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// startDirectory starts a directory for the example.
func startDirectory() (url string, stop func()) {
	n := &noTest{}
	server := ldaptest.NewServer(n, nil)
	return server.URL(), func() {
		for _, cleanup := range slices.Backward(n.cleanups) {
			cleanup()
		}
	}
}
