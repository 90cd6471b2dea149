package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestTLS_WarnsOfTheFirstCertificateToExpire: with it the whole chain is worth nothing.
func TestTLS_WarnsOfTheFirstCertificateToExpire(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	certificate := func(name string, left time.Duration) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(left + time.Hour)}
	}
	for name, c := range map[string]struct {
		leaf, above time.Duration
		mark        Mark
		finding     string
		remedy      string
	}{
		"none soon":                {90 * day, 900 * day, OK, "certificate for ldap.example.org, 90 days left", ""},
		"the server's own":         {5 * day, 900 * day, Warn, "certificate for ldap.example.org, 5 days left", "renew the certificate of CN=ldap.example.org"},
		"the one that it is under": {90 * day, 5 * day, Warn, "90 days left, but only 5 days left for that of CN=Example CA", "renew the certificate of CN=Example CA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leaf, above := certificate("ldap.example.org", c.leaf), certificate("Example CA", c.above)
			f := (&doctor{}).describeTLS(tls.ConnectionState{
				PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, above}},
			})
			assert.Equal(t, c.mark, f.Mark)
			assert.Contains(t, f.Finding, c.finding)
			assert.Contains(t, f.Remedy, c.remedy)
		})
	}
}
