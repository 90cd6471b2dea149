package auth_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"authsvc/internal/auth"

	"github.com/stretchr/testify/require"
)

// row is one line of the contract's table of statuses.
type row struct {
	status              int
	code, http, message string
}

// contract reads the table, which testdata holds as the contract has it.
func contract(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile("testdata/outcomes.md")
	require.NoError(t, err)
	var rows []row
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		status, err := strconv.Atoi(cells[0])
		if err != nil {
			continue // the head of the table
		}
		rows = append(rows, row{status, cells[1], cells[2], cells[3]})
	}
	require.Len(t, rows, 16)
	return rows
}

func TestContract_Outcomes(t *testing.T) {
	t.Parallel()
	rows := contract(t)
	all := auth.Outcomes()
	require.Len(t, all, len(rows))
	for i, want := range rows {
		o := all[i]
		require.Equal(t, want.status, o.Status())
		require.Equal(t, want.code, o.Code())
		require.Equal(t, want.code, o.String())
		if o != auth.BadRequest { // the contract describes its message; Result.Detail is it
			require.Equal(t, want.message, o.Message(), "message of %v", o)
		}
		require.NotEmpty(t, o.Message())
	}
}

func TestContract_OutcomesHaveTheNumbersOfTheirNames(t *testing.T) {
	t.Parallel()
	want := map[auth.Outcome]int{
		auth.OK: 0, auth.InvalidUser: 1, auth.InvalidPassword: 2, auth.AccountLocked: 3, auth.AccountDisabled: 4,
		auth.AccountExpired: 5, auth.PasswordExpired: 6, auth.MustChangePassword: 7, auth.NotPermitted: 8,
		auth.TooManyAttempts: 9, auth.BadRequest: 10, auth.DirectoryUnavailable: 11, auth.Overloaded: 12,
		auth.DirectoryTimeout: 13, auth.InternalError: 14, auth.CallerRefused: 15,
	}
	require.Len(t, want, len(auth.Outcomes()))
	for o, status := range want {
		require.Equal(t, status, o.Status())
	}
}

func TestContract_StatusesTo8AreVerdictsAnd11To14AreFaults(t *testing.T) {
	t.Parallel()
	for _, o := range auth.Outcomes() {
		require.Equal(t, o.Status() <= 8, o.IsVerdict(), "verdict: %v", o)
		require.Equal(t, o.Status() >= 11 && o.Status() <= 14, o.IsFault(), "fault: %v", o)
		require.False(t, o.IsVerdict() && o.IsFault(), "both: %v", o)
	}
}

func TestOutcome_TheZeroValueAndAllOthersAreAnInternalError(t *testing.T) {
	t.Parallel()
	for _, o := range []auth.Outcome{0, auth.CallerRefused + 1, 100, 255} {
		require.Equal(t, auth.InternalError.Status(), o.Status())
		require.Equal(t, "internal_error", o.Code())
		require.Equal(t, "internal error", o.Message())
		require.False(t, o.IsVerdict())
		require.True(t, o.IsFault())
		require.NotEqual(t, auth.OK, auth.VisibleResult(0, auth.Result{Outcome: o}).Outcome)
		require.NotEqual(t, auth.OK, auth.VisibleResult(1, auth.Result{Outcome: o}).Outcome)
		require.Equal(t, "returned", auth.Verdict(0, auth.Result{Outcome: o}))
	}
}
