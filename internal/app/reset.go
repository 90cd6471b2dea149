package app

import (
	"errors"
	"fmt"
	"net/http"

	"authsvc/internal/auth"
	"authsvc/internal/logsafe"
	"authsvc/internal/throttle"
)

// resetThrottle frees the account that a name leads to, in this instance and in what is shared. It
// logs who was freed by whom.
func (a *App) resetThrottle(r *http.Request, username string) (accounts int, invalid, fault error) {
	if err := (auth.Credentials{Username: username, Password: "none"}).Validate(); err != nil {
		return 0, err, nil
	}
	of, dn, err := a.logins.ThrottledAccounts(r.Context(), username)
	if err != nil {
		return 0, nil, fmt.Errorf("nothing is freed, because the directory does not say whose name this is: %w", err)
	}
	for _, account := range of {
		found, err := a.free(r, account)
		if found {
			accounts++
		}
		fault = errors.Join(fault, err)
	}
	if fault != nil {
		fault = fmt.Errorf("freed in this instance, but not in the shared throttle: %w", fault)
	}
	a.log.Info("throttle reset", "username", logsafe.Clean(username, logsafe.MaxText), "dn", logsafe.Clean(dn, logsafe.MaxText), "accounts", accounts,
		"client", logsafe.Clean(r.RemoteAddr, logsafe.MaxText), "shared", a.shared != nil && fault == nil)
	return accounts, nil, fault
}

// free frees one account.
func (a *App) free(r *http.Request, account throttle.Account) (found bool, err error) {
	if a.shared != nil {
		return a.shared.Reset(r.Context(), account)
	}
	return a.throttle.Reset(account), nil
}
