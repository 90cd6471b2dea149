package ldappool

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sources walks over what this package is made of, its tests excepted.
func sources(t testing.TB, visit func(ast.Node)) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(node ast.Node) bool { visit(node); return true })
		n++
	}
	require.Greater(t, n, 10, "the sources were not found")
}

// requireUnused checks that no source selects one of the names, as a function of a package or as a
// method. With used, it makes sure that the walk finds what is there.
func requireUnused(t testing.TB, used string, names ...string) {
	t.Helper()
	selected := map[string]bool{}
	sources(t, func(node ast.Node) {
		if s, ok := node.(*ast.SelectorExpr); ok {
			selected[s.Sel.Name] = true
			if pkg, ok := s.X.(*ast.Ident); ok {
				selected[pkg.Name+"."+s.Sel.Name] = true
			}
		}
	})
	require.True(t, selected[used], "%s is not used; the walk sees nothing", used)
	for _, name := range names {
		require.False(t, selected[name], "%s is used", name)
	}
}
