package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLDIF_PasswordsAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	sample, err := parseLDIF(directoryLDIF)
	require.NoError(t, err)
	users := sample.users()
	require.Len(t, users, 12)
	for _, u := range users {
		assert.Equal(t, u.Username+"-password", u.Password)
		assert.True(t, strings.HasSuffix(u.DN, ","+PeopleDN), u.DN)
	}
	assert.Equal(t, User{Username: "alice", Password: "alice-password", DN: "uid=alice," + PeopleDN}, users[0])
}

func TestLDIF_MembersOfGroupsExist(t *testing.T) {
	t.Parallel()
	sample, err := parseLDIF(directoryLDIF)
	require.NoError(t, err)
	members := 0
	for _, e := range sample.entries {
		for _, member := range e.values("member") {
			members++
			n, err := parseName(member)
			require.NoError(t, err)
			assert.NotNil(t, sample.find(n), "%s has %s", e.dn, member)
		}
	}
	assert.Positive(t, members)
}

func TestLDIF_EmbeddedOneIsACopy(t *testing.T) {
	t.Parallel()
	LDIF()[0] = 'x'
	assert.Equal(t, directoryLDIF, string(LDIF()))
}

func TestLDIF_RejectsABrokenTree(t *testing.T) {
	t.Parallel()
	const suffix = "dn: dc=example,dc=org\nobjectClass: dcObject\ndc: example\n\n"
	tests := map[string]struct{ ldif, want string }{
		"empty":                       {"", "no entry"},
		"not LDIF":                    {"hello", "parse LDIF"},
		"an entry without its parent": {suffix + "dn: uid=a,ou=b,dc=example,dc=org\nuid: a\n", "parent"},
		"an entry twice":              {suffix + "dn: DC=Example, DC=org\ndc: x\n", "twice"},
		"a change record":             {"dn: dc=example\nchangetype: delete\n", "entries only"},
		"a name that is no DN":        {"dn: example\ndc: example\n", "dn \"example\""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseLDIF(tt.ldif)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}
