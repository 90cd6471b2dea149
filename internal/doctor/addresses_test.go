package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAddresses_AllOfANameAreDialed, with one service bind among them; one that is dead is no
// failure while another is not.
func TestAddresses_AllOfANameAreDialed(t *testing.T) { //nolint:tparallel // one after the other, for their binds are counted
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{})
	_, port, ok := hostPort(s.URL())
	require.True(t, ok)
	const name = "ldap.example.org"
	for what, c := range map[string]struct {
		addresses []string
		want      map[string]Mark
		binds     int
	}{
		"one is dead":  {[]string{"127.0.0.9", "127.0.0.1"}, map[string]Mark{"dns": OK, "tcp 127.0.0.9": Warn, "tcp 127.0.0.1": OK}, 1},
		"all are dead": {[]string{"127.0.0.9", "127.0.0.8"}, map[string]Mark{"dns": OK, "tcp 127.0.0.9": Failed, "tcp 127.0.0.8": Failed}, 0},
	} {
		t.Run(what, func(t *testing.T) {
			before := s.LogCount(`BIND dn="` + ldaptest.ServiceDN + `" method=128`)
			got := map[string]Mark{}
			d := &doctor{names: ldaptest.NewNameServer(t, c.addresses...).Resolver(), Options: Options{
				Pool: ldappool.Config{BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, DialTimeout: time.Second, RequestTimeout: time.Second},
				Tell: func(s Step) {
					if s.Name == "dns" {
						got[s.Name] = s.Mark
						assert.Equal(t, name+" resolves to "+c.addresses[0]+", "+c.addresses[1], s.Finding)
					}
					for _, a := range c.addresses {
						if s.Name == "tcp" && strings.Contains(s.Finding, a+":"+port) {
							got[s.Name+" "+a] = s.Mark
						}
					}
				},
			}}
			conn := d.connect(context.Background(), "ldap://"+name+":"+port)
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.binds, s.LogCount(`BIND dn="`+ldaptest.ServiceDN+`" method=128`)-before)
			if c.binds > 0 {
				require.NotNil(t, conn)
				conn.Close()
			}
		})
	}
}
