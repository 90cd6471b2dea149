package auth

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"authsvc/internal/dialect"
	"authsvc/ldappool"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Explain does every step of a login that needs no password. The throttle does not count it, and
// the Observer does not get it. OK means that only the password or the bind could still fail the
// login. Any other outcome is that of a login with the right password.
func (a *Authenticator) Explain(ctx context.Context, username string) Result {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	if err := (Credentials{Username: username, Password: "some"}).Validate(); err != nil {
		return Result{Outcome: BadRequest, Detail: err.Error()}
	}
	l := &login{Authenticator: a, username: username, began: time.Now()}
	r := l.explain(ctx)
	r.Server, r.Phases = l.server, l.phases
	return r
}

// explain is run without throttle and bind. Its result has the user even if it is not OK.
func (l *login) explain(ctx context.Context) Result {
	id, err := l.identify(ctx)
	if err != nil {
		return resultOf(err)
	}
	l.identity = id
	r := l.finish(ctx, Result{Outcome: OK, DN: id.user.DN, PasswordSeen: true})
	r.User = &l.identity.user
	return r
}

// RequiredGroup is a required group and its entries in the directory.
type RequiredGroup struct {
	Item string   // as configured
	IsDN bool     // it is a DN; otherwise a name
	DNs  []string // of the matching entries, as the directory returns them, sorted; without any it permits no login
}

// RequiredGroups looks up the required groups as the service identity.
func (a *Authenticator) RequiredGroups(ctx context.Context) ([]RequiredGroup, error) {
	if a.groups == nil {
		return nil, nil
	}
	var all []RequiredGroup
	for i, item := range a.groups.Required {
		r := a.groups.required[i]
		dns, err := a.findRequired(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, RequiredGroup{Item: item, IsDN: r.isDN, DNs: dns})
	}
	return all, nil
}

// maxFound bounds the entries found for one name.
const maxFound = 10

// findRequired returns the DNs of the entries that match a required group.
func (a *Authenticator) findRequired(ctx context.Context, r requiredGroup) (dns []string, err error) {
	l := &login{Authenticator: a}
	if r.isDN {
		entries, _, err := l.lookupBase(ctx, fmt.Sprintf("group %q", r.text), r.text, "(objectClass=*)", "1.1")
		if err != nil {
			return nil, resultOf(err).Cause
		}
		for _, e := range entries {
			dns = append(dns, e.DN)
		}
		return dns, nil
	}
	bases, err := l.groupBases(ctx)
	if err != nil {
		return nil, resultOf(err).Cause
	}
	for _, base := range bases {
		answer, err := l.doSearch(ctx, ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, maxFound, 0, false,
			"("+a.groups.NameAttribute+"="+ldap.EscapeFilter(r.text)+")", []string{"1.1"}, nil))
		if err != nil {
			return nil, err
		}
		if err := judgeSearch(answer.Result); err != nil {
			return nil, resultOf(err).Cause
		}
		for _, e := range answer.Entries {
			dns = append(dns, e.DN)
		}
	}
	slices.Sort(dns)
	return slices.Compact(dns), nil
}

// ExplainBind returns the result of a login with this answer to its bind. It also explains answers
// to the service identity's bind.
func ExplainBind(d *dialect.Dialect, r ldappool.Result) Result { return judgeBind(d, r, InvalidUser) }

// FilterAttributes returns the names of the attributes that a filter template compares, each once,
// as written.
func FilterAttributes(template string) []string { return filterAttributes(template, false) }

// NameAttributes returns those of them that are compared with the typed name.
func NameAttributes(template string) []string { return filterAttributes(template, true) }

// typedProbe replaces the typed name, and occurs in no filter.
const typedProbe = "the-name-that-was-typed"

func filterAttributes(template string, ofName bool) (names []string) {
	packet, err := ldap.CompileFilter(strings.NewReplacer(placeholder, typedProbe, dnPlaceholder, "probe").Replace(template))
	if err != nil {
		return nil
	}
	collectAttributes(packet, func(name string, comparison *ber.Packet) {
		name, _, _ = strings.Cut(name, ";")
		same := func(other string) bool { return strings.EqualFold(other, name) }
		if name != "" && !slices.ContainsFunc(names, same) && (!ofName || bytes.Contains(comparison.Bytes(), []byte(typedProbe))) {
			names = append(names, name)
		}
	})
	return names
}

// collectAttributes calls add for each comparison of a compiled filter (RFC 4511 section 4.5.1.7).
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
