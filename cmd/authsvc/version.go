package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker (-X main.version=v1.2.3 -X main.commit=abc); without it, from what Go knows of
// the build.
var version, commit string

// build is what this program is.
type build struct{ version, commit, goVersion string }

func thisBuild() build {
	b := build{version, commit, runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.version == "" && info.Main.Version != "" {
			b.version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && b.commit == "" {
				b.commit = s.Value
			}
		}
	}
	if b.version == "" {
		b.version = "(devel)"
	}
	if b.commit == "" {
		b.commit = "unknown"
	}
	return b
}

// version says what this program is.
func (p *program) version(args []string) error {
	if err := p.parse(p.flags("version", "Shows the version, the commit and the Go version."), args); err != nil {
		return err
	}
	b := thisBuild()
	_, err := fmt.Fprintf(p.stdout, "authsvc %s, commit %s, %s\n", b.version, b.commit, b.goVersion)
	return err
}
