package sharedthrottle

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"authsvc/internal/throttle"
)

// naming makes the names of keys. A reader of the keys must not learn whose they are. A plain hash
// of a DN could be guessed, so they are an HMAC. Its key is derived from the password of the
// server, which all instances have and which somebody who only sees the keys (a backup, a monitor)
// has not. Without a password the names can be guessed.
type naming struct {
	prefix string
	secret []byte
}

func newNaming(prefix, password string) (naming, error) {
	secret, err := hkdf.Key(sha256.New, []byte(password), []byte("authsvc shared throttle"), prefix, sha256.Size)
	return naming{prefix, secret}, err
}

// nameLength is the bytes of a name before base64: collisions cannot be found.
const nameLength = 16

func (n naming) name(a throttle.Account) string {
	mac := hmac.New(sha256.New, n.secret)
	mac.Write(a[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nameLength])
}

// base returns the beginning of all keys of an account. The hash tag in it makes a Cluster keep
// them on one node.
func (n naming) base(home throttle.Account) string { return n.prefix + ":{" + n.name(home) + "}:" }

// What the keys of an account end with, and whose its own counts are.
const (
	ofFailures   = "f"
	ofUnanswered = "u"
	ofUndecided  = "p"
	everywhere   = "*"
)

// counts are the keys and the budgets of an attempt.
type counts struct {
	home    throttle.Account
	keys    []string // of the scripts
	budgets []throttle.Budget
	who     []string // whose each budget is
}

// counts returns the counts of an attempt; without budgets if there is no limit.
func (n naming) counts(home throttle.Account, budgets []throttle.Budget) counts {
	base := n.base(home)
	c := counts{home: home, keys: []string{base + ofFailures, base + ofUnanswered}, budgets: budgets}
	for _, b := range budgets {
		who, undecided := everywhere, base+ofUndecided
		if b.Key != home {
			who = n.name(b.Key)
			undecided += ":" + who
		}
		c.who, c.keys = append(c.who, who), append(c.keys, undecided)
	}
	return c
}

// reserveArgs are the arguments of reserve.lua.
func (c *counts) reserveArgs(id string, last, old, forgotten int64) []any {
	args := make([]any, 0, 4+3*len(c.budgets))
	args = append(args, id, last, old, forgotten)
	for i, b := range c.budgets {
		args = append(args, c.who[i], b.RefundTime().Microseconds(), b.RefundTime().Microseconds()*int64(b.Failures()))
	}
	return args
}

// settleArgs are the arguments of settle.lua.
func (c *counts) settleArgs(id, verdict string) []any {
	args := make([]any, 0, 2+4*len(c.budgets))
	args = append(args, id, verdict)
	for i, b := range c.budgets {
		args = append(args, c.who[i], b.RefundTime().Microseconds(), b.RefundTime().Microseconds()*int64(b.Failures()), b.Limit().String())
	}
	return args
}
