// Command authsvc answers over HTTP whether a password belongs to a user, says the LDAP directory.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"authsvc/internal/app"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

const usage = `authsvc answers over HTTP whether an LDAP user has a given password.

usage: authsvc [command]

  serve         run the service, configured by the environment (the default)
  demo          run the service on an embedded directory with sample users
  check         check every step of a login: report what is wrong and how to fix it
  login         ask a running authsvc about one login, from a script
  config        show every setting, its value and its source
  healthcheck   ask the local service whether a directory server is usable
  version       show the version

Run "authsvc command -h" for more about a command.
`

// program is one run of the command: what it was called with, and where its words go.
type program struct {
	environ        []string
	stdin          *os.File // nil: there is none
	stdout, stderr io.Writer
}

// usageError is a command line or a configuration that is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitError ends the program with an exit code of its command's own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	boundDecoder()
	p := &program{environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}

// boundDecoder sets the limits of asn1-ber's decoder. They are variables of its package, so they
// are set here, once, before anything is decoded. The pool and the demo's server bound what they
// decode by themselves, and more narrowly. This is for whatever else may come to be decoded.
func boundDecoder() {
	ber.MaxPacketLengthBytes = 4 << 20
	ber.MaxNestingDepth = 64
}

// run runs a command to its end and gives the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	err := p.command(ctx, args)
	var own *exitError
	var wrong *usageError
	var setting *app.SettingError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case errors.As(err, &own):
		if !errors.Is(err, errFailed) {
			fmt.Fprintf(p.stderr, "authsvc: %v\n", err)
		}
		return own.code
	case errors.As(err, &wrong), errors.As(err, &setting):
		fmt.Fprintf(p.stderr, "authsvc: %v\n", err)
		return exitUsage
	case errors.Is(err, errFailed): // standard output has said what
		return exitFailed
	}
	fmt.Fprintf(p.stderr, "authsvc: %v\n", err)
	return exitFailed
}

// command finds the command and runs it.
func (p *program) command(ctx context.Context, args []string) error {
	name, rest := "serve", args
	if len(args) > 0 {
		name, rest = args[0], args[1:]
	}
	switch name {
	case "serve":
		return p.serve(ctx, rest)
	case "demo":
		return p.demo(ctx, rest)
	case "check":
		return p.check(ctx, rest)
	case "login":
		return p.login(ctx, rest)
	case "config":
		return p.config(rest)
	case "healthcheck":
		return p.healthcheck(ctx, rest)
	case "version", "-version", "--version":
		return p.version(rest)
	case "help", "-h", "-help", "--help":
		_, err := io.WriteString(p.stdout, usage)
		return err
	}
	return &usageError{fmt.Errorf("unknown command %q; try authsvc help", name)}
}

// variable returns the value of a variable of the environment, and whether it is there.
func variable(environ []string, name string) (value string, ok bool) {
	for _, e := range environ {
		if value, ok = strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
