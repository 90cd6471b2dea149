package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"authsvc/internal/auth"
	"authsvc/internal/dialect"
	"authsvc/internal/ldapname"

	"github.com/go-ldap/ldap/v3"
)

// checkBase checks whether a base DN exists and is visible to the service identity.
func (s *target) checkBase(ctx context.Context, base string) finding {
	entries, code, matched, err := s.ask(ctx, base, ldap.ScopeBaseObject, "(objectClass=*)", 1, "1.1")
	switch {
	case err != nil:
		return fail("check the server's load, and whether a firewall or load balancer in between drops connections", "the server did not answer the search for %s: %v", base, err)
	case code == ldap.LDAPResultSuccess && len(entries) > 0:
		return pass("%s exists", base)
	case code == ldap.LDAPResultSuccess, code == ldap.LDAPResultInsufficientAccessRights:
		return s.explainHiddenBase(base)
	case code == ldap.LDAPResultNoSuchObject:
		return s.explainMissingBase(ctx, base, matched)
	case code == ldap.LDAPResultOperationsError && s.anonymous:
		return fail("set LDAP_BIND_DN and LDAP_BIND_PASSWORD to an account that may search", "the directory does not allow anonymous searches")
	case code == ldap.LDAPResultReferral:
		return fail("name the servers that hold it in LDAP_URL: authsvc does not follow referrals", "this server does not hold %s and refers to another server", base)
	case code == ldap.LDAPResultInvalidDNSyntax:
		return fail("write LDAP_BASE_DN as a DN: ou=people,dc=example,dc=org", "the directory does not accept %q as a DN", base)
	}
	if code == ldap.LDAPResultUnwillingToPerform {
		return fail("read the directory's log; if it bans this machine's address after wrong passwords, wait a few minutes, then see docs/directories.md",
			"%s cannot be read: %s", base, result(code))
	}
	return fail("read the directory's log", "%s cannot be read: %s", base, result(code))
}

// explainMissingBase reports what exists instead of a missing base.
func (s *target) explainMissingBase(ctx context.Context, base, matched string) finding {
	contexts := s.root["namingcontexts"]
	if len(contexts) > 0 && !slices.ContainsFunc(contexts, func(c string) bool { return ldapname.IsBelow(base, c) }) {
		return fail("correct LDAP_BASE_DN, the entry below which users are searched: it must end with "+strings.Join(contexts, " or "), "the directory does not hold %s: it holds %s", base, list(contexts))
	}
	if matched == "" || s.read(ctx, matched, "1.1") == nil {
		f := s.explainHiddenBase(base)
		for above := ldapname.Parent(base); above != "" && len(f.Details) == 0; above = ldapname.Parent(above) {
			f.Details = s.children(ctx, above)
		}
		return f
	}
	f := fail("set LDAP_BASE_DN to the entry above the users: one of those listed above, or LDAP_BASE_DN="+matched+" to search all of them", "%s does not exist; %s does", base, matched)
	f.Details = s.children(ctx, matched)
	return f
}

// children names some entries directly below another, as far as the service identity may see them.
func (s *target) children(ctx context.Context, dn string) (lines []string) {
	const maxChildren = 20
	entries, _, _, err := s.ask(ctx, dn, ldap.ScopeSingleLevel, "(objectClass=*)", maxChildren, "1.1")
	if err != nil {
		return nil
	}
	for _, e := range entries[:min(len(entries), maxChildren)] { // Samba ignores the limit
		lines = append(lines, "exists: "+e.DN)
	}
	return lines
}

// explainHiddenBase reports a base that is hidden or missing. A directory does not say which.
func (s *target) explainHiddenBase(base string) finding {
	if s.anonymous {
		return fail("set LDAP_BIND_DN and LDAP_BIND_PASSWORD to an account that may search, or correct LDAP_BASE_DN",
			"%s is not visible to anonymous clients: it does not exist, or the directory's access rules hide it", base)
	}
	remedy := "give the service identity read and search access to it in the directory, or correct LDAP_BASE_DN"
	if s.external() {
		remedy = mapIdentity + "; give that entry read and search access to the base DN, or correct LDAP_BASE_DN"
	}
	return fail(remedy,
		"%s is not visible to %s: it does not exist, or the directory's access rules hide it (the directory's answer is the same)", base, s.identity(s.url))
}

func result(code uint16) string { return fmt.Sprintf("%s (%d)", ldap.LDAPResultCodeMap[code], code) }

// checkFilter checks whether the user filter finds an entry, with * as the name.
func (s *target) checkFilter(ctx context.Context) finding {
	anybody := strings.ReplaceAll(s.Logins.Filter, dialect.Placeholder, "*")
	scope := ldap.ScopeWholeSubtree
	if s.Logins.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	missing := s.undefined(ctx)
	for _, base := range s.Logins.BaseDNs {
		example, code, err := s.findExample(ctx, base, scope, anybody)
		switch {
		case err != nil:
			return fail("index the filter's attributes in the directory; check the directory's load", "the server did not answer the search for %s: %v", anybody, err)
		case example != "":
			return s.judgeFilter(ctx, base, example, missing)
		case code != ldap.LDAPResultSuccess && code != ldap.LDAPResultSizeLimitExceeded:
			return fail("read the directory's log", "the search for %s below %s failed: %s", anybody, base, result(code))
		}
	}
	if len(missing) > 0 {
		return fail("correct LDAP_USER_FILTER: "+s.filterHint(ctx), "no entry matches %s: the directory's schema has no attribute %s", anybody, strings.Join(missing, ", "))
	}
	if f, ok := s.findElsewhere(ctx, anybody); ok {
		return f
	}
	return fail("correct LDAP_USER_FILTER: "+s.filterHint(ctx)+"; or correct LDAP_BASE_DN and LDAP_USER_SCOPE; or give the service identity read and search access to "+
		strings.Join(auth.FilterAttributes(s.Logins.Filter), ", ")+" of the users in the directory",
		"no entry below %s matches %s: no entry has these attributes, or the service identity may not read them", strings.Join(s.Logins.BaseDNs, "; "), anybody)
}

// findElsewhere checks whether the filter is right and the place is wrong: it finds users below the
// scope of LDAP_USER_SCOPE=one, or outside of the base DNs.
func (s *target) findElsewhere(ctx context.Context, anybody string) (finding, bool) {
	if s.Logins.OneLevel {
		for _, base := range s.Logins.BaseDNs {
			example, _, err := s.findExample(ctx, base, ldap.ScopeWholeSubtree, anybody)
			if err == nil && example != "" {
				return fail("set LDAP_USER_SCOPE=sub, or LDAP_BASE_DN="+ldapname.Parent(example),
					"%s finds users below %s, but none directly below it, and LDAP_USER_SCOPE=one searches only that level; for example %s", s.Logins.Filter, base, example), true
			}
		}
	}
	for _, top := range s.root["namingcontexts"] {
		if slices.ContainsFunc(s.Logins.BaseDNs, func(b string) bool { return ldapname.IsBelow(top, b) }) {
			continue // it was searched
		}
		example, _, err := s.findExample(ctx, top, ldap.ScopeWholeSubtree, anybody)
		if err == nil && example != "" {
			return fail("set LDAP_BASE_DN to the entry above the users: LDAP_BASE_DN="+ldapname.Parent(example)+", or an entry above that",
				"%s finds no user below %s; it finds users elsewhere, for example %s", s.Logins.Filter, strings.Join(s.Logins.BaseDNs, "; "), example), true
		}
	}
	return finding{}, false
}

// filterHint suggests an attribute to find users by: one that persons there have, or else a common
// one. It does not suggest the configured filter.
func (s *target) filterHint(ctx context.Context) string {
	if advice := s.Logins.Dialect.Advice.Filter; advice != "" {
		return advice
	}
	scope := ldap.ScopeWholeSubtree
	if s.Logins.OneLevel {
		scope = ldap.ScopeSingleLevel
	}
	for _, base := range s.Logins.BaseDNs {
		for _, name := range []string{"uid", "sAMAccountName", "mail", "cn"} {
			example, _, err := s.findExample(ctx, base, scope, "(&(|(objectClass=person)(objectClass=posixAccount))("+name+"=*))")
			if err == nil && example != "" && !s.isSet("("+name+"={username})") {
				return fmt.Sprintf("LDAP_USER_FILTER=(%s={username}) finds users, for example %s", name, example)
			}
		}
	}
	if s.isSet("(uid={username})") {
		return "use an attribute that the users have, as in LDAP_USER_FILTER=(ATTRIBUTE={username})"
	}
	return "LDAP_USER_FILTER=(uid={username}) is usual"
}

// isSet reports whether a filter is the configured one.
func (s *target) isSet(filter string) bool {
	return strings.EqualFold(s.Logins.Filter, filter)
}

// judgeFilter reports on a filter that finds an entry.
func (s *target) judgeFilter(ctx context.Context, base, example string, missing []string) finding {
	f := pass("%s finds users, for example %s", s.Logins.Filter, example)
	if len(missing) > 0 {
		f = warn("remove it from LDAP_USER_FILTER", "%s finds users, but the directory's schema has no attribute %s", s.Logins.Filter, strings.Join(missing, ", "))
	}
	s.indexes(ctx, base, &f)
	return f
}
