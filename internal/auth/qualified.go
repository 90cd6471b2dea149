package auth

import (
	"errors"
	"strings"

	"authsvc/internal/dialect"
	"authsvc/ldappool/ldapconn"
)

// errOtherDomain is the cause of an unknown user.
var errOtherDomain = errors.New("the name belongs to another domain")

// accountPlaceholder and accountPartOfDN stand in the filters of qualifiedFilters for the account
// part of the typed name.
const (
	accountPlaceholder = "{account}"
	accountPartOfDN    = "{account-in-dn}"
)

// qualifiedFilters find users by names that may contain a domain.
type qualifiedFilters struct {
	typed     *userFilter // by the whole name
	byAccount *userFilter // by the account part of the name, which must be the account's name and not only another attribute's value
	byEither  *userFilter
}

func newQualifiedFilters(typed *userFilter, accountAttribute string) (f qualifiedFilters, err error) {
	account := strings.NewReplacer(placeholder, accountPlaceholder, namePartOfDN, accountPartOfDN).Replace(typed.text)
	account = "(&" + account + "(" + accountAttribute + "=" + accountPlaceholder + "))"
	f.typed = typed
	if f.byAccount, err = newUserFilter(account); err != nil {
		return f, err
	}
	f.byEither, err = newUserFilter("(|" + typed.text + account + ")")
	return f, err
}

// fill returns the filter for a name in a domain; ok is false if the name is of another domain.
// Each part of the name is one escaped assertion value.
func (f *qualifiedFilters) fill(username string, d dialect.Domain) (filter ldapconn.Filter, ok bool) {
	name, ok := d.Parse(username)
	switch {
	case !ok:
		return ldapconn.Filter{}, false
	case name.Account == "":
		return f.typed.fill(name.Typed, ""), true
	case name.Typed == "":
		return f.byAccount.fill("", name.Account), true
	}
	return f.byEither.fill(name.Typed, name.Account), true
}
