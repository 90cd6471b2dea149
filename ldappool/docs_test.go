package ldappool

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocs_PoolPageNamesEverything fails if something is added that docs/pool.md does not document.
func TestDocs_PoolPageNamesEverything(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/pool.md")
	require.NoError(t, err)
	named := func(what, name string) {
		// As code, alone or with what it belongs to: `Refused`, `Stat.Refused`, `MaxConns: 8`.
		if !regexp.MustCompile("`([A-Za-z]+\\.)*" + regexp.QuoteMeta(name) + "\\b[^`\n]*`").Match(text) {
			t.Errorf("docs/pool.md does not name %s %s", what, name)
		}
	}
	for _, s := range []any{Config{}, Trace{}, Stat{}, LaneStat{}, ServerStat{}} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(s)) {
			if field.IsExported() {
				named(reflect.TypeOf(s).Name(), field.Name)
			}
		}
	}
	for _, reason := range RetireReasons() {
		named("the reason of retirement", string(reason))
	}
	for _, sentinel := range []string{"ErrUnavailable", "ErrOverloaded", "ErrTimeout", "ErrConnLost", "ErrClosed", "ErrInvalidRequest"} {
		named("the error", sentinel)
	}
}
