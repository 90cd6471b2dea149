package ldappool

import (
	"crypto/tls"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

func TestTLSConfigurationsAreComparedByWhatTheyHold(t *testing.T) {
	t.Parallel()
	ca, other := ldaptest.NewCA(t), ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	base := ca.ClientTLS("", cert)
	withFunc := func() *tls.Config {
		c := ca.ClientTLS("")
		c.VerifyConnection = func(tls.ConnectionState) error { return nil }
		return c
	}
	shared := withFunc()
	for name, c := range map[string]struct {
		a, b *tls.Config
		same bool
	}{
		"the same":                {base, base, true},
		"none":                    {nil, nil, true},
		"equal ones":              {base, ca.ClientTLS("", cert), true},
		"none and an empty one":   {nil, &tls.Config{}, true},
		"another authority":       {base, other.ClientTLS("", cert), false},
		"no certificate":          {base, ca.ClientTLS(""), false},
		"another certificate":     {base, ca.ClientTLS("", ca.Issue(t, ldaptest.CertConfig{})), false},
		"another name":            {base, ca.ClientTLS("x", cert), false},
		"the same function":       {shared, shared, true},
		"functions, not the same": {withFunc(), withFunc(), false},
		"one more function":       {ca.ClientTLS(""), withFunc(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, err := parseEndpoint("ldaps://one", Config{TLS: c.a})
			require.NoError(t, err)
			b, err := parseEndpoint("ldaps://one", Config{TLS: c.b})
			require.NoError(t, err)
			require.Equal(t, c.same, a.same(b))
			require.Equal(t, c.same, b.same(a))
		})
	}
	plain, err := parseEndpoint("ldap://one", Config{})
	require.NoError(t, err)
	start, err := parseEndpoint("ldap://one", Config{StartTLS: true})
	require.NoError(t, err)
	require.False(t, plain.same(start))
}
