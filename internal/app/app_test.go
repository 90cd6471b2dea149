package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/require"
)

// TestApp_TwoServeInOneProcess: nothing that an App uses belongs to the process.
func TestApp_TwoServeInOneProcess(t *testing.T) {
	t.Parallel()
	first, second := start(t, ldaptest.NewServer(t, nil).URL()), start(t, ldaptest.NewServer(t, nil).URL())
	for _, r := range []*running{first, second} {
		r.ready(t)
		status, body := r.login(t, ldaptest.Username(1), ldaptest.Password(1))
		require.Equal(t, 200, status, body)
	}
	require.NoError(t, first.stop())
	require.Contains(t, first.log.String(), `"msg":"stopped"`)
	_, err := net.Dial("tcp", strings.TrimPrefix(first.url, "http://"))
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "it is closed")
	status, body := second.login(t, ldaptest.Username(1), ldaptest.Password(1))
	require.Equal(t, 200, status, body)
}

// TestApp_ThatIsStoppedBeforeItRunsClosesEverything: goleak would find what it leaves.
func TestApp_ThatIsStoppedBeforeItRunsClosesEverything(t *testing.T) {
	t.Parallel()
	a, err := New(t.Context(), settings(t, ldaptest.NewServer(t, nil).URL(), "ADMIN_ADDR="), Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.Nil(t, a.AdminAddr())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.Run(ctx))
}

// TestNew_ThatFailsClosesWhatItOpened: each case fails after more was opened.
func TestNew_ThatFailsClosesWhatItOpened(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.4:0") // where nothing else takes ports
	require.NoError(t, err)
	require.NoError(t, free.Close())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	keys := filepath.Join(t.TempDir(), "keys")
	for name, c := range map[string]struct {
		setting string
		says    string
		wrong   bool // whether that is a wrong setting
	}{
		"a variable of OpenTelemetry": {"OTEL_EXPORTER_OTLP_ENDPOINT=nonsense", "OTEL_EXPORTER_OTLP_ENDPOINT", true},
		"the admin port":              {"ADMIN_ADDR=" + taken.Addr().String(), "ADMIN_ADDR: ", false},
		"a file":                      {"AUTH_API_KEYS_FILE=" + keys, "keys cannot be read", false},
	} {
		require.NoError(t, os.WriteFile(keys, []byte(keyLines("shop")), 0o600))
		cfg := settings(t, ldaptest.NewServer(t, nil).URL(), "HTTP_ADDR="+free.Addr().String(), c.setting)
		require.NoError(t, os.Remove(keys))
		_, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
		require.ErrorContains(t, err, c.says, name)
		var setting *SettingError
		require.Equal(t, c.wrong, errors.As(err, &setting), name)
		l, err := net.Listen("tcp", free.Addr().String())
		require.NoError(t, err, name)
		require.NoError(t, l.Close())
	}
}
