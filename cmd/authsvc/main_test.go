package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// long makes the tests of faults take as long as their promises are told for; without it they are shorter.
var long = flag.Bool("long", false, "run the tests of faults at full length")

// asProgram, set in the environment of this test binary, makes it the program itself: so the program that the tests
// run is built with the race detector when they are.
const asProgram = "AUTHSVC_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"authsvc": main})
}
