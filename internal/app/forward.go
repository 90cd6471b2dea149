package app

import (
	"authsvc/api"
	"authsvc/internal/auth"
)

// forwarding is the configuration of forward authentication.
func (a *App) forwarding() api.Forward {
	var results []string
	for _, r := range api.ForwardResults() {
		results = append(results, string(r))
	}
	count := a.observers.metrics.CountForwards(results)
	a.observers.metrics.WatchRemembered(a.logins.Remembered)
	return api.Forward{
		Verifier: a.logins, Realm: a.cfg.Auth.BasicRealm, Headers: a.cfg.Auth.IdentityHeaders,
		Answered: func(r api.ForwardResult, s auth.Source) { count(string(r), s) },
		Probes:   &a.probes,
	}
}

// forget drops what is remembered of a user's credentials, or if the name is empty, of everybody's.
func (a *App) forget(username string) (accounts int) {
	accounts = a.logins.Forget(username)
	a.log.Info("credentials forgotten", "username", username, "accounts", accounts)
	return accounts
}

// doors are the listeners that serve logins.
func (a *App) doors() []listener {
	if a.forward.Listener == nil {
		return []listener{a.main}
	}
	return []listener{a.main, a.forward}
}
