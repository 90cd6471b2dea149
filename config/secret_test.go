package config_test

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hides asserts that the password is in no form in what was written.
func hides(t *testing.T, written, how string) {
	t.Helper()
	for _, form := range []string{
		password, hex.EncodeToString([]byte(password)), fmt.Sprintf("% x", password), strings.Trim(fmt.Sprintf("%d", []byte(password)), "[]"),
		fmt.Sprintf("%#v", []byte(password))[7:30],
	} {
		assert.NotContains(t, strings.ToLower(written), strings.ToLower(form), how)
	}
}

// holders are values with a secret somewhere in them.
func holders() map[string]any {
	s := config.NewSecret(password)
	type exported struct{ Password config.Secret }
	type hidden struct{ password config.Secret }
	type behind struct{ Password *config.Secret }
	type embedded struct{ config.Secret }
	return map[string]any{
		"a secret": s, "a pointer": &s, "a slice": []config.Secret{s}, "an array": [1]config.Secret{s}, "a map": map[string]config.Secret{"x": s},
		"a map's key": map[config.Secret]int{s: 1}, "a field": exported{s}, "a pointer's field": &exported{s}, "a hidden field": hidden{s},
		"a pointer's hidden field": &hidden{s}, "a field behind a pointer": behind{&s}, "an embedded one": embedded{s},
		"an interface": []any{s, &s}, "deep inside": map[string]any{"x": []any{hidden{s}, &exported{s}}},
	}
}

func TestSecret_IsHiddenFromEveryVerb(t *testing.T) {
	t.Parallel()
	verbs := []string{
		"%v", "%+v", "%#v", "%s", "%+s", "%q", "%#q", "%+q", "%x", "%X", "%#x", "% x", "%d", "%o", "%b", "%c", "%U", "%e", "%g", "%t", "%T",
		"%p", "%w", "%z", "%10v", "%-40s", "%.3s", "%[1]v", "%!", "", "%*d", "%[2]v",
	}
	for name, value := range holders() {
		for _, verb := range verbs {
			hides(t, fmt.Sprintf(verb, value), name+" by "+verb)
			hides(t, fmt.Errorf(verb, value).Error(), name+" in an error by "+verb)
		}
		hides(t, fmt.Sprint(value)+fmt.Sprintln(value), name)
		hides(t, errors.Join(fmt.Errorf("x: %v", value)).Error(), name)
	}
}

func TestSecret_IsHiddenFromEncodersAndLogs(t *testing.T) {
	t.Parallel()
	for name, value := range holders() {
		text, err := json.Marshal(value)
		require.NoError(t, err, name)
		hides(t, string(text), name+" as JSON")
		if xmlText, err := xml.Marshal(value); err == nil {
			hides(t, string(xmlText), name+" as XML")
		}
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).With("with", value).WithGroup("g").Info("message", "attr", value, slog.Group("in", "x", value))
		}
		assert.Equal(t, 2, strings.Count(log.String(), "\n"))
		hides(t, log.String(), name+" in a log")
	}
}

func TestSecret_ShowsThatItIsSet(t *testing.T) {
	t.Parallel()
	full, empty := config.NewSecret(password), config.Secret{}
	assert.Equal(t, password, full.Reveal())
	assert.Equal(t, "[redacted]", full.String())
	assert.Equal(t, `config.Secret("[redacted]")`, fmt.Sprintf("%#v", full))
	assert.Equal(t, "[redacted]", full.LogValue().String())
	text, err := json.Marshal(full)
	require.NoError(t, err)
	assert.JSONEq(t, `"[redacted]"`, string(text))
	for _, s := range []config.Secret{empty, config.NewSecret("")} {
		assert.Empty(t, s.Reveal())
		assert.Empty(t, s.String())
		assert.Empty(t, fmt.Sprintf("%v", s))
	}
	assert.Equal(t, full, config.NewSecret(password))
	assert.NotEqual(t, full, config.NewSecret(password+"x"))
}

func TestSecret_ReadAgainHoldsItsOwnValue(t *testing.T) {
	t.Parallel()
	var s config.Secret
	var _ encoding.TextUnmarshaler = &s
	buffer := []byte(password)
	require.NoError(t, s.UnmarshalText(buffer))
	copied := s
	clear(buffer)
	assert.Equal(t, password, s.Reveal())
	require.NoError(t, s.UnmarshalText([]byte("other")))
	assert.Equal(t, "other", s.Reveal())
	assert.Equal(t, password, copied.Reveal())
}

func TestSecret_IsHiddenInAWholeConfiguration(t *testing.T) {
	t.Parallel()
	for _, environ := range [][]string{
		minimal("LDAP_URL=ldap://h", "ADMIN_ADDR=:0", "LDAP_TLS_INSECURE_SKIP_VERIFY=true"),
		minimal("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+file(t, password)),
	} {
		c := mustLoad(t, environ)
		require.Equal(t, password, c.LDAP.BindPassword.Reveal())
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			hides(t, fmt.Sprintf(verb, c)+fmt.Sprintf(verb, *c)+fmt.Sprintf(verb, c.LDAP)+fmt.Sprintf(verb, &c.LDAP), verb)
		}
		text, err := json.Marshal(c)
		require.NoError(t, err)
		hides(t, string(text), "JSON")
		assert.Contains(t, string(text), `"BindPassword":"[redacted]"`)
		var log bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(handler).Info("message", "config", c, "value", *c)
		}
		hides(t, log.String(), "log")
		var settings bytes.Buffer
		require.NoError(t, c.WriteSettings(&settings))
		hides(t, settings.String(), "settings")
	}
}
