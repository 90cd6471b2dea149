package app

import (
	"net/http"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestProfiler_OfTheServiceIsOffAndOn: the setting reaches the listener.
func TestProfiler_OfTheServiceIsOffAndOn(t *testing.T) {
	t.Parallel()
	server := ldaptest.NewServer(t, nil)
	for setting, want := range map[string]int{"": http.StatusOK, "false": http.StatusNotFound, "true": http.StatusOK} {
		r := start(t, server.URL(), "ADMIN_PPROF="+setting)
		status, _ := r.get(t, r.admin+"/debug/pprof/goroutine?debug=1")
		require.Equal(t, want, status, setting)
	}
}
