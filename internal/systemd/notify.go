package systemd

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells the service manager about the service. A nil Notifier tells nothing, and neither
// does one if the process was not started by such a manager.
type Notifier struct {
	log      *slog.Logger
	watchdog time.Duration
	failing  atomic.Bool // since a warning
}

// NewNotifier returns a Notifier. Its error is a WATCHDOG_USEC or WATCHDOG_PID that is wrong.
func NewNotifier(log *slog.Logger) (*Notifier, error) {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, err
	}
	return &Notifier{log: log, watchdog: watchdog}, nil
}

// Watchdog returns the time within which the manager expects the next [Notifier.Alive] (WatchdogSec
// of the unit), or 0 if it expects none.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready tells that the service serves, or that it has reloaded its configuration.
func (n *Notifier) Ready() { n.tell(daemon.SdNotifyReady) }

// Reloading tells that the service begins to reload its configuration. Ready must follow.
func (n *Notifier) Reloading() {
	n.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec()) // when, for Type=notify-reload
}

// Stopping tells that the service begins to stop, and that the manager must give it a time to do
// so.
func (n *Notifier) Stopping(within time.Duration) {
	n.tell(daemon.SdNotifyStopping, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()), "STATUS=Shutting down.")
}

// Status tells what systemctl status shows: one line.
func (n *Notifier) Status(line string) { n.tell("STATUS=" + line) }

// Alive tells that the service is alive.
func (n *Notifier) Alive() { n.tell(daemon.SdNotifyWatchdog) }

// tell sends assignments in one message. A failure is logged, once until it has succeeded again.
func (n *Notifier) tell(assignments ...string) {
	if n == nil {
		return
	}
	_, err := daemon.SdNotify(false, strings.Join(assignments, "\n"))
	if failed := err != nil; n.failing.Swap(failed) != failed && failed {
		n.log.Warn("service manager not notified", "error", err)
	}
}
