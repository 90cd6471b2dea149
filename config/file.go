package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"authsvc/internal/readfile"
)

// A variable that names a file may hold a secret by mistake: LDAP_BIND_PASSWORD_FILE=the-password.
// So a path is repeated only where it looks like one.

// shownPath is a path as an error may repeat it: itself, where it leads somewhere or looks like a
// path, or else a word for it.
func shownPath(path string) string {
	if _, err := os.Lstat(path); err == nil || looksLikePath(path) {
		return path
	}
	return "named by it"
}

// looksLikePath reports whether s is written as people write paths to such files, and seldom
// passwords: from the root or from here, of two names at least, in letters, digits, dots, dashes
// and underscores.
func looksLikePath(s string) bool {
	rooted := strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
	other := func(r rune) bool {
		return !strings.ContainsRune("/._-", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return rooted && strings.Contains(strings.Trim(s, "./"), "/") && !strings.ContainsFunc(s, other)
}

// fileReason is an error of the file system without the path that it repeats.
func fileReason(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// readFile reads a file that a variable names. Its error names the file, if that looks like one.
func readFile(path string) ([]byte, error) {
	content, err := readfile.Read(path, readfile.PipeWait)
	if err != nil {
		return nil, fmt.Errorf("the file %s cannot be read: %w", shownPath(path), fileReason(err))
	}
	return content, nil
}

// warnOfFiles warns of files that others than their owner may change, and of those with secrets
// that everybody may read.
func (c *Config) warnOfFiles() {
	read := func(variable, path string, secret bool) {
		if path == "" {
			return
		}
		if why := exposed(path, secret); why != "" {
			c.Warnings = append(c.Warnings, variable+": "+why)
		}
	}
	l, h := &c.LDAP, &c.HTTP
	for _, s := range c.settings {
		if path, ok := strings.CutPrefix(s.Source, fileSource); ok {
			read(s.Name+fileSuffix, path, true)
		}
	}
	read("LDAP_CA_FILE", l.CAFile, false)
	read("LDAP_CERT_FILE", l.CertFile, false)
	read("LDAP_KEY_FILE", l.KeyFile, true)
	read(redisCA, c.Auth.ThrottleRedisCAFile, false)
	read(redisCert, c.Auth.ThrottleRedisCertFile, false)
	read(redisKey, c.Auth.ThrottleRedisKeyFile, true)
	read("HTTP_TLS_CERT_FILE", h.TLSCertFile, false)
	read("HTTP_TLS_KEY_FILE", h.TLSKeyFile, true)
	read("HTTP_TLS_CLIENT_CA_FILE", h.TLSClientCAFile, false)
	read("HTTP_TLS_CLIENT_DENY_FILE", h.TLSClientDenyFile, false)
	read("AUTH_API_KEYS_FILE", c.Auth.APIKeysFile, false) // it has hashes
}

// exposed says who else may change a file, or read it where it is secret; nothing where only its
// owner may. What a symbolic link leads to counts, and the folders in which others may put another
// file or link in place of it or of a link to it.
func exposed(path string, secret bool) string {
	const groupWrites, othersWrite, othersRead = 0o020, 0o002, 0o004
	target := path
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		target = resolved
	}
	file, err := os.Stat(target)
	if err != nil {
		return "" // it was read a moment ago; the next reload says what is wrong
	}
	if file.Mode()&(groupWrites|othersWrite) != 0 {
		return fmt.Sprintf("%s can be changed by users other than its owner (mode %04o): run chmod go-w on it", target, file.Mode().Perm())
	}
	for _, at := range append(linksOf(path), target) {
		folder, err := os.Stat(filepath.Dir(at))
		if err == nil && folder.Mode()&othersWrite != 0 && folder.Mode()&os.ModeSticky == 0 {
			return fmt.Sprintf("%s can be replaced by any user, because its folder is writable (mode %04o): run chmod o-w on the folder", at, folder.Mode().Perm())
		}
	}
	if secret && file.Mode()&othersRead != 0 {
		return fmt.Sprintf("%s can be read by any user (mode %04o): run chmod o-r on it", target, file.Mode().Perm())
	}
	return ""
}

// linksOf lists the symbolic links that lead from path to a file, path first.
func linksOf(path string) (links []string) {
	const most = 40 // as Linux has it
	for range most {
		target, err := os.Readlink(path)
		if err != nil {
			return links
		}
		links = append(links, path)
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return links
}
