package metrics

import (
	"log/slog"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"authsvc/internal/observertest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPoolStat_EveryFieldHasAGauge fails where a field is added to Stat that no gauge is made of.
func TestPoolStat_EveryFieldHasAGauge(t *testing.T) {
	t.Parallel()
	elsewhere := map[string]string{
		"Retired": "Trace.Retired", "Dials": "Trace.Dialed", "DialErrors": "Trace.Dialed", "Retries": "Trace.Operated",
		"Refused": "Trace.Acquired", "Acquired": "Trace.Acquired", "LastErr": "the log, and /healthz",
		"Search": "its own fields", "Bind": "its own fields", "Servers": "their own fields",
		"URL": "the label of every series of the server", "Stat.Usable": "/readyz", "Stat.Ready": "/healthz",
	}
	shown := func(fill func(*ldappool.Stat)) map[string]string {
		m, _ := newTest(slog.LevelInfo)
		stat := &ldappool.Stat{Servers: []ldappool.ServerStat{{URL: observertest.ServerA}}}
		fill(stat)
		m.WatchPool(func() *ldappool.Stat { return stat })
		series := scrape(t, m)
		for name := range series {
			if !strings.HasPrefix(name, "authsvc_") {
				delete(series, name)
			}
		}
		return series
	}
	empty := shown(func(*ldappool.Stat) {})
	for name, part := range map[string]func(*ldappool.Stat) any{
		"Stat":   func(s *ldappool.Stat) any { return s },
		"Search": func(s *ldappool.Stat) any { return &s.Search },
		"Bind":   func(s *ldappool.Stat) any { return &s.Bind },
		"Server": func(s *ldappool.Stat) any { return &s.Servers[0] },
	} {
		for i, field := range reflect.VisibleFields(reflect.TypeOf(part(&ldappool.Stat{Servers: make([]ldappool.ServerStat, 1)})).Elem()) {
			if elsewhere[field.Name] != "" || elsewhere[name+"."+field.Name] != "" || !field.IsExported() {
				continue
			}
			filled := shown(func(s *ldappool.Stat) { fill(t, reflect.ValueOf(part(s)).Elem().Field(i)) })
			assert.False(t, maps.Equal(empty, filled), "no gauge of %s.%s", name, field.Name)
		}
	}
}

// fill gives a field a value that is not its zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case int:
		v.SetInt(7)
	case bool:
		v.SetBool(true)
	case time.Duration:
		v.Set(reflect.ValueOf(7 * time.Second))
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(7, 0)))
	case ldappool.ServerState:
		v.Set(reflect.ValueOf(ldappool.ServerUsable))
	default:
		require.Fail(t, "a field of a new type", "%v", v.Type())
	}
}
