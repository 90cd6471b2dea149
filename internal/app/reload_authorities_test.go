package app

import (
	"syscall"
	"testing"
	"testing/synctest"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestReload_WarnsOfAuthoritiesThatAreNotUsed by their number, for the directory's and the
// callers', and uses the others.
func TestReload_WarnsOfAuthoritiesThatAreNotUsed(t *testing.T) {
	t.Parallel()
	root := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Example CA"), nil, nil)
	lost := string(root.WithNegativeSerial(t, root).PEM())
	synctest.Test(t, func(t *testing.T) {
		r := watched(t)
		r.write("ca.pem", string(root.PEM())+lost)
		r.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, []string{"configuration reloaded: ca.pem", deservesALook}, r.logged())
		require.Contains(t, r.log.String(), "LDAP_CA_FILE: "+r.file("ca.pem")+" is used only in part: certificate 2 has a negative serial number")
		adopted := r.inForce().pool
		require.Len(t, adopted.Authorities, 2)
		require.Equal(t, root.DER, adopted.Authorities[0].Raw)
		require.Nil(t, adopted.Authorities[1])

		r.write("ca.pem", lost)
		r.hangup <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, "configuration not reloaded, the previous one stays in use: ca.pem", r.logged()[2])
	})
}
