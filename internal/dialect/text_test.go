package dialect

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText_GivesGUIDsAndSIDsTheirUsualForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ attribute, value, want string }{
		"a GUID":                      {"objectGUID", "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", "00112233-4455-6677-8899-aabbccddeeff"},
		"a GUID that is UTF-8":        {"objectguid", "abcdefghijklmnop", "64636261-6665-6867-696a-6b6c6d6e6f70"},
		"a GUID that is too short":    {"objectGUID", "\xff", ""},
		"a user's SID":                {"objectSid", "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff\xf4\x01\x00\x00", "S-1-5-21-1-2-4294967295-500"},
		"everyone's SID":              {"OBJECTSID", "\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", "S-1-1-0"},
		"a SID without sub-authority": {"objectSid", "\x01\x00\x00\x00\x00\x00\x00\x05", "S-1-5"},
		"a SID of a large authority":  {"objectSid", "\x01\x00\xff\x00\x00\x00\x00\x05", "S-1-0xff0000000005"},
		"a SID of another revision":   {"objectSid", "\x02\x00\x00\x00\x00\x00\x00\x05", ""},
		"a SID that is too short":     {"objectSid", "\x01\x01\x00\x00\x00\x00\x00\x05\xff", ""},
		"a SID that is too long":      {"objectSid", "\x01\x00\x00\x00\x00\x00\x00\x05\xff", ""},
		"another attribute":           {"otherGUID", "abcdefghijklmnop", ""},
	} {
		got, ok := Text(c.attribute, c.value)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.want != "", ok, name)
		require.Equal(t, c.attribute != "otherGUID", HasText(c.attribute))
	}
}
