package ldappool

import (
	"context"
	"testing"
	"time"
	"errors"

	"authsvc/internal/ldaptest"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p, err := New(Config{Servers: []string{s.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: ldaptest.ServicePassword, Trace: Trace{
		Retired: func(e RetireEvent) { t.Logf("retired %+v", e) },
		ServerChanged: func(e ServerEvent) { t.Logf("server %+v", e) },
		Dialed: func(e DialEvent) { t.Logf("dial %+v", e) },
	}})
	require.NoError(t, err)
	ctx := context.Background()
	r, err := p.Search(ctx, ldap.NewSearchRequest(ldaptest.PeopleDN, 2, 0, 2, 0, false, "(uid=user1)", []string{"uid"}, nil))
	require.NoError(t, err)
	require.Len(t, r.Entries, 1)
	b, err := p.Bind(ctx, r.Entries[0].DN, ldaptest.Password(1))
	require.NoError(t, err)
	require.EqualValues(t, 0, b.Code)
	b, err = p.Bind(ctx, r.Entries[0].DN, "nope")
	require.NoError(t, err)
	require.EqualValues(t, 49, b.Code)
	s.Kill()
	for i := range 5 {
		st := time.Now()
		_, err = p.Bind(ctx, r.Entries[0].DN, ldaptest.Password(1))
		t.Log(i, time.Since(st), err, errors.Is(err, ErrUnavailable))
	}
	t.Logf("%+v", p.Stat())
	s.Start()
	st := time.Now()
	for {
		_, err = p.Bind(ctx, r.Entries[0].DN, ldaptest.Password(1))
		if err == nil { break }
		time.Sleep(5*time.Millisecond)
	}
	t.Log("back after", time.Since(st))
	t.Logf("%+v", p.Stat())
	require.NoError(t, p.Close(ctx))
}
