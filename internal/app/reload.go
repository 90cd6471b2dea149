package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"authsvc/config"
	"authsvc/internal/readfile"
	"authsvc/internal/systemd"
	"authsvc/ldappool"
)

// pollFiles is how often the files with secrets and certificates are looked at. They are few and
// small, and reading them finds every kind of change: written in place, renamed over, or
// Kubernetes' swap of a symlink two directories up, of which a watch on the file itself sees
// nothing.
const pollFiles = time.Second

// reloader makes the running service adopt what the files that its settings name hold now. Each
// group of files is on its own: one that is wrong, unreadable or being written does not delay
// another.
type reloader struct {
	groups []*fileGroup
	log    *slog.Logger
	adopt  func(listenerFiles)         // by the main listener
	pool   func(ldappool.Config) error // by the pool
	now    inForce
	asked  <-chan os.Signal // to reread all files immediately; may be nil

	manager *systemd.Notifier // reports a reload that was asked for; may be nil
}

// contents are the states of files: the hash of what a file holds, so that no secret is kept a
// second time, or why it cannot be read.
type contents map[string]string

// States of files that cannot be read. No hash is as short.
const (
	absent     = "absent"
	unreadable = "unreadable"
)

// lookWait is how long a look waits for the writer of a pipe in a file's place.
const lookWait = 10 * time.Millisecond

// look reads the files.
func look(files []string) contents {
	c := contents{}
	for _, file := range files {
		content, err := readfile.Read(file, lookWait)
		hash := sha256.Sum256(content)
		switch {
		case err == nil:
			c[file] = string(hash[:])
		case errors.Is(err, fs.ErrNotExist):
			c[file] = absent
		default:
			c[file] = unreadable
		}
	}
	return c
}

// changed lists the files that differ, in order.
func (c contents) changed(from contents) []string {
	files := []string{} // in the log, none is [] and not null
	for file, state := range c {
		if from[file] != state {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	return files
}

// run adopts changes until ctx ends: at once when asked to, and otherwise when a group's files have
// been the same for two looks. So a file that is being written is not taken for whole, and one that
// an editor replaces is not taken for deleted.
func (r *reloader) run(ctx context.Context) {
	ticks := time.NewTicker(pollFiles)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
			r.manager.Reloading()
			r.reload(r.groups, true)
			r.manager.Ready()
		case <-ticks.C:
			if settled := r.settled(); len(settled) > 0 {
				r.reload(settled, false)
			}
		}
	}
}

// maxUnsettled is at how many looks in a row the files of callers may have changed before they are
// read all the same: a file that is rewritten without end must not keep a caller admitted that it
// no longer has.
const maxUnsettled = 10

// settled looks at all files and returns the groups that changed, but not since the last look.
func (r *reloader) settled() (settled []*fileGroup) {
	for _, g := range r.groups {
		now := look(g.files)
		switch {
		case maps.Equal(now, g.judged):
			g.unsettled = 0
		case maps.Equal(now, g.seen), !g.directory && g.unsettled >= maxUnsettled:
			g.unsettled = 0
			settled = append(settled, g)
		default:
			g.unsettled++
		}
		g.seen = now
	}
	return settled
}

// reload adopts what the groups' files hold now, each group's or, where that is wrong, nothing of
// the group. If asked, the pool tries a refused service bind again although nothing changed.
func (r *reloader) reload(groups []*fileGroup, asked bool) {
	next, poolAsked := r.now, asked
	for _, g := range groups {
		g.reread(&next)
		poolAsked = poolAsked || g.directory && g.adopted
	}
	r.adopt(next.files)
	password := next.pool.BindPassword
	if ends := config.NewSecret(password).SuspiciousEnds(); ends != "" && password != r.now.pool.BindPassword {
		r.log.Warn("new bind password begins or ends with an unusual character",
			"variable", "LDAP_BIND_PASSWORD_FILE", "secret", ends)
	}
	if poolAsked {
		if err := r.pool(next.pool); err != nil {
			next.pool = r.now.pool
			for _, g := range groups {
				if g.directory && g.adopted {
					g.err, g.adopted = err, false
				}
			}
		}
	}
	r.now = next
	silent := true
	for _, g := range groups {
		if g.adopted {
			g.applied = g.judged
		}
		silent = !g.report(r.log) && silent
	}
	if asked && silent {
		r.log.Info("configuration reloaded", "changed", []string{})
	}
}
