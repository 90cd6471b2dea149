package ldapconn

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/memtest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// nested is an element of so many levels, each in the one before, and of at least size bytes.
func nested(levels, size int) []byte {
	const head = 6 // bytes of a tag and a length
	size = max(size, levels*head)
	var b []byte
	for at := 1; at <= levels; at++ {
		tag, n := byte(tagSequence), size-at*head
		if at == levels {
			tag = tagOctetString
		}
		b = append(b, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, make([]byte, size-len(b))...)
}

// hostileAnswers are about as large as an answer may be. id is the request's, op the tag of the
// response that it waits for.
func hostileAnswers() map[string]func(id, op byte) []byte {
	const most = maxAnswer - 1000
	many := func(b []byte) []byte { return bytes.Repeat(b, most/len(b)) }
	message := func(id byte, parts ...[]byte) []byte {
		return around(tagSequence, append([][]byte{{tagInteger, 1, id}}, parts...)...)
	}
	refusal := func(op byte, matched, diagnostic []byte, more ...[]byte) []byte {
		return around(op, append([][]byte{{tagEnumerated, 1, 49}, text(string(matched)), text(string(diagnostic))}, more...)...)
	}
	control := func(value []byte) []byte {
		return around(tagControls, around(tagSequence, text(ldap.ControlTypeBeheraPasswordPolicy), text(string(value))))
	}
	entry := func(id byte, dn string, values ...[]byte) []byte {
		return message(id, around(tagSearchEntry, text(dn), around(tagSequence, around(tagSequence, text("uid"), around(tagSet, values...)))))
	}
	answers := map[string]func(id, op byte) []byte{
		"a control of 64 KiB, 990 levels deep": func(id, op byte) []byte { return message(id, refusal(op, nil, nil), control(nested(990, 64<<10))) },
		"a control of 4 MiB, 990 levels deep":  func(id, op byte) []byte { return message(id, refusal(op, nil, nil), control(nested(990, most))) },
		"a control of 4 MiB of NULLs": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil), control(around(tagSequence, many([]byte{5, 0}))))
		},
		"controls nested in controls": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil), around(tagControls, nested(8, most)))
		},
		"controls under another tag": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil), around(tagSequence, nested(990, most)))
		},
		"800,000 controls": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil), around(tagControls, many([]byte{tagSequence, 3, tagOctetString, 1, 'x'})))
		},
		"a control's OID of 4 MiB": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil), around(tagControls, around(tagSequence, text(string(many([]byte("1.")))))))
		},
		"a diagnostic of 4 MiB": func(id, op byte) []byte { return message(id, refusal(op, nil, many([]byte("no")))) },
		"a matched DN of 4 MiB": func(id, op byte) []byte { return message(id, refusal(op, many([]byte("\uFDFA")), nil)) },
		"a million referrals": func(id, op byte) []byte {
			return message(id, refusal(op, nil, nil, around(tagReferral, many(text("x")))))
		},
		"two million extensions":    func(id, op byte) []byte { return message(id, refusal(op, nil, nil, many([]byte{0x85, 0}))) },
		"half of a message of 4MiB": func(id, op byte) []byte { b := message(id, refusal(op, nil, many([]byte("no")))); return b[:len(b)/2] },
	}
	entries := map[string]func(id byte) []byte{
		"an entry with a DN of 1 MiB in hexadecimal": func(id byte) []byte { return entry(id, "uid=#"+hex.EncodeToString(nested(990, most/3))) },
		"an entry with a DN of 1.3 million U+FDFA":   func(id byte) []byte { return entry(id, "cn="+string(many([]byte("\uFDFA")))) },
		"an entry with a million values":             func(id byte) []byte { return entry(id, "cn=x", many(text("x"))) },
		"an entry with 300,000 attributes": func(id byte) []byte {
			return message(id, around(tagSearchEntry, text(""), around(tagSequence, many(around(tagSequence, text("x"), around(tagSet, text("y")))))))
		},
		"an entry with a control 990 levels deep": func(id byte) []byte {
			return message(id, around(tagSearchEntry, text(""), around(tagSequence)), control(nested(990, most)))
		},
		"references without end":     func(id byte) []byte { return many(message(id, around(tagSearchReference, text("ldap://x/")))) },
		"one reference of a million": func(id byte) []byte { return message(id, around(tagSearchReference, many(text("x")))) },
		"entries without end":        func(id byte) []byte { return many(entry(id, "cn=x", text("x"))) },
	}
	for name, entry := range entries {
		answers[name] = func(id, op byte) []byte { return append(entry(id), message(id, refusal(op, nil, nil))...) }
	}
	return answers
}

// TestConn_AHostileAnswerTakesBoundedMemory, whatever it answers and whatever is in it.
func TestConn_AHostileAnswerTakesBoundedMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	const peak, total = 32 << 20, 32 << 20
	ca := ldaptest.NewCA(t)
	do := func(operate func(c *Conn) error) func(Endpoint) error {
		return func(e Endpoint) error {
			c, err := Dial(soon(t), e, Options{})
			require.NoError(t, err)
			defer c.Close()
			return operate(c)
		}
	}
	for op, tt := range map[string]struct {
		response byte
		do       func(Endpoint) error
	}{
		"bind": {tagBindResponse, do(func(c *Conn) error {
			_, err := c.Bind(soon(t), time.Now().Add(5*time.Second), ldaptest.UserDN(1), "hunter2")
			return err
		})},
		"search": {tagSearchDone, do(func(c *Conn) error {
			_, err := c.Search(soon(t), time.Now().Add(5*time.Second), anyone(), Filter{})
			return err
		})},
		"StartTLS": {tagExtendedAnswer, func(e Endpoint) error {
			e.Security = StartTLS
			c, err := Dial(soon(t), e, Options{TLS: ca.ClientTLS("localhost")})
			require.Nil(t, c)
			return err
		}},
	} {
		for name, answer := range hostileAnswers() {
			if name == "half of a message of 4MiB" && op == "StartTLS" {
				continue // it waits for the rest until the dial times out
			}
			t.Run(name+", to a "+op, func(t *testing.T) {
				b := answer(1, tt.response)
				server := ldaptest.NewServer(t, func(c *ldaptest.Conn, _ ldaptest.Request) { c.WriteRaw(b) })
				e := endpointOf(t, server.URL(), false)
				var err error
				used := memtest.Measure(func() { err = tt.do(e) })
				t.Logf("%s of input: peak %s, in all %s: %v", mb(len(b)), mb(used.Peak), mb(used.Total), err)
				require.Error(t, err)
				require.LessOrEqual(t, used.Peak, uint64(peak))
				require.LessOrEqual(t, used.Total, uint64(total))
			})
		}
	}
}

func mb[N int | uint64](n N) string {
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}
