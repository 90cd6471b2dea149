package auth_test

import (
	"encoding/base64"
	"testing"

	"authsvc/internal/auth"
	"authsvc/internal/ldaptest"
	"authsvc/ldappool"

	"github.com/stretchr/testify/require"
)

// Branches of the test's tree, besides PeopleDN.
const (
	staffDN  = "ou=staff," + ldaptest.BaseDN
	deepDN   = "ou=deep," + ldaptest.PeopleDN
	hiddenDN = "ou=hidden," + ldaptest.BaseDN // the service identity cannot see it
	absentDN = "ou=absent," + ldaptest.BaseDN
)

// photo is a value that is not valid UTF-8.
const photo = "\xff\xd8\xff\xe0\x00\x10JFIF"

// startTree runs slapd with three users, user0 to user2, and with others that are special in some
// way. der is the certificate of user rich.
func startTree(t *testing.T) (s *ldaptest.Slapd, der []byte) {
	t.Helper()
	der = ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true}).TLS.Certificate[0]
	return ldaptest.StartSlapd(t, ldaptest.SlapdConfig{
		Users:  3,
		Access: "access to dn.subtree=\"" + hiddenDN + "\" attrs=entry,children,uid,objectClass by * none\n",
		LDIF: unit("staff", ldaptest.BaseDN) + unit("deep", ldaptest.PeopleDN) + unit("hidden", ldaptest.BaseDN) +
			person("staff0", staffDN, "userPassword: secret") +
			person("deep0", deepDN, "userPassword: secret") +
			person("hidden0", hiddenDN, "userPassword: secret") +
			person("twin", ldaptest.PeopleDN, "userPassword: secret") +
			person("twin", staffDN, "userPassword: secret") +
			person("triplet", ldaptest.PeopleDN, "userPassword: secret") +
			person("triplet", deepDN, "userPassword: secret") +
			person("triplet", staffDN, "userPassword: secret") +
			person("open", ldaptest.PeopleDN) + // without userPassword
			person("rich", ldaptest.PeopleDN, "userPassword: secret", "mail: rich@example.org", "mail: r@example.org",
				"description;lang-de: reich", "title: Dr", attribute("jpegPhoto", photo)+attribute("userCertificate;binary", string(der))),
	}), der
}

func TestLogin_IsDecidedByTheDirectory(t *testing.T) {
	t.Parallel()
	s, _ := startTree(t)
	p := newPool(t, s.URL())
	oneLevel := byFilter()
	oneLevel.OneLevel = true
	for name, c := range map[string]struct {
		cfg                auth.Config
		username, password string
		want               auth.Outcome
		cause              string
		dn                 string // of Result, which the log gets
	}{
		"the right password is OK": {
			byFilter(), "user0", "password0", auth.OK, "", ldaptest.UserDN(0)},
		"a wrong password is refused": {
			byFilter(), "user0", "password1", auth.InvalidPassword, "Invalid Credentials (49)", ldaptest.UserDN(0)},
		"the right password with a space at its end is a wrong one": {
			byFilter(), "user0", "password0 ", auth.InvalidPassword, "(49)", ldaptest.UserDN(0)},
		"the right password in other case is a wrong one": {
			byFilter(), "user0", "PASSWORD0", auth.InvalidPassword, "(49)", ldaptest.UserDN(0)},
		"an unknown user is refused": {
			byFilter(), "nobody", "password0", auth.InvalidUser, "no entry matches", ""},
		"an entry without a password refuses every password": {
			byFilter(), "open", "secret", auth.InvalidPassword, "(49)", "uid=open," + ldaptest.PeopleDN},
		"an entry that is no user of the filter is unknown": {
			byFilter(ldaptest.BaseDN), "service", ldaptest.ServicePassword, auth.InvalidUser, "no entry matches", ""},

		"a user of the second base is found": {
			byFilter(ldaptest.PeopleDN, staffDN), "staff0", "secret", auth.OK, "", "uid=staff0," + staffDN},
		"a user of the first base is found": {
			byFilter(staffDN, ldaptest.PeopleDN), "staff0", "secret", auth.OK, "", "uid=staff0," + staffDN},
		"a user beyond the bases is unknown": {
			byFilter(ldaptest.PeopleDN), "staff0", "secret", auth.InvalidUser, "no entry matches", ""},
		"a name that two bases have is ambiguous": {
			byFilter(ldaptest.PeopleDN, staffDN), "twin", "secret", auth.InvalidUser, "more than one entry", ""},
		"a name that one base has twice is ambiguous": {
			byFilter(ldaptest.BaseDN), "twin", "secret", auth.InvalidUser, "more than one entry", ""},
		"a name that one base has more often than the size limit is ambiguous": {
			byFilter(ldaptest.BaseDN), "triplet", "secret", auth.InvalidUser, "more than one entry", ""},
		"one of two of a name is meant where only its base is searched": {
			byFilter(staffDN), "twin", "secret", auth.OK, "", "uid=twin," + staffDN},
		"an entry that overlapping bases find twice is one": {
			byFilter(ldaptest.BaseDN, ldaptest.PeopleDN, "OU=People, DC=example,DC=org"), "user1", "password1", auth.OK, "", ldaptest.UserDN(1)},

		"a base that does not exist is a fault, and named": {
			byFilter(absentDN), "user0", "password0", auth.DirectoryUnavailable, `base "` + absentDN + `": search ` + s.URL() + `: No Such Object (32)`, ""},
		"a base that does not exist is a fault though another has the user": {
			byFilter(ldaptest.PeopleDN, absentDN), "user0", "password0", auth.DirectoryUnavailable, `base "` + absentDN + `"`, ""},
		"a base that the service identity cannot see is a fault": {
			byFilter(hiddenDN), "hidden0", "secret", auth.DirectoryUnavailable, `base "` + hiddenDN + `": search ` + s.URL() + `: No Such Object (32)`, ""},
		"a base beyond the directory's own tree is a fault": {
			byFilter("dc=example,dc=com"), "user0", "password0", auth.DirectoryUnavailable, "(32)", ""},
		"a base that is no DN is a fault": {
			byFilter("people"), "user0", "password0", auth.DirectoryUnavailable, "Invalid DN Syntax (34)", ""},

		"the whole subtree is searched": {
			byFilter(), "deep0", "secret", auth.OK, "", "uid=deep0," + deepDN},
		"one level is searched where that is wanted": {
			oneLevel, "user0", "password0", auth.OK, "", ldaptest.UserDN(0)},
		"what is deeper than one level is not found then": {
			oneLevel, "deep0", "secret", auth.InvalidUser, "no entry matches", ""},
		"one level hides a name's double below": {
			oneLevel, "triplet", "secret", auth.OK, "", "uid=triplet," + ldaptest.PeopleDN},

		"by template the right password is OK": {
			byTemplate(), "user0", "password0", auth.OK, "", ldaptest.UserDN(0)},
		"by template a wrong password is refused": {
			byTemplate(), "user0", "password1", auth.InvalidPassword, "(49)", ldaptest.UserDN(0)},
		"by template an unknown user looks like a wrong password": {
			byTemplate(), "nobody", "password0", auth.InvalidPassword, "(49)", "uid=nobody," + ldaptest.PeopleDN},
		"by template an entry without a password refuses every password": {
			byTemplate(), "open", "secret", auth.InvalidPassword, "(49)", "uid=open," + ldaptest.PeopleDN},
		"by template a branch that does not exist looks like a wrong password": {
			auth.Config{DNTemplate: "uid={username}," + absentDN, Timeout: patience}, "user0", "password0", auth.InvalidPassword, "(49)", "uid=user0," + absentDN},
		"a template whose attribute the directory does not know is a fault": {
			auth.Config{DNTemplate: "login={username}," + ldaptest.PeopleDN, Timeout: patience}, "user0", "password0", auth.InternalError, "Invalid DN Syntax (34)", "login=user0," + ldaptest.PeopleDN},
		"a filter whose attribute the directory does not know finds nobody": {
			auth.Config{BaseDNs: []string{ldaptest.PeopleDN}, Filter: "(login={username})", NameAttribute: "uid", Timeout: patience}, "user0", "password0", auth.InvalidUser, "no entry matches", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authenticate(t, c.cfg, p, c.username, c.password)
			requireOutcome(t, c.want, r)
			require.Equal(t, c.dn, r.DN)
			if c.want == auth.OK {
				require.Equal(t, &auth.User{Username: c.username, DN: c.dn}, r.User)
				return
			}
			require.ErrorContains(t, r.Cause, c.cause)
		})
	}
}

func TestOwnName_OfTheEntryIsReturned(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, LDIF: person("Mixed Case", ldaptest.PeopleDN, "userPassword: secret", "mail: mixed@example.org") +
		person("many", ldaptest.PeopleDN, "uid: alias", "userPassword: secret")})
	p := newPool(t, s.URL())
	mail := byFilter()
	mail.Filter = "(|(uid={username})(mail={username}))"
	nameless := byFilter()
	nameless.NameAttribute = "employeeNumber"
	shouted := byFilter()
	shouted.NameAttribute = "UID"
	for name, c := range map[string]struct {
		cfg                   auth.Config
		typed, password, want string
	}{
		"as it was typed":                                     {byFilter(), "user0", "password0", "user0"},
		"in capitals":                                         {byFilter(), "USER0", "password0", "user0"},
		"in full width":                                       {byFilter(), "ｕｓｅｒ０", "password0", "user0"},
		"with a superscript":                                  {byFilter(), "user⁰", "password0", "user0"},
		"with another case and more spaces":                   {byFilter(), "mixed  CASE", "secret", "Mixed Case"},
		"with a no-break space":                               {byFilter(), "mixed\u00a0case", "secret", "Mixed Case"},
		"by another attribute":                                {mail, "MIXED@example.org", "secret", "Mixed Case"},
		"by the second name of an entry":                      {byFilter(), "alias", "secret", "many"},
		"where the attribute is configured in capitals":       {shouted, "USER0", "password0", "user0"},
		"where the entry has no such attribute, as in its DN": {nameless, "USER0", "password0", "user0"},
		"with a template, as typed":                           {byTemplate(), "USER0", "password0", "USER0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := authenticate(t, c.cfg, p, c.typed, c.password)
			requireOutcome(t, auth.OK, r)
			require.Equal(t, c.want, r.User.Username)
		})
	}
}

func TestAttributes_AreReturnedAsRequested(t *testing.T) {
	t.Parallel()
	s, der := startTree(t)
	p := newPool(t, s.URL())
	base64 := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct {
		asked []string
		want  map[string][]string
	}{
		"none":                              {nil, nil},
		"one with two values":               {[]string{"mail"}, map[string][]string{"mail": {"rich@example.org", "r@example.org"}}},
		"under the name that was asked for": {[]string{"MAIL"}, map[string][]string{"MAIL": {"rich@example.org", "r@example.org"}}},
		"several":                           {[]string{"title", "sn"}, map[string][]string{"title": {"Dr"}, "sn": {"x"}}},
		"one that is asked for twice, once": {[]string{"title", "title"}, map[string][]string{"title": {"Dr"}}},
		"the name's own attribute too":      {[]string{"uid"}, map[string][]string{"uid": {"rich"}}},
		"one that the entry does not have":  {[]string{"mobile"}, nil},
		"one that nobody knows":             {[]string{"nonsense"}, nil},
		"what is not UTF-8 in base64":       {[]string{"jpegPhoto"}, map[string][]string{"jpegPhoto": {base64([]byte(photo))}}},
		"a certificate by its plain name":   {[]string{"userCertificate"}, map[string][]string{"userCertificate": {base64(der)}}},
		"a certificate in base64":           {[]string{"userCertificate;binary"}, map[string][]string{"userCertificate;binary": {base64(der)}}},
		"by a synonym": {[]string{"surname", "rfc822Mailbox"}, map[string][]string{"surname": {"x"},
			"rfc822Mailbox": {"rich@example.org", "r@example.org"}}},
		"by an OID": {[]string{"2.5.4.4", "2.5.4.12"}, map[string][]string{"2.5.4.4": {"x"}, "2.5.4.12": {"Dr"}}},
		"one attribute by three names": {[]string{"sn", "surname", "2.5.4.4"}, map[string][]string{"sn": {"x"}, "surname": {"x"},
			"2.5.4.4": {"x"}}},
		"by a synonym, with an option":               {[]string{"2.5.4.13;LANG-de"}, map[string][]string{"2.5.4.13;LANG-de": {"reich"}}},
		"a certificate by its OID":                   {[]string{"2.5.4.36;binary"}, map[string][]string{"2.5.4.36;binary": {base64(der)}}},
		"an option that the entry does not have":     {[]string{"description;lang-en", "description"}, nil},
		"what is UTF-8 in base64":                    {[]string{"title:base64", "sn"}, map[string][]string{"title": {base64([]byte("Dr"))}, "sn": {"x"}}},
		"what is not UTF-8 in base64 anyway":         {[]string{"jpegPhoto:base64"}, map[string][]string{"jpegPhoto": {base64([]byte(photo))}}},
		"an option in base64":                        {[]string{"userCertificate;binary:base64"}, map[string][]string{"userCertificate;binary": {base64(der)}}},
		"one with a language option":                 {[]string{"description;lang-de"}, map[string][]string{"description;lang-de": {"reich"}}},
		"the password never, for it is not readable": {[]string{"userPassword"}, nil},
		"an operational attribute":                   {[]string{"structuralObjectClass"}, map[string][]string{"structuralObjectClass": {"inetOrgPerson"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := byFilter()
			cfg.Attributes = c.asked
			r := authenticate(t, cfg, p, "rich", "secret")
			requireOutcome(t, auth.OK, r)
			require.Equal(t, c.want, r.User.Attributes)

			r = authenticate(t, cfg, p, "rich", "wrong")
			requireOutcome(t, auth.InvalidPassword, r)
		})
	}
}

// TestServiceIdentity_RejectedOneIsAFault: the directory says invalidCredentials (49) to
// both.
func TestServiceIdentity_RejectedOneIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	for name, change := range map[string]func(*ldappool.Config){
		"a wrong password":  func(c *ldappool.Config) { c.BindPassword = "stale" },
		"an unknown DN":     func(c *ldappool.Config) { c.BindDN = "cn=nobody," + ldaptest.BaseDN },
		"a DN that is none": func(c *ldappool.Config) { c.BindDN = "nobody" },
	} {
		for how, cfg := range map[string]auth.Config{"by filter": byFilter(), "by template": byTemplate()} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				p := newPool(t, s.URL(), change)
				for range 3 { // while the pool finds out, and when it knows
					for _, password := range []string{"password0", "wrong"} {
						r := authenticate(t, cfg, p, "user0", password)
						requireOutcome(t, auth.DirectoryUnavailable, r)
						require.ErrorIs(t, r.Cause, ldappool.ErrUnavailable)
						require.ErrorContains(t, r.Cause, "service identity was refused")
						require.NotContains(t, r.Cause.Error(), "stale")
					}
				}
			})
		}
	}
}

// TestServiceIdentity_WithoutAccessIsAFault: anonymous searches are answered with noSuchObject (32)
// here.
func TestServiceIdentity_WithoutAccessIsAFault(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1})
	p := newPool(t, s.URL(), func(c *ldappool.Config) { c.BindDN, c.BindPassword = "", "" })
	r := authenticate(t, byFilter(), p, "user0", "password0")
	requireOutcome(t, auth.DirectoryUnavailable, r)
	require.ErrorContains(t, r.Cause, "No Such Object (32)")
	requireOutcome(t, auth.OK, authenticate(t, byTemplate(), p, "user0", "password0"))
}
