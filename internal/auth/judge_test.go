package auth

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"authsvc/internal/dialect"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// resultCodes are all that LDAP knows, some that it does not, and the borders of the number's type.
// Those from 200 on are go-ldap's own, which a server may send as well as any other number.
func resultCodes() []uint16 {
	var codes []uint16
	for c := range uint16(124) {
		codes = append(codes, c)
	}
	return append(codes, 128, 200, 201, 206, 207, 255, 256, 256+49, 4096, 4352, math.MaxInt16, math.MaxUint16)
}

// requireJudged checks an outcome and what has to come with it.
func requireJudged(t *testing.T, want Outcome, got Result, says ...string) {
	t.Helper()
	require.Equal(t, want, got.Outcome, "cause: %v", got.Cause)
	require.Equal(t, want == DirectoryUnavailable || want == Overloaded, got.RetryAfter > 0, "Retry-After with %v", want)
	if want == OK {
		require.NoError(t, got.Cause)
		return
	}
	require.Error(t, got.Cause)
	for _, text := range says {
		require.ErrorContains(t, got.Cause, text)
	}
}

func TestJudgeSearch_EveryResultCodeIsOKOrAFault(t *testing.T) {
	t.Parallel()
	want := map[uint16]Outcome{0: OK, 3: DirectoryTimeout, 4: OK}
	for _, code := range resultCodes() {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			o, ok := want[code]
			if !ok {
				o = DirectoryUnavailable
			}
			err := judgeSearch(ldappool.Result{Code: code, Server: "ldap://here", Diagnostic: "said so"})
			require.Equal(t, o == OK, err == nil)
			if err == nil {
				return
			}
			got := resultOf(err)
			requireJudged(t, o, got, "search ldap://here", fmt.Sprintf("(%d)", code), "said so")
			require.True(t, got.Outcome.IsFault(), "a search is never a verdict")
		})
	}
}

func TestJudgeBind_OnlyCodesAboutThePasswordAreVerdicts(t *testing.T) {
	t.Parallel()
	for _, unknown := range []Outcome{InvalidUser, InvalidPassword} {
		want := map[uint16]Outcome{
			0:  OK,
			2:  InternalError, // protocolError: the service's request was wrong
			32: unknown,
			34: InternalError, // invalidDNSyntax: so was its DN
			48: InvalidPassword,
			49: InvalidPassword,
		}
		for _, code := range resultCodes() {
			t.Run(fmt.Sprintf("%d where an unknown user is %v", code, unknown), func(t *testing.T) {
				t.Parallel()
				o, ok := want[code]
				if !ok {
					o = DirectoryUnavailable
				}
				got := judgeBind(dialect.Default(), ldappool.Result{Code: code, Server: "ldap://here", Diagnostic: "said so"}, unknown)
				requireJudged(t, o, got, "bind ldap://here", fmt.Sprintf("(%d)", code), "said so")
				require.Equal(t, code == 0, got.Outcome == OK, "success is the only success")
				require.Equal(t, code == 0 || code == 32 || code == 48 || code == 49, got.Outcome.IsVerdict())
			})
		}
	}
}

func TestJudgeBind_ReportsAnUnknownCodeByItsNumber(t *testing.T) {
	t.Parallel()
	got := judgeBind(dialect.Default(), ldappool.Result{Code: 4711, Server: "ldap://here"}, InvalidUser)
	require.EqualError(t, got.Cause, "bind ldap://here: unknown result code (4711)")
}

func TestFault_EachHasItsOutcome(t *testing.T) {
	t.Parallel()
	type want struct {
		err     error
		outcome Outcome
	}
	wants := map[string]want{
		"unavailable":           {ldappool.ErrUnavailable, DirectoryUnavailable},
		"connection lost":       {ldappool.ErrConnLost, DirectoryUnavailable},
		"closed":                {ldappool.ErrClosed, DirectoryUnavailable},
		"overloaded":            {ldappool.ErrOverloaded, Overloaded},
		"timeout":               {ldappool.ErrTimeout, DirectoryTimeout},
		"deadline":              {context.DeadlineExceeded, DirectoryTimeout},
		"invalid request":       {ldappool.ErrInvalidRequest, InternalError},
		"caller gone":           {context.Canceled, InternalError},
		"something else":        {errors.New("something else"), InternalError},
		"a bare refusal (49)":   {ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New("refused")), InternalError},
		"a bare success (0)":    {ldap.NewError(ldap.LDAPResultSuccess, errors.New("success")), InternalError},
		"an OpError of no kind": {&ldappool.OpError{Op: "bind", Kind: errors.New("of no kind")}, InternalError},
	}
	refused := ldap.NewError(ldap.LDAPResultInvalidCredentials, errors.New("refused"))
	for name, w := range wants {
		dressed := map[string]error{
			"as it is":                               w.err,
			"wrapped":                                fmt.Errorf("outside: %w", w.err),
			"by the pool":                            &ldappool.OpError{Op: "bind", Server: "ldap://here", Kind: w.err},
			"by the pool, because of a refusal (49)": &ldappool.OpError{Op: "search", Kind: w.err, Err: fmt.Errorf("service bind: %w", refused)},
			"joined with a refusal (49)":             errors.Join(refused, w.err),
		}
		for _, behind := range wants {
			dressed["by the pool, because of: "+behind.err.Error()] = &ldappool.OpError{Op: "search", Kind: w.err, Err: behind.err}
		}
		for how, err := range dressed {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				got := judgeFault(err)
				requireJudged(t, w.outcome, got)
				require.True(t, got.Outcome.IsFault(), "a fault is never a verdict")
				require.Equal(t, err, got.Cause, "the operator gets the whole error")
			})
		}
	}
}

func TestQueue_RejectionSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	for queue, want := range map[time.Duration]time.Duration{
		0: retryAfter, 100 * time.Millisecond: retryAfter, 3200 * time.Millisecond: 3200 * time.Millisecond,
		time.Hour: maxRetryAfter,
	} {
		r := judgeFault(&ldappool.OpError{Op: "bind", Kind: ldappool.ErrOverloaded, Queue: queue})
		require.Equal(t, want, r.RetryAfter, "%v", queue)
	}
}
