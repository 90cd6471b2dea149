package ldapname_test

import (
	"testing"

	"authsvc/internal/ldapname"

	"github.com/stretchr/testify/require"
)

func TestSplitList_SplitsAtUnescapedSemicolons(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"":               {""},
		"a":              {"a"},
		" a ;\tb\n":      {"a", "b"},
		`a\;b;c`:         {`a\;b`, "c"},
		`a\\;b`:          {`a\\`, "b"},
		`cn=a\ ;cn=b\\ `: {`cn=a\ `, `cn=b\\`},
		";":              {"", ""},
		`a\`:             {`a\`},
	} {
		require.Equal(t, want, ldapname.SplitList(list), list)
	}
}
