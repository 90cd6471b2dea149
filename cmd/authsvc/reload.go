package main

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"slices"
	"time"

	"authsvc/config"
	"authsvc/ldappool"
)

// pollFiles is how often the files with secrets and certificates are looked at. They are few and small, and reading them
// finds every kind of change: written in place, renamed over, or Kubernetes' swap of a symlink two directories up, of which
// a watch on the file itself sees nothing.
const pollFiles = time.Second

// reloader has the running service take over what the files that its settings name hold now.
type reloader struct {
	environ []string
	log     *slog.Logger
	adopt   func(ldappool.Config, front) error // of the service

	pool    ldappool.Config // in force
	applied contents        // what it was made of
	judged  contents        // what was last taken over or found wrong
}

// contents are files' hashes, so that no secret is kept a second time. The zero hash is a file that cannot be read.
type contents map[string][sha256.Size]byte

// look reads the files.
func look(files []string) contents {
	c := contents{}
	for _, file := range files {
		if content, err := os.ReadFile(file); err == nil {
			c[file] = sha256.Sum256(content)
		} else {
			c[file] = [sha256.Size]byte{}
		}
	}
	return c
}

// changed names the files that differ, in order.
func (c contents) changed(from contents) []string {
	files := []string{} // in the log, none is [] and not null
	for file, hash := range c {
		if from[file] != hash {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// newReloader begins with the settings that the service begins with.
func newReloader(environ []string, cfg *config.Config, pool ldappool.Config, log *slog.Logger, adopt func(ldappool.Config, front) error) *reloader {
	now := look(cfg.Files())
	return &reloader{environ: environ, log: log, adopt: adopt, pool: pool, applied: now, judged: now}
}

// run takes over changes until ctx ends: at once when asked to, and otherwise when a file has been the same for two looks,
// so that one that is just being written is not taken for whole.
func (r *reloader) run(ctx context.Context, asked <-chan os.Signal) {
	ticks := time.NewTicker(pollFiles)
	defer ticks.Stop()
	before := r.judged
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			r.reload()
		case <-ticks.C:
			now := look(r.files())
			if len(now.changed(before)) == 0 && len(now.changed(r.judged)) > 0 {
				r.reload()
			}
			before = now
		}
	}
}

// files are those that are looked at: their names come from the environment, and stay.
func (r *reloader) files() []string {
	files := make([]string, 0, len(r.applied))
	for file := range r.applied {
		files = append(files, file)
	}
	return files
}

// reload takes over the settings as they are now, or says what is wrong with them and leaves things as they are.
func (r *reloader) reload() {
	now := look(r.files()) // before they are read: what changes meanwhile is seen at the next look
	r.judged = now
	changed := now.changed(r.applied) // none, perhaps: who asks for it has a refused service bind tried again
	cfg, err := config.Load(r.environ)
	if err != nil {
		r.refuse(changed, err)
		return
	}
	next, err := poolConfig(cfg, r.pool.Trace)
	if err != nil {
		r.refuse(changed, err)
		return
	}
	if !slices.ContainsFunc(changed, cfg.LDAP.IsTLSFile) {
		next.TLS = r.pool.TLS // the same, so that no connection is replaced for it
	}
	front, err := frontConfig(cfg)
	if err != nil {
		r.refuse(changed, err)
		return
	}
	if err := r.adopt(next, front); err != nil {
		r.refuse(changed, err)
		return
	}
	r.pool, r.applied = next, now
	r.log.Info("configuration reloaded", "changed", changed)
}

func (r *reloader) refuse(changed []string, err error) {
	r.log.Error("configuration not reloaded, the old one stays in force", "changed", changed, "error", err)
}
