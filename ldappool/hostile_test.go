package ldappool

import (
	"bytes"
	"encoding/hex"

	"github.com/go-ldap/ldap/v3"
)

// Tags of the operations of answers (RFC 4511 section 4.2 and following).
const (
	tagBindResponse   = 0x61
	tagSearchEntry    = 0x64
	tagSearchDone     = 0x65
	tagSearchRef      = 0x73
	tagExtendedAnswer = 0x78
)

// tlv is an element of BER with a length of four bytes.
func tlv(tag byte, contents ...[]byte) []byte {
	content := bytes.Join(contents, nil)
	n := len(content)
	return append([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, content...)
}

// deep is an element of so many levels, each in the one before, and of at least size bytes.
func deep(levels, size int) []byte {
	const head = 6 // bytes of a tag and a length
	size = max(size, levels*head)
	var b []byte
	for at := 1; at <= levels; at++ {
		tag, n := byte(0x30), size-at*head
		if at == levels {
			tag = 0x04
		}
		b = append(b, tag, 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, make([]byte, size-len(b))...)
}

// answered is an LDAPMessage around an operation, with controls as they are.
func answered(id byte, op []byte, controls ...[]byte) []byte {
	parts := [][]byte{{0x02, 0x01, id}, op}
	if len(controls) > 0 {
		parts = append(parts, tlv(0xa0, controls...))
	}
	return tlv(0x30, parts...)
}

// refusal is the result of an operation: refused, with what else is to be in it.
func refusal(op byte, matched, diagnostic []byte, more ...[]byte) []byte {
	return tlv(op, append([][]byte{{0x0a, 0x01, 49}, tlv(0x04, matched), tlv(0x04, diagnostic)}, more...)...)
}

// control is a control with a value.
func control(oid string, value []byte) []byte {
	return tlv(0x30, tlv(0x04, []byte(oid)), tlv(0x04, value))
}

// entryOf is a search entry with one attribute of these values.
func entryOf(id byte, dn string, values ...[]byte) []byte {
	return answered(id, tlv(tagSearchEntry, tlv(0x04, []byte(dn)), tlv(0x30, tlv(0x30, tlv(0x04, []byte("uid")), tlv(0x31, values...)))))
}

// hostileAnswers are about as large as an answer may be. id is the request's, op the tag of the
// response that it waits for.
func hostileAnswers() map[string]func(id, op byte) []byte {
	const most = maxAnswer - 1000
	many := func(b []byte) []byte { return bytes.Repeat(b, most/len(b)) }
	policy := ldap.ControlTypeBeheraPasswordPolicy
	answers := map[string]func(id, op byte) []byte{
		"a control of 64 KiB, 990 levels deep": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), control(policy, deep(990, 64<<10)))
		},
		"a control of 4 MiB, 990 levels deep": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), control(policy, deep(990, most)))
		},
		"a control of 4 MiB of NULLs": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), control(policy, tlv(0x30, many([]byte{5, 0}))))
		},
		"controls nested in controls": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), deep(8, most))
		},
		"controls under another tag": func(id, op byte) []byte {
			return tlv(0x30, []byte{0x02, 0x01, id}, refusal(op, nil, nil), tlv(0x30, control(policy, deep(990, most))))
		},
		"800,000 controls": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), many([]byte{0x30, 3, 4, 1, 'x'}))
		},
		"a control's type of 4 MiB": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil), tlv(0x30, tlv(0x04, many([]byte("1.")))))
		},
		"a diagnostic of 4 MiB": func(id, op byte) []byte { return answered(id, refusal(op, nil, many([]byte("no")))) },
		"a matched DN of 1.3 million U+FDFA": func(id, op byte) []byte {
			return answered(id, refusal(op, many([]byte("\uFDFA")), nil))
		},
		"a million referrals": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil, tlv(0xa3, many([]byte{4, 1, 'x'}))))
		},
		"a million elements in the result": func(id, op byte) []byte {
			return answered(id, refusal(op, nil, nil, many([]byte{0x85, 0})))
		},
	}
	entries := map[string]func(id byte) []byte{
		"an entry named by 1 MiB in hexadecimal": func(id byte) []byte {
			return entryOf(id, "uid=#"+hex.EncodeToString(deep(990, most/3)))
		},
		"an entry named by 1.3 million U+FDFA": func(id byte) []byte { return entryOf(id, "cn="+string(many([]byte("\uFDFA")))) },
		"an entry of a million values":         func(id byte) []byte { return entryOf(id, "cn=x", many([]byte{4, 1, 'x'})) },
		"an entry of 300,000 attributes": func(id byte) []byte {
			return answered(id, tlv(tagSearchEntry, tlv(0x04), tlv(0x30, many([]byte{0x30, 0x08, 4, 1, 'x', 0x31, 3, 4, 1, 'y'}))))
		},
		"an entry with a control 990 levels deep": func(id byte) []byte {
			return answered(id, tlv(tagSearchEntry, tlv(0x04), tlv(0x30)), control(ldap.ControlTypePaging, deep(990, most)))
		},
		"references without end": func(id byte) []byte {
			return many(answered(id, tlv(tagSearchRef, tlv(0x04, []byte("ldap://x/")))))
		},
		"one reference of a million": func(id byte) []byte { return answered(id, tlv(tagSearchRef, many([]byte{4, 1, 'x'}))) },
	}
	for name, entry := range entries {
		answers[name] = func(id, op byte) []byte {
			return append(entry(id), answered(id, refusal(op, nil, nil))...)
		}
	}
	return answers
}
