// Package loginclient asks a running authsvc about one login. It trusts nothing that answers: a
// login is accepted only if the answer is one that authsvc gives.
package loginclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"authsvc/internal/auth"

	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds the answer, in bytes. A user can have large attributes.
const maxAnswer = 4 << 20

// maxHeader bounds the header of the answer, in bytes.
const maxHeader = 64 << 10

var (
	// ErrUnavailable is the error of a login that can be tried again as it is: no connection, or no
	// complete answer.
	ErrUnavailable = errors.New("the service cannot be asked")
	// ErrSetup is the error of a login that fails until a person mends something: TLS fails, or
	// what answers is not authsvc.
	ErrSetup = errors.New("the service is not where -url says, or not reached as it must be")
)

// Config says where the service is and how a client proves itself to it.
type Config struct {
	URL          string            // of the service, without /auth
	Key          string            // API key; empty for none
	Roots        *x509.CertPool    // nil for the system's authorities
	Certificates []tls.Certificate // that the client shows
}

// Client asks one service.
type Client struct {
	url  string
	key  string
	http *http.Client
}

// New returns a client. The error names the rule that the URL breaks. It never repeats the URL,
// which may hold a password.
func New(cfg Config) (*Client, error) {
	u, err := ParseURL(cfg.URL)
	switch {
	case err != nil:
		return nil, err
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not hold a query or a fragment")
	}
	return &Client{url: u.JoinPath("auth").String(), key: cfg.Key, http: NewHTTP(cfg.Roots, cfg.Certificates)}, nil
}

// ParseURL reads the URL of a server that is sent passwords. The error names the rule that it
// breaks, and never repeats it.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("must be http://HOST:PORT or https://HOST:PORT")
	case u.User != nil:
		return nil, errors.New("must not hold a name or a password")
	}
	return u, nil
}

// NewHTTP returns a client that sends passwords nowhere but to the server that a URL names, over a
// connection for each request. roots is nil for the system's authorities.
func NewHTTP(roots *x509.CertPool, certificates []tls.Certificate) *http.Client {
	return &http.Client{
		// A transport of its own, without a proxy: a proxy of the environment would read the
		// password.
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: certificates},
		},
		// authsvc sends no redirect. To follow one would carry the password elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Login is what a client asks about.
type Login struct {
	Username, Password string
	// Client is the address of the user's machine, for the throttle and the audit log. The zero
	// value is unknown.
	Client netip.Addr
}

// Validate reports what is wrong with a name or a password that no user can have. The error names
// the field and the rule, never a value.
func (l Login) Validate() error {
	return auth.Credentials{Username: l.Username, Password: l.Password}.Validate()
}

// Ask asks about a login, once. Its errors wrap ErrUnavailable or ErrSetup. They hold nothing of
// what a server sent.
func (c *Client) Ask(ctx context.Context, l Login) (Answer, error) {
	resp, err := c.post(ctx, l)
	if err != nil {
		return Answer{}, c.failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return Answer{}, c.failed(err)
	case len(body) > maxAnswer:
		return Answer{}, fmt.Errorf("%w: the answer of %s is longer than %d bytes", ErrSetup, c.url, maxAnswer)
	}
	answer, ok := parseAnswer(resp, body, l.Password)
	if !ok {
		return Answer{}, c.foreign(resp.StatusCode)
	}
	return answer, nil
}

// post sends the request.
func (c *Client) post(ctx context.Context, l Login) (*http.Response, error) {
	body := []byte(`{"username":`)
	body, _ = jsontext.AppendQuote(body, l.Username) // Validate has found it to be UTF-8
	body = append(body, `,"password":`...)
	body, _ = jsontext.AppendQuote(body, l.Password)
	body = append(body, '}')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "authsvc-login")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if l.Client.IsValid() {
		req.Header.Set("X-Forwarded-For", l.Client.String())
	}
	return c.http.Do(req)
}

// failed says why there is no answer.
func (c *Client) failed(err error) error {
	kind, cause := Explain(err, c.url)
	return fmt.Errorf("%w: %w", kind, cause)
}

// Explain says why a server has not answered a request. The kind is ErrUnavailable or ErrSetup. The
// cause names the server by at, and holds nothing of what it sent.
func Explain(err error, at string) (kind, cause error) {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return ErrUnavailable, errors.New("interrupted")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return ErrUnavailable, fmt.Errorf("no complete answer from %s in time", at)
	case errors.As(err, &certificate):
		return ErrSetup, fmt.Errorf("the certificate of %s: %w; -ca-file names the authorities to trust", at, certificate.Err)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return ErrSetup, fmt.Errorf("%s does not speak TLS", at)
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return ErrSetup, fmt.Errorf("%s refuses TLS: %w", at, op.Err)
	case errors.As(err, &op), errors.As(err, &dns):
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return ErrUnavailable, fmt.Errorf("%s: %w", at, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrUnavailable, fmt.Errorf("%s closed the connection before the end of its answer", at)
	}
	// The errors of net/http repeat what the server sent, which can be the password.
	return ErrSetup, fmt.Errorf("%s does not answer as HTTP does", at)
}

// foreign says what to think of an answer that is not authsvc's.
func (c *Client) foreign(code int) error {
	kind := ErrSetup
	if code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout {
		kind = ErrUnavailable // a proxy, whose service is away
	}
	hint := ""
	if code >= 300 && code < 400 {
		hint = "; redirects are not followed"
	}
	status := strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
	return fmt.Errorf("%w: %s answers %q, and not as authsvc does%s", kind, c.url, status, hint)
}
