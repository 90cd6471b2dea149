package auth

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"authsvc/ldappool"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Explain takes every step of a login that needs no password, and none that the throttle counts or an Observer is told
// of. OK means that nothing but the password could forbid it, and what the bind itself would say; any other outcome is what
// a login with the right password would come to.
func (a *Authenticator) Explain(ctx context.Context, username string) Result {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	l := &login{Authenticator: a, username: username}
	l.result.Outcome = InternalError
	if err := (Credentials{Username: username, Password: "some"}).Validate(); err != nil {
		return Result{Outcome: BadRequest, Detail: err.Error()}
	}
	if !l.identify(ctx) {
		return l.result
	}
	l.result.DN = l.user.DN
	l.end(Result{Outcome: OK})
	l.checkState()
	if l.result.Outcome == OK {
		l.authorize(ctx)
	}
	l.result.User = &l.user
	return l.result
}

// MissingGroups gives those of the required groups that the directory does not show to the service identity, as they were
// written. They let nobody in.
func (a *Authenticator) MissingGroups(ctx context.Context) ([]string, error) {
	if a.groups == nil {
		return nil, nil
	}
	l := &login{Authenticator: a}
	bases, ok := l.groupBases(ctx)
	if !ok {
		return nil, l.result.Cause
	}
	var missing []string
	for _, item := range a.groups.Required {
		there, err := l.exists(ctx, bases, item)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, item)
		}
	}
	return missing, nil
}

// exists tells whether a required group is there.
func (l *login) exists(ctx context.Context, bases []string, item string) (bool, error) {
	scope, filter := ldap.ScopeWholeSubtree, "("+l.groups.NameAttribute+"="+ldap.EscapeFilter(parseRequired(item).name)+")"
	if parseRequired(item).dn != "" {
		bases, scope, filter = []string{item}, ldap.ScopeBaseObject, "(objectClass=*)"
	}
	for _, base := range bases {
		answer, err := l.ask(ctx, ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 1, 0, false, filter, []string{"1.1"}, nil))
		if err != nil {
			return false, err
		}
		if answer.Code != ldap.LDAPResultNoSuchObject {
			if r := judgeSearch(answer.Result); r.Outcome != OK {
				return false, r.Cause
			}
		}
		if len(answer.Entries) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// ExplainBind says what an answer to a bind means, as a login has it, without there having been one: for the service
// identity's bind, which is refused in the same words.
func ExplainBind(p Preset, r ldappool.Result) Result { return judgeBind(p, r, InvalidUser) }

// FilterAttributes names the attributes that a filter template compares, each once, as it has them.
func FilterAttributes(template string) []string { return filterAttributes(template, false) }

// NameAttributes names those of them that it compares with the name that was typed.
func NameAttributes(template string) []string { return filterAttributes(template, true) }

// typed stands for the name that was typed, and is part of no filter.
const typed = "the-name-that-was-typed"

func filterAttributes(template string, ofName bool) (names []string) {
	packet, err := ldap.CompileFilter(strings.NewReplacer(placeholder, typed, dnPlaceholder, "probe").Replace(template))
	if err != nil {
		return nil
	}
	collectAttributes(packet, func(name string, comparison *ber.Packet) {
		name, _, _ = strings.Cut(name, ";")
		same := func(other string) bool { return strings.EqualFold(other, name) }
		if name != "" && !slices.ContainsFunc(names, same) && (!ofName || bytes.Contains(comparison.Bytes(), []byte(typed))) {
			names = append(names, name)
		}
	})
	return names
}

// collectAttributes goes through a compiled filter (RFC 4511 section 4.5.1.7).
func collectAttributes(p *ber.Packet, add func(name string, comparison *ber.Packet)) {
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, child := range p.Children {
			collectAttributes(child, add)
		}
	case ldap.FilterPresent:
		add(p.Data.String(), p)
	case ldap.FilterExtensibleMatch:
		for _, child := range p.Children {
			if child.Tag == 2 { // type
				add(child.Data.String(), p)
			}
		}
	default:
		if len(p.Children) > 0 {
			add(p.Children[0].Data.String(), p)
		}
	}
}
