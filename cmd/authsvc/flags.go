package main

import (
	"errors"
	"flag"
	"fmt"
)

// errHelp ends a command that was only asked what it does.
var errHelp = errors.New("help was asked for")

// flags makes a set of flags for a command that does what about says.
func (p *program) flags(command, about string) *flag.FlagSet {
	f := flag.NewFlagSet("authsvc "+command, flag.ContinueOnError)
	f.SetOutput(p.stderr)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: authsvc %s\n\n%s\n", command, about)
		f.PrintDefaults()
	}
	return f
}

// parse reads a command's flags; it takes no other words. Where help was asked for, that goes to standard output.
func (p *program) parse(f *flag.FlagSet, args []string) error {
	for _, arg := range args {
		if arg == "-h" || arg == "-help" || arg == "--help" {
			f.SetOutput(p.stdout)
			f.Usage()
			return errHelp
		}
	}
	// The flag package has said already what is wrong, and the usage.
	if err := f.Parse(args); err != nil {
		return &usageError{err}
	}
	if f.NArg() > 0 {
		return &usageError{fmt.Errorf("%s: unexpected %q", f.Name()[len("authsvc "):], f.Arg(0))}
	}
	return nil
}
