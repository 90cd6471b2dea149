package auth

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResultOf_UndecidedErrorAdmitsNobody(t *testing.T) {
	t.Parallel()
	odd := errors.New("odd")
	require.Equal(t, Result{Outcome: InternalError, Cause: odd}, resultOf(odd))
	require.Equal(t, InternalError, resultOf(nil).Outcome)
}

func TestResultOf_IsTheResultThatAStepEndedWith(t *testing.T) {
	t.Parallel()
	err := asError(Result{Outcome: InvalidUser, Cause: errNoEntry})
	require.ErrorIs(t, err, errNoEntry)
	require.EqualError(t, err, "invalid_user: no entry matches")
	require.EqualError(t, asError(Result{Outcome: BadRequest, Detail: "why"}), "bad_request")
	require.Equal(t, InvalidUser, resultOf(fmt.Errorf("wrapped: %w", err)).Outcome)
	named := resultOf(withContext("base", fault(errNoEntry)))
	require.Equal(t, DirectoryUnavailable, named.Outcome)
	require.Equal(t, retryAfter, named.RetryAfter)
	require.EqualError(t, named.Cause, "base: no entry matches")
}

// TestThen_KeepsWhatTheBindShowed: a step after it neither takes back that the password was seen
// nor what was answered.
func TestThen_KeepsWhatTheBindShowed(t *testing.T) {
	t.Parallel()
	bound := Result{DN: "uid=user0"}.followedBy(Result{Outcome: OK, Bind: BindAnswer{Answered: true, Code: 0}})
	require.True(t, bound.PasswordSeen)
	r := bound.followedBy(Result{Outcome: NotPermitted, Cause: errNotInGroup})
	require.Equal(t, Result{Outcome: NotPermitted, Cause: errNotInGroup, PasswordSeen: true, DN: "uid=user0", Bind: BindAnswer{Answered: true}}, r)
	require.Equal(t, "uid=other", bound.followedBy(Result{DN: "uid=other"}).DN)
	require.False(t, Result{}.followedBy(Result{Outcome: InvalidPassword}).PasswordSeen)
}
