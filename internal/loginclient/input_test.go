package loginclient_test

import (
	"testing"

	"authsvc/internal/loginclient"

	"github.com/stretchr/testify/assert"
)

func TestSplitPair_TakesTwoLinesAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ input, name, password, wrong string }{
		{input: "alice\nsecret\n", name: "alice", password: "secret"},
		{input: "alice\nsecret", name: "alice", password: "secret"},
		{input: "alice\nsecret\r\n", name: "alice", password: "secret"},
		{input: "alice\r\nsecret\r\n", name: "alice", password: "secret"},
		{input: " alice \n secret \n", name: " alice ", password: " secret "},
		{input: "alice\n\n", name: "alice", password: ""},
		{input: "\nsecret\n", name: "", password: "secret"},
		{input: "älice\nsécret:\"'\\\n", name: "älice", password: "sécret:\"'\\"},
		{input: "", wrong: "must be the name and the password"},
		{input: "alice", wrong: "must be the name and the password"},
		{input: "alice\n", wrong: "must be the name and the password"},
		{input: "alice\nsecret\n\n", wrong: "must end after two lines"},
		{input: "mallory\nher-password\nsecret\n", wrong: "must end after two lines"},
		{input: "secret\x00", wrong: "needs the name from PAM_USER or -u"},
		{input: "alice\x00secret\x00", wrong: "needs the name from PAM_USER or -u"},
	} {
		name, password, err := loginclient.SplitPair([]byte(c.input))
		assert.Equal(t, c.name, name, "%q", c.input)
		assert.Equal(t, c.password, password, "%q", c.input)
		if c.wrong == "" {
			assert.NoError(t, err, "%q", c.input)
		} else {
			assert.ErrorContains(t, err, c.wrong, "%q", c.input)
		}
	}
}

func TestOnlyPassword_TakesOneLineOrWhatEndsWithNUL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ input, password, wrong string }{
		{input: "secret\n", password: "secret"},
		{input: "secret", password: "secret"},
		{input: "secret\r\n", password: "secret"},
		{input: "secret\r", password: "secret\r"},
		{input: "secret\x00", password: "secret"},
		{input: "secret\n\x00", password: "secret\n"},
		{input: "bob\nbobs-password\x00", password: "bob\nbobs-password"},
		{input: "a\x00b\x00", password: "a\x00b"}, // which Validate rejects
		{input: "", password: ""},
		{input: "\x00", password: ""},
		{input: "bob\nbobs-password\n", wrong: "must be one line"},
		{input: "secret\n\n", wrong: "must be one line"},
	} {
		password, err := loginclient.OnlyPassword([]byte(c.input))
		assert.Equal(t, c.password, password, "%q", c.input)
		if c.wrong == "" {
			assert.NoError(t, err, "%q", c.input)
		} else {
			assert.ErrorContains(t, err, c.wrong, "%q", c.input)
		}
	}
}
