package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"authsvc/internal/app"
)

// Set by the linker (-X main.version=v1.2.3 -X main.commit=abc); without it, from what Go knows of
// the build.
var version, commit string

// thisBuild returns what this program is.
func thisBuild() app.Build {
	b := app.Build{Version: version, Commit: commit, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = cmp.Or(b.Commit, s.Value)
			}
		}
	}
	b.Version, b.Commit = cmp.Or(b.Version, "(devel)"), cmp.Or(b.Commit, "unknown")
	return b
}

// version says what this program is.
func (p *program) version(args []string) error {
	if err := p.parse(p.flags("version", "Shows the version, the commit and the Go version."), args); err != nil {
		return err
	}
	b := thisBuild()
	_, err := fmt.Fprintf(p.stdout, "authsvc %s, commit %s, %s\n", b.Version, b.Commit, b.GoVersion)
	return err
}
