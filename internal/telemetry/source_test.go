package telemetry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// reasonsInSource reads the retire reasons from where they are declared: a reason that is added there and
// forgotten here would be counted as "other".
func reasonsInSource(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../ldappool/trace.go", nil, 0)
	require.NoError(t, err)
	var reasons []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "RetireReason" {
			literal, ok := spec.Values[0].(*ast.BasicLit)
			require.True(t, ok, "%s is no literal", spec.Names[0])
			reason, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			reasons = append(reasons, reason)
		}
		return false
	})
	require.NotEmpty(t, reasons)
	return reasons
}
