package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"authsvc/api"
	"authsvc/config"
)

// healthcheckTimeout is how long the local service may take to say how it is.
const healthcheckTimeout = 3 * time.Second

// healthcheck asks the local service's /healthz, for a container that holds no other client.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	f := p.flags("healthcheck", "Requests /healthz from the service at HTTP_ADDR on this machine. Exit code 0: a directory server is\nusable. 1: no server is usable, or the service does not answer.")
	if err := p.parse(f, args); err != nil {
		return err
	}
	listen, err := config.HTTPAddr(p.environ)
	if err != nil {
		return &usageError{err}
	}
	addr, err := localAddr(listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	scheme := "http"
	if config.HTTPS(p.environ) {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr+api.PathHealth, nil)
	if err != nil {
		return err
	}
	// A transport of its own: the service is on this machine, no proxy of the environment is
	// between. The certificate is not verified: it is for the name that callers know, which is not
	// where this machine is reached at, and nothing is sent that a stranger must not see. /healthz
	// needs neither key nor certificate of the caller.
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("the service does not answer: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // its code says it all
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusServiceUnavailable:
		return errors.New("no directory server is usable")
	}
	return fmt.Errorf("unexpected answer %s from %s: set HTTP_ADDR and HTTP_TLS_CERT_FILE here as for the service", resp.Status, req.URL)
}

// localAddr is where to reach a listener from this machine: on loopback where it listens
// everywhere.
func localAddr(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}
