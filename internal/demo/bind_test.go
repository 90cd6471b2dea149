package demo

import (
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bindCases are simple binds and the result code that slapd gives each.
func bindCases() map[string]struct {
	dn, password string
	want         int
} {
	return map[string]struct {
		dn, password string
		want         int
	}{
		"the right password":                    {"uid=alice," + PeopleDN, "alice-password", 0},
		"the name in another case and spacing":  {"UID=Alice, OU=People ,DC=example,dc=ORG", "alice-password", 0},
		"the name with the type's other name":   {"userid=alice," + PeopleDN, "alice-password", 0},
		"a comma in the name, escaped":          {`cn=Doe\, Jane,` + PeopleDN, "jane-password", 0},
		"a comma in the name, as hex":           {`cn=doe\2C jane,` + PeopleDN, "jane-password", 0},
		"parentheses in the name":               {"uid=peggy(temp)," + PeopleDN, "peggy(temp)-password", 0},
		"an apostrophe in the name":             {"uid=o'hara," + PeopleDN, "o'hara-password", 0},
		"the service identity":                  {ServiceDN, ServicePassword, 0},
		"a wrong password":                      {"uid=alice," + PeopleDN, "bob-password", 49},
		"the password in another case":          {"uid=alice," + PeopleDN, "Alice-Password", 49},
		"a password that only begins right":     {"uid=alice," + PeopleDN, "alice-password2", 49},
		"a user who is not there":               {"uid=mallory," + PeopleDN, "mallory-password", 49},
		"an entry without a password":           {PeopleDN, "people-password", 49},
		"another suffix":                        {"dc=other", "x", 49},
		"no password":                           {"uid=alice," + PeopleDN, "", 53},
		"no password for somebody not there":    {"uid=mallory," + PeopleDN, "", 53},
		"anonymous":                             {"", "", 0},
		"a password without a name":             {"", "alice-password", 49},
		"a name that is no DN":                  {"alice", "alice-password", 34},
		"a name that is no DN, and no password": {"alice", "", 34},
	}
}

func TestBind_IsAnsweredLikeSlapd(t *testing.T) {
	t.Parallel()
	servers := map[string]string{"demo": start(t, Config{}).URL(), "slapd": startSlapd(t)}
	for name, tt := range bindCases() {
		for server, url := range servers {
			t.Run(name+", "+server, func(t *testing.T) {
				t.Parallel()
				_, err := connect(t, url).SimpleBind(&ldap.SimpleBindRequest{
					Username: tt.dn, Password: tt.password, AllowEmptyPassword: true,
				})
				assert.Equal(t, tt.want, codeOf(err), "%v", err)
				if tt.want == 53 {
					assert.ErrorContains(t, err, "unauthenticated bind (DN with no password) disallowed")
				}
			})
		}
	}
}

func TestBind_EverySampleUserCanBindAndSearch(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	conn := connect(t, d.URL())
	for _, u := range d.Users() {
		require.NoError(t, conn.Bind(u.DN, u.Password), u.DN)
		found, err := conn.Search(below(PeopleDN, "(uid="+ldap.EscapeFilter(u.Username)+")"))
		require.NoError(t, err)
		require.Len(t, found.Entries, 1)
		assert.Equal(t, u.DN, found.Entries[0].DN)
	}
}

func TestBind_WithThePasswordPolicyControlWorks(t *testing.T) {
	t.Parallel()
	conn := connect(t, start(t, Config{}).URL())
	_, err := conn.SimpleBind(&ldap.SimpleBindRequest{
		Username: ServiceDN, Password: ServicePassword,
		Controls: []ldap.Control{ldap.NewControlBeheraPasswordPolicy()},
	})
	require.NoError(t, err)
}

func TestBind_FailureMakesTheConnectionAnonymous(t *testing.T) {
	t.Parallel()
	conn := connectAsService(t, start(t, Config{}).URL())
	_, err := conn.Search(below(BaseDN, "(uid=bob)"))
	require.NoError(t, err)
	require.Equal(t, 49, codeOf(conn.Bind(ServiceDN, "wrong")))
	_, err = conn.Search(below(BaseDN, "(uid=bob)"))
	assert.Equal(t, 32, codeOf(err))
}

func TestBind_IdentityBelongsToOneConnection(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	bound, other := connectAsService(t, d.URL()), connect(t, d.URL())
	_, err := other.Search(below(BaseDN, "(uid=bob)"))
	assert.Equal(t, 32, codeOf(err))

	_, err = bound.Search(below(BaseDN, "(uid=bob)"))
	require.NoError(t, err)
	require.NoError(t, bound.Close())
	_, err = connect(t, d.URL()).Search(below(BaseDN, "(uid=bob)"))
	assert.Equal(t, 32, codeOf(err))
}
