package doctor_test

import (
	"os"
	"testing"

	"authsvc/internal/secrettest"

	"go.uber.org/goleak"
)

// everything is the evidence of the whole run of this package's tests; TestMain searches it when
// they are through.
var everything = secrettest.New()

func TestMain(m *testing.M) {
	if e := os.Getenv(asDoctor); e != "" {
		runErrand(e)
		return
	}
	goleak.VerifyTestMain(secrettest.Tests{M: m, Evidence: everything})
}
