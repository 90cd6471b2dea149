package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPolicy_VerdictsAndWarningsReachTheCaller through the whole service.
func TestPolicy_VerdictsAndWarningsReachTheCaller(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		ExtraGlobal:   "moduleload ppolicy",
		ExtraDatabase: "overlay ppolicy\nppolicy_default \"cn=policy," + ldaptest.BaseDN + "\"\nppolicy_use_lockout",
		LDIF:          ldaptest.PolicyLDIF(),
	})
	p := startProgram(t, slapd.URL(), "LDAP_PRESET=openldap")
	p.ready(t)
	for _, c := range []struct {
		uid, password string
		http, status  int
		warnings      string // with the seconds of expiring in days
	}{
		{"good", "secret", 200, 0, ""},
		{"good", "wrong", 401, 2, ""},
		{"nobody", "secret", 401, 1, ""},
		{"locked", "secret", 403, 3, ""},
		{"expired", "secret", 403, 6, ""},
		{"expired", "wrong", 401, 2, ""},
		{"reset", "secret", 403, 7, ""},
		{"reset", "wrong", 401, 2, ""},
		{"expiring", "secret", 200, 0, "password_expiring in 5 days"},
		{"grace", "secret", 200, 0, "grace_logins 1"},
		{"grace", "secret", 200, 0, "grace_logins 0"},
		{"grace", "secret", 403, 6, ""},
	} {
		body := fmt.Sprintf(`{"username":%q,"password":%q}`, c.uid, c.password)
		res, err := client(t).Post(p.url+"/auth", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		var got struct {
			Status   int
			Warnings []struct {
				Code      string
				Seconds   *int
				Remaining *int
			}
		}
		require.NoError(t, json.Unmarshal(text, &got))
		assert.Equal(t, c.http, res.StatusCode, "%s: %s", body, text)
		assert.Equal(t, c.status, got.Status, "%s: %s", body, text)
		warnings := ""
		for _, w := range got.Warnings {
			warnings += w.Code
			if w.Seconds != nil {
				warnings += fmt.Sprintf(" in %d days", (*w.Seconds+24*3600-1)/(24*3600))
			}
			if w.Remaining != nil {
				warnings += fmt.Sprintf(" %d", *w.Remaining)
			}
		}
		assert.Equal(t, c.warnings, warnings, "%s", text)
	}
	assert.Contains(t, p.logged(), `"policy_error":"accountLocked"`)
	assert.Zero(t, p.end(t))
}
