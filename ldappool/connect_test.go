package ldappool_test

import (
	"context"
	"testing"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestConnectTellsEachStepOfADial with what was agreed and answered, up to the one that failed.
func TestConnectTellsEachStepOfADial(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, TLS: true})
	whole := ldappool.Config{Servers: []string{s.URL()}, StartTLS: true, TLS: s.TLSConfig(), BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword}
	refused, stranger := whole, whole
	refused.BindPassword = "mistaken"
	stranger.TLS = ldaptest.NewCA(t).ClientTLS("localhost")
	for name, c := range map[string]struct {
		cfg  ldappool.Config
		lane ldappool.Lane
		want []string
		ok   bool
	}{
		"of the search lane":            {whole, ldappool.SearchLane, []string{"connect", "starttls", "tls", "service bind"}, true},
		"of the bind lane":              {whole, ldappool.BindLane, []string{"connect", "starttls", "tls", "ping"}, true},
		"with a password that is wrong": {refused, ldappool.SearchLane, []string{"connect", "starttls", "tls", "service bind"}, false},
		"with an authority not trusted": {stranger, ldappool.SearchLane, []string{"connect", "starttls", "tls"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var steps []ldappool.DialStep
			conn, err := ldappool.Connect(context.Background(), c.cfg, "", c.lane, func(s ldappool.DialStep) { steps = append(steps, s) })
			var names []string
			for _, step := range steps {
				names = append(names, step.Name)
				assert.Positive(t, step.Took, step.Name)
				assert.Equal(t, step.Name == "tls", step.TLS != nil, step.Name)
				assert.Equal(t, step.Name == "service bind", step.Result != nil, step.Name)
			}
			require.Equal(t, c.want, names)
			last := steps[len(steps)-1]
			if !c.ok {
				require.Error(t, err)
				require.ErrorIs(t, err, last.Err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, last.Err)
			defer conn.Close()
			_, err = conn.Bind(context.Background(), ldaptest.UserDN(0), "")
			require.ErrorIs(t, err, ldappool.ErrInvalidRequest)
			r, err := conn.Bind(context.Background(), ldaptest.UserDN(0), ldaptest.Password(0))
			require.NoError(t, err)
			assert.Zero(t, r.Code)
		})
	}
}

// TestConnectSeesTheEndOfAQuietConnection as soon as the server has ended it.
func TestConnectSeesTheEndOfAQuietConnection(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	conn, err := ldappool.Connect(context.Background(), ldappool.Config{Servers: []string{s.URL()}}, "", ldappool.SearchLane, func(ldappool.DialStep) {})
	require.NoError(t, err)
	defer conn.Close()
	select {
	case <-conn.Lost():
		t.Fatal("lost while it lives")
	default:
	}
	s.Kill()
	<-conn.Lost()
}

// TestConnectDialsAnAddressUnderTheURLsName: the certificate must have the URL's.
func TestConnectDialsAnAddressUnderTheURLsName(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{TLS: true})
	tls := s.TLSConfig()
	tls.ServerName = ""
	for url, ok := range map[string]bool{"ldaps://localhost:1": true, "ldaps://elsewhere.invalid:1": false} {
		conn, err := ldappool.Connect(context.Background(), ldappool.Config{Servers: []string{url}, TLS: tls}, s.TLSAddr(), ldappool.BindLane, func(ldappool.DialStep) {})
		assert.Equal(t, ok, err == nil, "%s: %v", url, err)
		if conn != nil {
			conn.Close()
		}
	}
}
