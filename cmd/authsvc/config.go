package main

import (
	"fmt"

	"authsvc/config"
)

// config shows the effective settings, or the reference of all there are.
func (p *program) config(args []string) error {
	f := p.flags("config", "Shows every setting, its value (secrets are masked) and its source.")
	reference := f.Bool("reference", false, "print the reference of all settings in Markdown")
	if err := p.parse(f, args); err != nil {
		return err
	}
	if *reference {
		return config.WriteReference(p.stdout)
	}
	cfg, err := config.Load(p.environ)
	if err != nil {
		return &usageError{err}
	}
	for _, warning := range cfg.Unused() {
		fmt.Fprintf(p.stderr, "authsvc: %s\n", warning)
	}
	return cfg.WriteSettings(p.stdout)
}
