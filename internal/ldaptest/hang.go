package ldaptest

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// hang has the kernel drop the SYN of new connections: a socket listens, its
// queue is full, and nobody accepts from it (listen(2)). Open connections
// stay. close and open end it.
func (l *listener) hang() error {
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	var queue []net.Conn
	l.hung = func() {
		_ = syscall.Close(fd)
		for _, c := range queue {
			_ = c.Close()
		}
	}
	addr := &syscall.SockaddrInet4{Port: l.port.number, Addr: [4]byte{127, 0, 0, 1}}
	for _, step := range []func() error{
		func() error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) },
		func() error { return syscall.Bind(fd, addr) },
		func() error { return syscall.Listen(fd, 0) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("listen on %s without accepting: %w", l.port.addr(), err)
		}
	}
	for range 8 {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		c, err := new(net.Dialer).DialContext(ctx, "tcp", l.port.addr())
		cancel()
		if err != nil {
			return nil // the queue is full
		}
		queue = append(queue, c)
	}
	return fmt.Errorf("the queue of %s does not fill", l.port.addr())
}
