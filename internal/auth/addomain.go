package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
)

// adDomain is what an Active Directory says of itself.
type adDomain struct {
	root    string // DN of the domain, where its users and groups are
	dns     string // its DNS name: ad.example.org
	netBIOS string // its short name, which stands before the backslash: AD
}

// The faults of a directory that is none of Microsoft's or may not be read.
var (
	errNoDomain     = errors.New("the root DSE names no defaultNamingContext and configurationNamingContext: is LDAP_PRESET right?")
	errNoPartitions = errors.New("no crossRef with a nETBIOSName below CN=Partitions stands for the domain: may the service identity read it?")
)

// domain reads the domain's names, once: a domain does not change them while a service runs. Where it cannot, the login has
// ended, as a fault, and the next one asks again.
func (l *login) domain(ctx context.Context) (adDomain, bool) {
	if d := l.cachedDomain.Load(); d != nil {
		return *d, true
	}
	entries, ok := l.lookup(ctx, ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)",
		[]string{"defaultNamingContext", "configurationNamingContext"}, nil))
	if !ok {
		return adDomain{}, false
	}
	var root, configuration string
	if len(entries) == 1 {
		root = entries[0].GetEqualFoldAttributeValue("defaultNamingContext")
		configuration = entries[0].GetEqualFoldAttributeValue("configurationNamingContext")
	}
	dn, err := ldap.ParseDN(root)
	if root == "" || configuration == "" || err != nil {
		l.fault(errNoDomain)
		return adDomain{}, false
	}
	// MS-ADTS 6.1.1.2.1.1: every domain of the forest has its crossRef.
	entries, ok = l.lookup(ctx, ldap.NewSearchRequest("CN=Partitions,"+configuration, ldap.ScopeSingleLevel, ldap.NeverDerefAliases, 2, 0, false,
		"(&(objectClass=crossRef)(nETBIOSName=*)(nCName="+ldap.EscapeFilter(root)+"))", []string{"nETBIOSName"}, nil))
	if !ok {
		return adDomain{}, false
	}
	if len(entries) != 1 {
		l.fault(errNoPartitions)
		return adDomain{}, false
	}
	d := &adDomain{root: root, dns: dnsName(dn), netBIOS: entries[0].GetEqualFoldAttributeValue("nETBIOSName")}
	l.cachedDomain.Store(d)
	return *d, true
}

// dnsName makes a DNS name of a DN's domain components (RFC 2247 section 2).
func dnsName(dn *ldap.DN) string {
	var labels []string
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if strings.EqualFold(a.Type, "DC") {
				labels = append(labels, a.Value)
			}
		}
	}
	return strings.Join(labels, ".")
}

// lookup does a search that is not for the user's entry but for what the login must know besides, and tells whether it has
// all of the answer. If not, the login has ended, as a fault: nothing that was not read is taken for empty.
func (l *login) lookup(ctx context.Context, req *ldap.SearchRequest) ([]*ldap.Entry, bool) {
	answer, err := l.ask(ctx, req)
	if err != nil {
		l.end(judgeFault(err))
		return nil, false
	}
	if r := judgeLookup(answer.Result); r.Outcome != OK {
		r.Cause = fmt.Errorf("base %q: %w", req.BaseDN, r.Cause)
		l.end(r)
		return nil, false
	}
	return answer.Entries, true
}

// judgeLookup is judgeSearch for a search of which all entries are needed.
func judgeLookup(r ldappool.Result) Result {
	if r.Code == ldap.LDAPResultSizeLimitExceeded {
		return Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: &directoryError{op: "search", result: r}}
	}
	return judgeSearch(r)
}

// fault ends the login because the directory gave no answer that could be used.
func (l *login) fault(cause error) {
	l.end(Result{Outcome: DirectoryUnavailable, RetryAfter: retryAfter, Cause: cause})
}
