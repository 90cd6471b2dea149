package config_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"authsvc/config"
)

// FuzzLoad loads any environment, one variable a line, with any password. Load never panics, a
// rejected environment yields variables with reasons, and no output has the password in it.
func FuzzLoad(f *testing.F) {
	for _, lines := range fuzzSeeds() {
		f.Add(lines, password)
	}
	f.Fuzz(func(t *testing.T, lines, secret string) {
		environ := strings.Split(lines, "\n")
		for _, v := range environ {
			// Only ordinary files are under test. Reading a pipe would never end.
			if name, path := cut(v); strings.HasSuffix(name, "_FILE") && !regular(path) {
				t.Skip()
			}
		}
		environ = append(environ, "LDAP_BIND_PASSWORD="+secret)
		c, err := config.Load(environ)
		var wrong *config.Error
		switch {
		case err == nil && secret != "" && c.LDAP.BindPassword.Reveal() != secret:
			t.Fatal("the password is another one")
		case err == nil && c.LDAP.External() && c.LDAP.BindPassword.Reveal() != "":
			t.Fatal("a password that nothing uses")
		case err == nil:
			if _, err := c.LDAP.TLSConfig(); err != nil {
				t.Fatal(err)
			}
		case !errors.As(err, &wrong) || len(wrong.Problems) == 0:
			t.Fatalf("%T: %v", err, err)
		default:
			for _, p := range wrong.Problems {
				if p.Variable == "" || p.Text == "" {
					t.Fatalf("a problem without a name or a reason: %+v", p)
				}
			}
		}
		// A short password may occur by chance. So may one that is also in the output for another
		// password.
		if len(secret) < 4 || strings.Contains(lines, secret) || !strings.Contains(said(environ), secret) {
			return
		}
		if !strings.Contains(said(append(environ, "LDAP_BIND_PASSWORD=\x00")), secret) {
			t.Fatalf("the password %q is in:\n%s", secret, said(environ))
		}
	})
}

// said returns all output about an environment: its problems, or the configuration that it yields.
func said(environ []string) string {
	c, err := config.Load(environ)
	if err != nil {
		return err.Error()
	}
	var settings strings.Builder
	_ = c.WriteSettings(&settings) // a strings.Builder takes everything
	return fmt.Sprintf("%v %+v %#v", c, c, c) + settings.String()
}

// regular reports whether a path is an ordinary file or does not exist.
func regular(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

// fuzzSeeds returns valid environments, and environments that break each rule.
func fuzzSeeds() []string {
	seeds := []string{"", "=", "LDAP_URL", strings.Join(template(), "\n")}
	base := strings.Join([]string{"LDAP_URL=ldap://a:389,ldaps://[::1],ldapi://%2fs", "LDAP_BASE_DN=dc=x;dc=y", "LDAP_BIND_DN=cn=s"}, "\n") + "\n"
	for _, v := range []string{
		"LDAP_URL=ldap://u:p@h,", "LDAP_URL=ldap://[fe80::1%25e]", "LDAP_BASE_DN=dc=x\\", "LDAP_USER_FILTER=(&(a=*{username}*)(b:dn:=x))",
		"LDAP_USER_FILTER=({username}=\\2a)", "LDAP_USER_DN_TEMPLATE=uid={username}+cn=#04", "LDAP_ATTRIBUTES=a,,b", "LDAP_POOL_MAX_CONNS=1",
		"LDAP_POOL_MIN_IDLE_CONNS=99", "LDAP_DIAL_TIMEOUT=-1ns", "HTTP_ADDR=[::]:0\nADMIN_ADDR=", "HTTP_TRUSTED_PROXIES=::/0,1.2.3.4",
		"LOG_LEVEL=debug-4", "LOG_FORMAT=\x1b[2J\xff", "LDAP_UR_L=x", "LDAP_PRESET=ad", "HTTP_PROXY=http://u:p@h", "LDAP_START_TLS=T",
		"LDAP_BIND_METHOD=external", "LDAP_BIND_METHOD=external\nLDAP_URL=ldapi://%2fs\nLDAP_BIND_DN=",
		"LDAP_BIND_PASSWORD_FILE=/nonexistent", "LDAP_CA_FILE=/nonexistent", "LDAP_TLS_MIN_VERSION=1.3\nLDAP_TLS_SERVER_NAME=a b",
	} {
		seeds = append(seeds, base+v)
	}
	return seeds
}
