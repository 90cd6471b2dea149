package app

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"authsvc/api"
	"authsvc/config"
	"authsvc/ldappool"
)

// inForce is what the service has from files, as it is used now.
type inForce struct {
	pool  ldappool.Config
	files listenerFiles // of the main listener
}

// fileGroup is the files of one setting, which are adopted together.
type fileGroup struct {
	files     []string
	directory bool // they are about the directory, not about callers
	// take reads the files into next. What it leaves as it is stays in force. With a *fewerCallers
	// it changed next all the same.
	take func(next *inForce) error
	// warn returns what of the files is not used; nil where nothing can be left out.
	warn func() []string

	seen    contents // at the last look
	judged  contents // when they were last read for use
	applied contents // what is in force; nil where that is no state of the files

	unsettled int // looks in a row at which the files had changed since the one before

	// What became of the last reread.
	changed  []string
	adopted  bool
	err      error
	warnings []string
}

// fewerCallers is the error of a file that admits or denies callers and is wrong, empty or gone.
// Nothing may delay that a caller is refused, so what such a file no longer admits is refused, and
// what it still or newly denies is denied.
type fewerCallers struct {
	err    error
	action string
}

func (e *fewerCallers) Error() string { return e.err.Error() }

// fileGroups lists the groups that a configuration has, and looks at their files. It must be called
// before the files are read for the start: what changes after this look is adopted, even if the
// service read the old content after it.
func fileGroups(cfg *config.Config) (groups []*fileGroup) {
	l, h := &cfg.LDAP, &cfg.HTTP
	add := func(directory bool, take func(*inForce) error, files ...string) {
		files = slices.DeleteFunc(files, func(file string) bool { return file == "" })
		if len(files) > 0 {
			now := look(files)
			groups = append(groups, &fileGroup{files: files, directory: directory, take: take, seen: now, judged: now, applied: now})
		}
	}
	add(false, func(next *inForce) error { return takeKeys(&cfg.Auth, next) }, cfg.Auth.APIKeysFile)
	addAuthorities := func(directory bool, take func(*inForce) error, variable, file string) {
		if file != "" {
			add(directory, take, file)
			groups[len(groups)-1].warn = func() []string { return config.LostAuthorities(variable, file) }
		}
	}
	addAuthorities(false, func(next *inForce) error { return takeClientCAs(h, next) }, "HTTP_TLS_CLIENT_CA_FILE", h.TLSClientCAFile)
	add(false, func(next *inForce) error { return takeDenied(h, next) }, h.TLSClientDenyFile)
	add(false, func(next *inForce) error { return takeListenerPair(h, next) }, h.TLSCertFile, h.TLSKeyFile)
	add(true, func(next *inForce) error { return takeBindPassword(l, next) }, l.BindPasswordFile)
	if l.BindPasswordFile != "" && l.HasNewBindPassword() {
		password := groups[len(groups)-1]
		password.judged, password.applied = nil, nil // unlike the other files, it was read before this look
	}
	addAuthorities(true, func(next *inForce) error { return takeRootCAs(l, next) }, "LDAP_CA_FILE", l.CAFile)
	add(true, func(next *inForce) error { return takeDirectoryPair(l, next) }, l.CertFile, l.KeyFile)
	return groups
}

// reread takes what the files hold into next, unless that is in force already.
func (g *fileGroup) reread(next *inForce) {
	now := look(g.files) // before they are read: what changes meanwhile is seen at the next look
	g.changed, g.judged = now.changed(g.judged), now
	g.err, g.adopted, g.warnings = nil, false, nil
	if maps.Equal(now, g.applied) {
		return
	}
	g.err = g.take(next)
	if g.adopted = g.err == nil; g.adopted && g.warn != nil {
		g.warnings = g.warn()
	}
	if !maps.Equal(look(g.files), now) {
		g.judged = nil // what was read may be any of several states: read it again
	}
	if _, fewer := errors.AsType[*fewerCallers](g.err); fewer {
		g.applied = nil
	}
}

// report logs what became of the last reread and reports whether there was anything to say.
func (g *fileGroup) report(log *slog.Logger) bool {
	var fewer *fewerCallers
	switch {
	case errors.As(g.err, &fewer):
		log.Error("file of callers invalid, empty or missing", "changed", g.changed, "error", fewer.err, "action", fewer.action)
	case g.err != nil:
		log.Error("configuration not reloaded, the previous one stays in use", "changed", g.changed, "error", g.err)
	case g.adopted || len(g.changed) > 0:
		log.Info("configuration reloaded", "changed", g.changed)
		for _, warning := range g.warnings {
			log.Warn(deservesALook, "warning", warning)
		}
	default:
		return false
	}
	return true
}

// errNoKey is the error of a file that has no line with a key.
var errNoKey = errors.New("AUTH_API_KEYS_FILE: contains no key")

// takeKeys takes the API keys. A file that is empty or deleted admits no key.
func takeKeys(a *config.Auth, next *inForce) error {
	keys, err := a.APIKeys()
	held := apiKeys(keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		next.files.callers.Keys = apiKeys(nil)
		return &fewerCallers{err, "every API key is refused"}
	case keys == nil:
		return err
	case err != nil:
		next.files.callers.Keys = slices.DeleteFunc(slices.Clone(next.files.callers.Keys), func(k api.Key) bool {
			return !slices.ContainsFunc(held, func(h api.Key) bool { return h.SHA256 == k.SHA256 })
		})
		return &fewerCallers{err, "keys removed from the file are refused; new ones are not accepted until the file is valid"}
	}
	next.files.callers.Keys = held
	if len(held) == 0 {
		return &fewerCallers{errNoKey, "every API key is refused"}
	}
	return nil
}

// takeClientCAs takes the authorities of callers' certificates. A file that is empty, deleted or
// anything but certificates admits none.
func takeClientCAs(h *config.HTTP, next *inForce) error {
	pool, err := h.ClientCAs()
	if pool == nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next.files = next.files.withClientCAs(pool)
	if err != nil {
		return &fewerCallers{err, "every caller's certificate is refused"}
	}
	return nil
}

// takeDenied takes the denied certificates. A file that is wrong adds to those that are denied, and
// removes none.
func takeDenied(h *config.HTTP, next *inForce) error {
	denied, err := h.DeniedCertificates()
	if err == nil {
		next.files.callers.Denied = denied
		return nil
	}
	all := map[[sha256.Size]byte]bool{}
	maps.Copy(all, denied)
	maps.Copy(all, next.files.callers.Denied)
	next.files.callers.Denied = all
	return &fewerCallers{err, "certificates that are already denied stay denied"}
}

// takeListenerPair takes the main listener's certificate and key.
func takeListenerPair(h *config.HTTP, next *inForce) error {
	certs, err := h.KeyPair()
	if err != nil {
		return err
	}
	next.files.tls = next.files.tls.Clone()
	next.files.tls.Certificates = certs
	return nil
}

// takeBindPassword takes the service identity's password.
func takeBindPassword(l *config.LDAP, next *inForce) error {
	password, err := l.ReadBindPassword()
	if err != nil {
		return err
	}
	next.pool.BindPassword = password.Reveal()
	return nil
}

// takeRootCAs takes the authorities of the directory's certificate. Connections are replaced for
// another [tls.Config] only.
func takeRootCAs(l *config.LDAP, next *inForce) error {
	pool, err := l.RootCAs()
	if err != nil {
		return err
	}
	next.pool.TLS = next.pool.TLS.Clone()
	next.pool.TLS.RootCAs, next.pool.Authorities = pool, l.Authorities()
	return nil
}

// takeDirectoryPair takes the certificate for the directory and its key.
func takeDirectoryPair(l *config.LDAP, next *inForce) error {
	certs, err := l.KeyPair()
	if err != nil {
		return err
	}
	next.pool.TLS = next.pool.TLS.Clone()
	next.pool.TLS.Certificates = certs
	return nil
}
