package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"authsvc/api"
	"authsvc/ldappool"
)

// statusInterval is how often the line that systemctl status shows is looked at.
const statusInterval = time.Second

// reportToManager tells the service manager how the service is, and, at half of the time within
// which it expects that, that the service is alive. It returns when ctx ends.
func (a *App) reportToManager(ctx context.Context) {
	var beats <-chan time.Time
	pace := a.manager.Watchdog() / 2
	if pace > 0 {
		ticks := time.NewTicker(pace)
		defer ticks.Stop()
		beats = ticks.C
	}
	looks := time.NewTicker(statusInterval)
	defer looks.Stop()
	self, told := newSelfProbe(a.main, a.tls.Load() != nil, pace), ""
	for {
		if now := a.statusLine(); now != told {
			a.manager.Status(now)
			told = now
		}
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
		case <-beats:
			// A lock that is never released holds up Stat, and so the report.
			a.pool.Stat()
			if err := self.ask(ctx); err == nil {
				a.manager.Alive()
			} else if ctx.Err() == nil {
				a.log.Error("no answer from the own listener", "error", err, "action", "the service manager is not told that the service is alive, and may restart it")
			}
		}
	}
}

// statusLine describes the service in a line.
func (a *App) statusLine() string {
	stat := a.pool.Stat()
	usable := 0
	for _, s := range stat.Servers {
		if s.State == ldappool.ServerUsable {
			usable++
		}
	}
	line := fmt.Sprintf("Serving. %d of %d directory servers usable.", usable, len(stat.Servers))
	if _, problem := a.ready.state(); problem != "" {
		line += " Logins cannot succeed: run authsvc check."
	}
	return line
}

// selfProbe asks the service's own listener whether it answers.
type selfProbe struct {
	listener listener
	url      string
	client   *http.Client
	answered bool // once
}

// newSelfProbe returns a selfProbe of a listener with or without TLS that waits for an answer for a
// time.
func newSelfProbe(l listener, secure bool, wait time.Duration) *selfProbe {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return &selfProbe{listener: l, url: scheme + "://localhost" + api.PathLive, client: &http.Client{
		Timeout: wait,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
				for _, addr := range fromHere(l.Addr()) {
					if conn, err = new(net.Dialer).DialContext(ctx, network, addr); err == nil {
						break
					}
				}
				return conn, err
			},
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it asks itself
		},
	}}
}

// ask returns an error if the listener does not answer. At the limit on connections the listener
// may close this one for another: then it is alive. It is also taken for alive if no request to it
// has ever been answered, because a packet filter may be the cause.
func (p *selfProbe) ask(ctx context.Context) error {
	before := p.listener.Stat()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err == nil {
		_ = resp.Body.Close() // the status says it all
		p.answered = p.answered || resp.StatusCode == http.StatusOK
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
	}
	after := p.listener.Stat()
	if !p.answered || after.Open >= after.Max || after.Dropped > before.Dropped {
		return nil
	}
	return err
}

// fromHere returns where a listener at addr may be reached from this machine.
func fromHere(addr net.Addr) []string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return []string{addr.String()}
	}
	port := strconv.Itoa(tcp.Port)
	if tcp.IP.To4() != nil {
		return []string{net.JoinHostPort("127.0.0.1", port)}
	}
	return []string{net.JoinHostPort("::1", port), net.JoinHostPort("127.0.0.1", port)} // IPv6 may be off, or be all
}
