package main

import (
	"flag"
	"net"
	"os"
	"testing"

	"authsvc/internal/ldaptest"
	"authsvc/internal/secrettest"

	"github.com/rogpeppe/go-internal/testscript"
)

// long makes the tests of faults run for as long as the promises that they test. Without it they
// are shorter.
var long = flag.Bool("long", false, "run the tests of faults at full length")

// soak is how long TestSoak runs. Without it TestSoak is skipped. soakSeed selects another sequence
// of faults.
var (
	soak     = flag.Duration("soak", 0, "run the soak test for so long")
	soakSeed = flag.Uint64("soakseed", 1, "what the soak test's faults are drawn by")
)

// asProgram, set in the environment of this test binary, makes it run as the program. So the
// program has the race detector whenever the tests have it.
const asProgram = "AUTHSVC_TEST_AS_PROGRAM"

// testDNS, set together with asProgram, is the DNS server that the program asks instead of this
// machine's.
const testDNS = "AUTHSVC_TEST_DNS"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if addr := os.Getenv(testDNS); addr != "" {
			net.DefaultResolver = ldaptest.ResolverAt(addr)
		}
		main()
	}
	testscript.Main(secrettest.Tests{M: m, Evidence: everything}, map[string]func(){"authsvc": main})
}
