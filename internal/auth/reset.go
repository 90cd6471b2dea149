package auth

import (
	"context"
	"slices"

	"authsvc/internal/throttle"
)

// ThrottledAccounts returns the accounts whose failures keep a user out: the entry's that is found
// by the name, if there is one, and those of the name itself. dn is the entry's. The error is what
// is wrong with the name, or a fault of the directory.
func (a *Authenticator) ThrottledAccounts(ctx context.Context, username string) (accounts []throttle.Account, dn string, err error) {
	c := Credentials{Username: username, Password: "none"}
	if err := c.Validate(); err != nil {
		return nil, "", err
	}
	l := a.newLogin(c)
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	found, err := l.identify(ctx)
	switch r := resultOf(err); {
	case err == nil:
		l.identity, dn = found, found.user.DN
	case r.Outcome != InvalidUser && r.Outcome != InvalidPassword:
		return nil, "", err
	}
	accounts = []throttle.Account{l.account(), l.typedAccount(), throttle.ByAmbiguousName(l.nameKey())}
	if accounts[0] == accounts[1] {
		accounts = slices.Delete(accounts, 0, 1)
	}
	return accounts, dn, nil
}
