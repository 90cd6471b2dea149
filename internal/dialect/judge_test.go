package dialect

import (
	"math"
	"testing"

	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// judged is what an answer means whose controls can be read.
func judged(t *testing.T, d *Dialect, r ldappool.Result) Answer {
	t.Helper()
	a, err := d.Judge(r)
	require.NoError(t, err)
	return a
}

// resultCodes are all that LDAP knows, some that it does not, and the borders of the number's type.
func resultCodes() []uint16 {
	var codes []uint16
	for c := range uint16(124) {
		codes = append(codes, c)
	}
	return append(codes, 128, 200, 201, 206, 207, 255, 256, 256+49, 4096, 4352, math.MaxInt16, math.MaxUint16)
}

func TestJudge_OnlyWhatSpeaksOfThePasswordIsAVerdict(t *testing.T) {
	t.Parallel()
	for _, d := range All() {
		for _, code := range resultCodes() {
			want := map[uint16]Answer{
				0: {Verdict: Accepted}, 32: {Verdict: NoSuchEntry, NotCompared: true}, 48: {Verdict: WrongPassword, NotCompared: true},
				49: {Verdict: WrongPassword},
			}[code]
			a := judged(t, d, ldappool.Result{Code: code, Diagnostic: "said so"})
			a.Notice = ""
			require.Equal(t, want, a, "%v: %d", d, code)
			require.Equal(t, code == 0, a.PasswordSeen())
		}
	}
}

func TestNamed_KnowsEachKindByItsNameAndNoOther(t *testing.T) {
	t.Parallel()
	for _, d := range All() {
		got, err := Named(d.Name)
		require.NoError(t, err)
		require.Same(t, d, got)
		require.Equal(t, d.Name, d.String())
	}
	require.Equal(t, All()[0], Default())
	require.Len(t, Names(), len(All()))
	for _, name := range []string{"", "AD", "activedirectory", "389DS", "preset_9"} {
		_, err := Named(name)
		require.EqualError(t, err, `unknown preset "`+name+`"`)
	}
}
