package ldaptest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// provisionLife is how long a provisioned domain is copied. Its passwords live for 42 days.
const provisionLife = 24 * time.Hour

// copyDomain copies the provisioned domain into the test's own folder. Making one takes samba-tool
// 10 to 30 s, so tests of all packages and runs share it: a lock on a file makes the others wait
// for the first.
func (s *Samba) copyDomain() {
	s.t.Helper()
	cache := filepath.Join(os.TempDir(), "ldaptest-samba-"+strconv.Itoa(os.Getuid()))
	if err := ownFolder(cache); err != nil {
		s.t.Fatal(err)
	}
	defer lockFolder(s.t, cache)()
	domain := provisioned(s.t, cache)
	for _, part := range []string{"private", "state"} {
		if out, err := exec.Command("cp", "-a", filepath.Join(domain, part), s.dir).CombinedOutput(); err != nil {
			s.t.Fatalf("copy the domain: %v\n%s", err, out)
		}
	}
}

// provisioned is the folder in cache of a domain that nobody serves. It is never changed, only
// replaced when it is old.
func provisioned(tb testing.TB, cache string) string {
	tb.Helper()
	tool := findSamba(tb, "samba-tool")
	args := []string{
		"domain", "provision", "--realm=AD.EXAMPLE.ORG", "--domain=" + SambaNetBIOSName, "--host-name=dc",
		"--server-role=dc", "--dns-backend=NONE", "--use-rfc2307", "--adminpass=" + SambaAdminPassword,
		// Keeps files' security attributes in a database. On files themselves they need
		// CAP_SYS_ADMIN, which a container lacks.
		"--option=posix:eadb=" + filepath.Join(cache, "eadb.tdb"),
	}
	version, err := exec.Command(tool, "--version").Output()
	if err != nil {
		tb.Fatalf("samba-tool --version: %v", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q", version, args))
	domain := filepath.Join(cache, fmt.Sprintf("%x", sum[:8]))
	if info, err := os.Stat(domain); err == nil && time.Since(info.ModTime()) < provisionLife {
		return domain
	}
	fresh := domain + ".new"
	for _, dir := range []string{fresh, domain} {
		if err := os.RemoveAll(dir); err != nil {
			tb.Fatal(err)
		}
	}
	if out, err := exec.Command(tool, append(args, "--targetdir="+fresh)...).CombinedOutput(); err != nil {
		tb.Fatalf("samba-tool domain provision: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, domain); err != nil {
		tb.Fatal(err)
	}
	return domain
}

// ownFolder makes a folder that nobody else may read or have made.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(stat.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a folder of this user alone: remove it", dir)
	}
	return nil
}

// lockFolder waits until no other process has the folder; the kernel unlocks for one that dies.
func lockFolder(tb testing.TB, dir string) (unlock func()) {
	tb.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		tb.Fatalf("lock %s: %v", f.Name(), err)
	}
	return func() { _ = f.Close() }
}

// claimHost takes a loopback address that no other test has. A listener there on the first of this
// package's ports owns it, as with the ports of other servers; it works between processes, and ends
// with the process.
func (s *Samba) claimHost() {
	s.t.Helper()
	var last error
	for range 100 {
		//nolint:gosec // an address is no secret
		host := net.IPv4(127, byte(64+rand.IntN(64)), byte(rand.IntN(256)), byte(1+rand.IntN(254))).String()
		guard, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(firstPort)))
		if err == nil {
			s.host = &port{number: firstPort, guard: guard}
			return
		}
		last = err
	}
	s.t.Fatalf("no free loopback address: %v", last)
}

// utf16LE encodes a string in UTF-16, low byte first.
func utf16LE(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}
