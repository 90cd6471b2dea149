package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutTUN lets OpenVPN serve where it may not make a network interface, as in a container:
// packets for the interface go nowhere.
const withoutTUN = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int tun[2] = {-1, -1};

int open64(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	int mode = va_arg(ap, int);
	va_end(ap);
	if (strcmp(path, "/dev/net/tun") == 0)
		return socketpair(AF_UNIX, SOCK_DGRAM, 0, tun) == 0 ? tun[0] : -1;
	return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64"))(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	int mode = va_arg(ap, int);
	va_end(ap);
	return open64(path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	va_start(ap, request);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	if (fd == tun[0])
		return 0;
	return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, request, arg);
}
`

// vpn is an OpenVPN server with deploy/openvpn.
type vpn struct {
	f    *frontage
	port string
}

// startVPN starts an OpenVPN server.
func startVPN(t *testing.T, f *frontage) *vpn {
	t.Helper()
	f.program()
	f.write("authsvc-login", f.recipe("openvpn/authsvc-login", nil))
	require.NoError(t, os.Chmod(f.path("authsvc-login"), 0o700)) //nolint:gosec // OpenVPN runs it
	f.write("tun.c", withoutTUN)
	out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", f.path("tun.so"), f.path("tun.c"), "-ldl").CombinedOutput()
	require.NoError(t, err, string(out))
	cert := f.ca.Issue(t, ldaptest.CertConfig{})
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.LocalAddr().String())
	require.NoError(t, err)
	f.write("server.conf", fmt.Sprintf("mode server\ntls-server\nproto udp4\nlocal 127.0.0.1\nport %s\ndev tun\ndisable-dco\ntopology subnet\nifconfig 192.0.2.1 255.255.255.0\nifconfig-noexec\n"+
		"dh none\nca %s\ncert %s\nkey %s\nverify-client-cert none\nverb 3\ntmp-dir %s\n", port, f.ca.File(), cert.CertFile, cert.KeyFile, f.files)+
		f.recipe("openvpn/authsvc.conf", map[string]string{"/etc/openvpn/authsvc-login": f.path("authsvc-login")}))
	require.NoError(t, l.Close())
	cmd := exec.Command(tool(t, "openvpn"), "--config", f.path("server.conf"))
	cmd.Env = []string{"LD_PRELOAD=" + f.path("tun.so")}
	logged, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	ready, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder // read when ended is closed
	go func() {
		defer close(ended)
		said := everything.Writer("output of openvpn", &log)
		for lines := bufio.NewScanner(logged); lines.Scan(); {
			fmt.Fprintln(said, lines.Text())
			if strings.Contains(lines.Text(), "Initialization Sequence Completed") {
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		_ = cmd.Wait() // by a signal
		if t.Failed() {
			t.Log(log.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("OpenVPN has ended: run scripts/install-test-deps as root")
	}
	return &vpn{f: f, port: port}
}

// vpnAnswer finds what a client was answered in what it prints.
var vpnAnswer = regexp.MustCompile(`AUTH_FAILED.*|Initialization Sequence Completed`)

// login connects an OpenVPN client from 127.0.0.9 and returns what the server answers.
func (v *vpn) login(user, password string) string {
	v.f.t.Helper()
	v.f.write("login", user+"\n"+password+"\n")
	cmd := exec.Command(tool(v.f.t, "openvpn"), "--client", "--dev", "null", "--ifconfig-noexec", "--route-noexec", "--proto", "udp4", "--remote", "127.0.0.1", v.port,
		"--local", "127.0.0.9", "--lport", "0", "--ca", v.f.ca.File(), "--remote-cert-tls", "server", "--auth-user-pass", v.f.path("login"), "--auth-retry", "none", "--verb", "3")
	said, err := cmd.StdoutPipe()
	require.NoError(v.f.t, err)
	require.NoError(v.f.t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // by a signal
	}()
	var all strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		fmt.Fprintln(&all, lines.Text())
		if answer := vpnAnswer.FindString(lines.Text()); answer != "" {
			everything.Wrote("openvpn", []byte(all.String()))
			return answer
		}
	}
	require.Fail(v.f.t, "the client has no answer", all.String())
	return ""
}

// TestRecipe_OpenVPN runs deploy/openvpn with the real OpenVPN as server and client.
func TestRecipe_OpenVPN(t *testing.T) {
	t.Parallel()
	f := startFrontageTo(t, recipesSlapd(t), "HTTP_TRUSTED_PROXIES=127.0.0.1,::1")
	v := startVPN(t, f)
	const accepted, rejected, again = "Initialization Sequence Completed", "AUTH_FAILED", "AUTH_FAILED,TEMP"

	assert.Equal(t, accepted, v.login("user1", ldaptest.Password(1)))
	assert.Contains(t, f.p.logged(), `"client":"127.0.0.9"`, "the throttle takes all users for one client")
	assert.Equal(t, accepted, v.login(oddUser, oddPassword))
	assert.Equal(t, rejected, v.login("user1", "wr0ng-w0rd"))
	assert.Equal(t, rejected, v.login("nobody", ldaptest.Password(1)))
	f.p.end(t)
	assert.Equal(t, again, v.login("user2", ldaptest.Password(2)))
	left, err := os.ReadDir(f.files)
	require.NoError(t, err)
	for _, file := range left {
		assert.NotContains(t, file.Name(), "openvpn_up_", "a file with a password is left")
	}
}
