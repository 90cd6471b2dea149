package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets returns the listening sockets that the service manager passes to this process, by the
// names in LISTEN_FDNAMES (FileDescriptorName= of a socket unit), each of which must be one of
// names. If only one socket is passed, it may have any name, and is the one of the first of names.
// Sockets removes the LISTEN_ variables from the environment. Its error names each socket that
// cannot be used.
func Sockets(names ...string) (map[string]net.Listener, error) {
	files := activation.Files(true)
	sockets := make(map[string]net.Listener, len(files))
	var wrong []error
	for _, file := range files {
		name := file.Name()
		if len(files) == 1 && !slices.Contains(names, name) {
			name = names[0]
		}
		l, err := listenerOf(file)
		switch {
		case err != nil:
		case !slices.Contains(names, name):
			err = fmt.Errorf("FileDescriptorName must be one of %s if several sockets are passed", strings.Join(names, ", "))
		case sockets[name] != nil:
			err = errors.New("only one socket may have this name")
		default:
			sockets[name] = l
			continue
		}
		wrong = append(wrong, fmt.Errorf("socket %q of the service manager: %w", file.Name(), err))
		if l != nil {
			_ = l.Close() // nothing was accepted of it here
		}
	}
	if wrong != nil {
		for _, l := range sockets {
			_ = l.Close() // as above
		}
		return nil, errors.Join(wrong...)
	}
	return sockets, nil
}

// listenerOf returns the listener of a socket, and closes the file.
func listenerOf(file *os.File) (net.Listener, error) {
	defer file.Close() // the listener has its own descriptor
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("not a listening stream socket: %w", err)
	}
	if _, ok := l.(*net.TCPListener); !ok {
		_ = l.Close() // as in Sockets
		return nil, fmt.Errorf("must be a TCP socket (ListenStream=8080), not %s", l.Addr().Network())
	}
	return l, nil
}
