package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"

	"github.com/go-ldap/ldap/v3"
)

// base looks whether a base DN is there for the service identity.
func (s *patient) base(ctx context.Context, base string) finding {
	entries, code, matched, err := s.ask(ctx, base, ldap.ScopeBaseObject, "(objectClass=*)", 1, "1.1")
	switch {
	case err != nil:
		return ill("see whether the server is under load, or something between cuts connections", "the search for %s was not answered: %v", base, err)
	case code == ldap.LDAPResultSuccess && len(entries) > 0:
		return well("%s is there", base)
	case code == ldap.LDAPResultSuccess, code == ldap.LDAPResultInsufficientAccessRights:
		return s.invisible(base)
	case code == ldap.LDAPResultNoSuchObject:
		return s.absent(ctx, base, matched)
	case code == ldap.LDAPResultOperationsError && s.anonymous:
		return ill("set LDAP_BIND_DN and LDAP_BIND_PASSWORD to an account that may search", "the directory lets nobody search who has not bound")
	case code == ldap.LDAPResultReferral:
		return ill("name the servers that hold it in LDAP_URL: referrals are not followed", "this server does not hold %s and refers to another", base)
	case code == ldap.LDAPResultInvalidDNSyntax:
		return ill("write LDAP_BASE_DN as a DN: ou=people,dc=example,dc=org", "%q is no DN to the directory", base)
	}
	return ill("see the directory's log", "%s cannot be read: %s", base, result(code))
}

// absent tells what there is in place of a base that is not.
func (s *patient) absent(ctx context.Context, base, matched string) finding {
	contexts := s.root["namingcontexts"]
	if len(contexts) > 0 && !slices.ContainsFunc(contexts, func(c string) bool { return below(base, c) }) {
		return ill("correct LDAP_BASE_DN, the place where users are looked for: it must end with "+strings.Join(contexts, " or "), "the directory does not hold %s: what it holds is %s", base, list(contexts))
	}
	if matched == "" || s.read(ctx, matched, "1.1") == nil {
		f := s.invisible(base)
		for dn := parent(base); dn != "" && len(f.Details) == 0; dn = parent(dn) {
			f.Details = s.children(ctx, dn)
		}
		return f
	}
	f := ill("set LDAP_BASE_DN to where the users are: one of those named above, or LDAP_BASE_DN="+matched+" for everything in it", "%s does not exist; %s does", base, matched)
	f.Details = s.children(ctx, matched)
	return f
}

// children names some entries right below another, those that the service identity may see.
func (s *patient) children(ctx context.Context, dn string) (lines []string) {
	const few = 20
	entries, _, _, err := s.ask(ctx, dn, ldap.ScopeSingleLevel, "(objectClass=*)", few, "1.1")
	if err != nil {
		return nil
	}
	for _, e := range entries[:min(len(entries), few)] { // Samba ignores the limit
		lines = append(lines, "there is: "+e.DN)
	}
	return lines
}

// parent is the DN above another; "" above the first.
func parent(dn string) string {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) < 2 {
		return ""
	}
	return (&ldap.DN{RDNs: d.RDNs[1:]}).String()
}

// invisible tells of a base that is hidden, or not there: a directory that hides does not tell which.
func (s *patient) invisible(base string) finding {
	if s.anonymous {
		return ill("set LDAP_BIND_DN and LDAP_BIND_PASSWORD to an account that may search, or correct LDAP_BASE_DN",
			"%s is not shown to who has not bound: the directory's access rules hide it, or it is not there", base)
	}
	return ill("have whoever runs the directory let the service identity read and search it, or correct LDAP_BASE_DN",
		"%s cannot be seen by %s: the directory's access rules hide it, or it is not there (a directory does not tell which)", base, s.Pool.BindDN)
}

// below tells whether a DN is another, or beneath it.
func below(dn, top string) bool {
	d, err := ldap.ParseDN(dn)
	t, err2 := ldap.ParseDN(top)
	return err == nil && err2 == nil && (t.EqualFold(d) || t.AncestorOfFold(d))
}

func result(code uint16) string { return fmt.Sprintf("%s (%d)", ldap.LDAPResultCodeMap[code], code) }

// filter looks whether the user filter finds anybody: with any name, which matches whatever has the attribute.
func (s *patient) filter(ctx context.Context) finding {
	anybody := strings.ReplaceAll(s.Logins.Filter, "{username}", "*")
	scope := ldap.ScopeWholeSubtree
	if s.Logins.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	missing := s.undefined(ctx)
	for _, base := range s.Logins.BaseDNs {
		entries, code, _, err := s.ask(ctx, base, scope, anybody, 1, "1.1")
		switch {
		case err != nil:
			return ill("put an index on the filter's attributes; look at the directory's load", "%s was not answered: %v", anybody, err)
		case code != ldap.LDAPResultSuccess && code != ldap.LDAPResultSizeLimitExceeded:
			return ill("see the directory's log", "%s below %s: %s", anybody, base, result(code))
		case len(entries) > 0:
			return s.matched(ctx, base, entries[0].DN, missing)
		}
	}
	if len(missing) > 0 {
		return ill("correct LDAP_USER_FILTER: "+s.hint(ctx), "no entry matches %s: the directory's schema has no attribute %s", anybody, strings.Join(missing, ", "))
	}
	return ill("correct LDAP_USER_FILTER: "+s.hint(ctx)+"; or LDAP_BASE_DN and LDAP_USER_SCOPE; or have whoever runs the directory let the service identity read and search "+
		strings.Join(auth.FilterAttributes(s.Logins.Filter), ", ")+" of the users",
		"no entry below %s matches %s: none has those attributes, or the service identity may not read them", strings.Join(s.Logins.BaseDNs, "; "), anybody)
}

// hint is by which attribute users could be found: one that persons have there, or else what is usual.
func (s *patient) hint(ctx context.Context) string {
	if s.Logins.Preset == auth.AD {
		return "leave it out, and the preset's own filter finds users by their logon name"
	}
	for _, base := range s.Logins.BaseDNs {
		for _, name := range []string{"uid", "sAMAccountName", "mail", "cn"} {
			entries, _, _, err := s.ask(ctx, base, ldap.ScopeWholeSubtree, "(&(|(objectClass=person)(objectClass=posixAccount))("+name+"=*))", 1, "1.1")
			if err == nil && len(entries) > 0 {
				return fmt.Sprintf("LDAP_USER_FILTER=(%s={username}) would find some, for example %s", name, entries[0].DN)
			}
		}
	}
	return "LDAP_USER_FILTER=(uid={username}) is usual"
}

// matched tells of a filter that finds somebody.
func (s *patient) matched(ctx context.Context, base, example string, missing []string) finding {
	f := well("%s finds users, for example %s", s.Logins.Filter, example)
	if len(missing) > 0 {
		f = unwise("take it out of LDAP_USER_FILTER", "%s finds users, but the directory's schema has no attribute %s", s.Logins.Filter, strings.Join(missing, ", "))
	}
	s.indexes(ctx, base, &f)
	return f
}
