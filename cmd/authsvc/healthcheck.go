package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
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

// healthcheck asks the local service how it is, for a container that holds no other client.
func (p *program) healthcheck(ctx context.Context, args []string) error {
	f := p.flags("healthcheck", "Requests /healthz and /readyz from the service at HTTP_ADDR on this machine. Exit code 0: a directory\nserver is usable. 1: no server is usable, or the service is shutting down or does not answer.")
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
	base := scheme + "://" + addr
	switch status, _, err := askProbe(ctx, base+api.PathHealth); {
	case err != nil:
		return err
	case status == http.StatusServiceUnavailable:
		return errors.New("no directory server is usable")
	case status != http.StatusOK:
		return fmt.Errorf("unexpected answer %d from %s: set HTTP_ADDR and HTTP_TLS_CERT_FILE here as for the service", status, base+api.PathHealth)
	}
	_, probe, err := askProbe(ctx, base+api.PathReady)
	if err == nil && probe == api.ProbeDraining {
		err = errors.New("the service is shutting down")
	}
	return err
}

// maxProbe bounds what is read of the answer to a probe, in bytes.
const maxProbe = 1 << 16

// askProbe requests url of the local service, and returns the answer's HTTP status and the word in
// it, if there is one.
func askProbe(ctx context.Context, url string) (status int, word string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	// A transport of its own: the service is on this machine, no proxy of the environment is
	// between. The certificate is not verified: it is for the name that callers know, which is not
	// where this machine is reached at, and nothing is sent that a stranger must not see. Probes
	// need neither key nor certificate of the caller.
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("the service does not answer: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProbe)) // the status says more
	var probe api.Probe
	_ = json.Unmarshal(body, &probe) // another program's answer has no word
	return resp.StatusCode, probe.Status, nil
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
