package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// errHelp ends a command that was only asked what it does.
var errHelp = errors.New("help requested")

// flags makes a set of flags for a command that does what about says.
func (p *program) flags(command, about string) *flag.FlagSet {
	f := flag.NewFlagSet("authsvc "+command, flag.ContinueOnError)
	f.SetOutput(io.Discard) // of the flag package, which would say what is wrong and then all that is right
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: authsvc %s\n\n%s\n", command, about)
		f.PrintDefaults()
	}
	return f
}

// duration is the value of a flag for a time, whose errors say how to write one.
type duration time.Duration

// durationFlag adds a flag for a time to a command.
func durationFlag(f *flag.FlagSet, name, usage string) *time.Duration {
	var d time.Duration
	f.Var((*duration)(&d), name, usage)
	return &d
}

// Set is part of [flag.Value].
func (d *duration) Set(s string) error {
	parsed, err := time.ParseDuration(s)
	if _, number := strconv.ParseFloat(s, 64); err != nil && number == nil {
		return fmt.Errorf("the unit is missing: write %ss for seconds", s)
	}
	if err != nil {
		return errors.New("must be a duration with a unit, for example 5s or 2m")
	}
	*d = duration(parsed)
	return nil
}

// String is part of [flag.Value].
func (d *duration) String() string { return time.Duration(*d).String() }

// count is the value of a flag for how many of something there are.
type count int

// maxCount bounds a count, so that a product with it fits.
const maxCount = 1_000_000

// countFlag adds a flag for a number of things to a command. Without the flag it is 0.
func countFlag(f *flag.FlagSet, name, usage string) *int {
	var n int
	f.Var((*count)(&n), name, usage)
	return &n
}

// Set is part of [flag.Value].
func (c *count) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > maxCount {
		return fmt.Errorf("must be a whole number from 1 to %d", maxCount)
	}
	*c = count(n)
	return nil
}

// String is part of [flag.Value].
func (c *count) String() string {
	if c == nil || *c == 0 {
		return "" // no default to tell of
	}
	return strconv.Itoa(int(*c))
}

// parse reads a command's flags; it takes no other words. Where help was asked for, that goes to
// standard output.
func (p *program) parse(f *flag.FlagSet, args []string) error {
	for _, arg := range args {
		if arg == "-h" || arg == "-help" || arg == "--help" {
			f.SetOutput(p.stdout)
			f.Usage()
			return errHelp
		}
	}
	err := f.Parse(args)
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w; try %s -h", strings.TrimPrefix(f.Name(), "authsvc "), err, f.Name())}
	}
	return nil
}

// isSet reports whether a flag was given.
func isSet(f *flag.FlagSet, name string) (set bool) {
	f.Visit(func(given *flag.Flag) { set = set || given.Name == name })
	return set
}
