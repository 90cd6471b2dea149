// Package systemd talks to the service manager that started the process: it takes the listening
// sockets that the manager passes (sd_listen_fds(3)) and tells the manager how the service is
// (sd_notify(3)). Without such a manager it does nothing.
package systemd
