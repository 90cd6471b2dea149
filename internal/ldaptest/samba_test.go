package ldaptest_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what Samba answers to testdata")

const sambaPassword = "Right-Pass.1"

// sambaAnswers is the record of what Samba says to binds; tests of decoders read it.
const sambaAnswers = "testdata/samba_bind.tsv"

// TestSamba_AnswersAsRecorded: a state and a password to a result code and a diagnostic message.
func TestSamba_AnswersAsRecorded(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{LockoutThreshold: 3})
	var got strings.Builder
	got.WriteString("# What Samba 4.17 says to a simple bind: state, password, result code, diagnostic message\n")
	for _, state := range s.AddStates(sambaPassword, "") {
		for which, password := range []string{"right", "wrong"} {
			code, diagnostic := s.Bind(state.DN, []string{sambaPassword, "wrong"}[which])
			fmt.Fprintf(&got, "%s\t%s\t%d\t%s\n", state.Name, password, code, diagnostic)
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(sambaAnswers, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(sambaAnswers)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// TestSamba_SeveralRunSideBySide: each has an address and data of its own.
func TestSamba_SeveralRunSideBySide(t *testing.T) {
	t.Parallel()
	one, two := ldaptest.StartSamba(t, ldaptest.SambaConfig{}), ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	require.NotEqual(t, one.Host(), two.Host())
	dn := one.AddUser("only-here", sambaPassword)
	code, _ := one.Bind(dn, sambaPassword)
	require.Equal(t, uint16(ldap.LDAPResultSuccess), code)
	code, _ = two.Bind(dn, sambaPassword)
	require.Equal(t, uint16(ldap.LDAPResultInvalidCredentials), code)
}

func TestSamba_SpeaksTLS(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t, ldaptest.SambaConfig{})
	secure, err := ldap.DialURL(s.TLSURL(), ldap.DialWithTLSConfig(s.TLSConfig()))
	require.NoError(t, err)
	defer secure.Close()
	require.NoError(t, secure.Bind(ldaptest.SambaServiceDN, ldaptest.SambaServicePassword))
	plain, err := ldap.DialURL(s.URL())
	require.NoError(t, err)
	defer plain.Close()
	require.NoError(t, plain.StartTLS(s.TLSConfig()))
	require.NoError(t, plain.Bind(ldaptest.SambaServiceDN, ldaptest.SambaServicePassword))
}
