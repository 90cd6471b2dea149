package demo

import (
	"fmt"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// login is what the service does: find the user, then bind as the entry found.
func login(searcher, binder *ldap.Conn, u User) error {
	found, err := searcher.Search(below(PeopleDN, "(uid="+ldap.EscapeFilter(u.Username)+")"))
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if len(found.Entries) != 1 || found.Entries[0].DN != u.DN {
		return fmt.Errorf("found %q for %q", shortNames(found.Entries), u.Username)
	}
	if err := binder.Bind(found.Entries[0].DN, u.Password); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := binder.Bind(found.Entries[0].DN, u.Password+"x"); codeOf(err) != ldap.LDAPResultInvalidCredentials {
		return fmt.Errorf("bind with a wrong password: %w", err)
	}
	return nil
}

func TestBind_ConcurrentLoginsKeepTheirIdentities(t *testing.T) {
	t.Parallel()
	d := start(t, Config{})
	var logins errgroup.Group
	for _, u := range d.Users() {
		searcher, binder := connectAsService(t, d.URL()), connect(t, d.URL())
		logins.Go(func() error {
			for range 10 {
				if err := login(searcher, binder, u); err != nil {
					return fmt.Errorf("%s: %w", u.Username, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, logins.Wait())
}
