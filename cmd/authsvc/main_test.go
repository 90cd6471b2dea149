package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// long makes the tests of faults take as long as their promises are told for; without it they are shorter.
var long = flag.Bool("long", false, "run the tests of faults at full length")

// soak is how long TestSoak lasts; it is skipped without. soakSeed makes another sequence of faults.
var (
	soak     = flag.Duration("soak", 0, "run the soak test for so long")
	soakSeed = flag.Uint64("soakseed", 1, "what the soak test's faults are drawn by")
)

// asProgram, set in the environment of this test binary, makes it the program itself: so the program that the tests
// run is built with the race detector when they are.
const asProgram = "AUTHSVC_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	testscript.Main(searched{m}, map[string]func(){"authsvc": main})
}
