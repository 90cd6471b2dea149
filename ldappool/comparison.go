package ldappool

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"sync"

	"authsvc/ldappool/internal/core"

	"github.com/go-ldap/ldap/v3"
)

// comparison remembers that a server compares passwords on a connection with a client certificate.
type comparison struct {
	mu   sync.Mutex
	with *tls.Config // whose certificate it was; nil before
}

var errNotCompared = errors.New("the server accepts a random password on a connection with the client certificate: " +
	"it takes every bind for one of the certificate (389 DS: nsslapd-force-sasl-external), so no user is bound there")

// requireComparison fails if the server accepts a bind with a random name and password on a
// connection that shows a client certificate. A server may answer every bind on such a connection
// with the certificate's identity, and would accept any password of any user. It is asked once for
// each certificate, on a connection of its own, because some servers end one after a failed bind.
func (p *Pool) requireComparison(ctx context.Context, c *conn) error {
	config, known := c.link.tls, &c.server.comparison
	if c.core.Lane != core.Bind || config == nil || len(config.Certificates) == 0 && config.GetClientCertificate == nil || known.is(config) {
		return nil
	}
	l, err := p.connect(ctx, c)
	if err != nil {
		return err
	}
	defer l.Close()
	deadline, _ := ctx.Deadline()
	r, err := l.Bind(ctx, deadline, "cn="+rand.Text(), rand.Text())
	switch {
	case err != nil:
		return &stepError{"bind with a random password", err}
	case r.Code == ldap.LDAPResultSuccess:
		return errNotCompared
	case !mayServeElsewhere("bind", r.Code): // a busy server may have compared nothing
		known.record(config)
	}
	return nil
}

func (k *comparison) is(config *tls.Config) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.with == config
}

func (k *comparison) record(config *tls.Config) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.with = config
}
