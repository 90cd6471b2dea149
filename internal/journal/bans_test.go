package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/observertest"
	"authsvc/internal/poolevent"
	"authsvc/ldappool"
	"authsvc/ldappool/ldapconn"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const banMessage = "directory server may ban this service after wrong passwords"

// answered reports answers to users' binds.
func answered(trace ldappool.Trace, codes ...uint16) {
	for _, code := range codes {
		trace.Operated(context.Background(), ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Code: code})
	}
}

// banLines are the lines about bans.
func banLines(t *testing.T, logs *observertest.Buffer) (found []map[string]any) {
	t.Helper()
	for _, line := range logs.Lines(t) {
		if line["msg"] == banMessage {
			found = append(found, line)
		}
	}
	return found
}

// TestBans_AreLoggedOnceWithTheServersText after three wrong passwords and no right one, by
// whatever they show first.
func TestBans_AreLoggedOnceWithTheServersText(t *testing.T) {
	t.Parallel()
	refused := errors.New("service bind: the service identity was refused: Unwilling To Perform (Source is in a timeout)")
	for name, c := range map[string]struct {
		before []uint16
		wait   time.Duration
		server string
		banned bool
	}{
		"three wrong passwords":           {[]uint16{49, 49, 49}, 0, observertest.ServerA, true},
		"a right one before them":         {[]uint16{0, 49, 49, 49}, 30 * time.Second, observertest.ServerA, true},
		"right ones between them":         {[]uint16{49, 0, 49, 0, 49}, 0, observertest.ServerA, true},
		"a right one after them":          {[]uint16{49, 49, 49, 49, 0}, 0, observertest.ServerA, false},
		"two wrong passwords":             {[]uint16{49, 49}, 0, observertest.ServerA, false},
		"long ago":                        {[]uint16{49, 49, 49}, 2 * time.Minute, observertest.ServerA, false},
		"another server is away":          {[]uint16{49, 49, 49}, 0, observertest.ServerB, false},
		"codes that are no verdict of it": {[]uint16{49, 53, 49, 80}, 0, observertest.ServerA, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j, logs := newTest(slog.LevelWarn)
				trace := j.Trace()
				answered(trace, c.before...)
				time.Sleep(c.wait)
				for range 10 {
					trace.Dialed(ldappool.DialEvent{Server: c.server, Lane: ldappool.SearchLane, Err: refused})
				}
				lines := banLines(t, logs)
				if !c.banned {
					assert.Empty(t, lines)
					return
				}
				assert.Equal(t, []map[string]any{{
					"level": "WARN", "msg": banMessage, "server": observertest.ServerA, "operation": "dial", "error": refused.Error(), "action": actionBan,
				}}, lines)
			})
		})
	}
}

// TestBans_RejectedLoginReports what the server said to its search or bind.
func TestBans_RejectedLoginReports(t *testing.T) {
	t.Parallel()
	for _, bind := range []bool{false, true} {
		j, logs := newTest(slog.LevelWarn)
		answered(j.Trace(), 49, 49, 49)
		r := refusedLogin(t, 53, "too many failures from your address", bind)
		j.LoginDone(context.Background(), auth.Credentials{Username: "u"}, r)
		j.LoginDone(context.Background(), auth.Credentials{Username: "u"}, r)
		lines := banLines(t, logs)
		assert.Len(t, lines, 1)
		assert.Contains(t, lines[0]["error"], "too many failures from your address")
		assert.Equal(t, map[bool]string{false: "search", true: "bind"}[bind], lines[0]["operation"])
	}
}

// refusedLogin is the result of a login whose search or bind was answered by that code.
func refusedLogin(t *testing.T, code uint16, words string, bind bool) auth.Result {
	t.Helper()
	var done auth.Result
	a, err := auth.New(auth.Config{BaseDNs: []string{"dc=example,dc=org"}, Filter: "(uid={username})", NameAttribute: "uid", Timeout: time.Second},
		refusing{code: code, words: words, bind: bind}, observer(func(r auth.Result) { done = r }))
	require.NoError(t, err)
	a.Authenticate(context.Background(), auth.Credentials{Username: "u", Password: "kYq7#pX2!"})
	return done
}

type observer func(auth.Result)

func (o observer) LoginDone(_ context.Context, _ auth.Credentials, r auth.Result) { o(r) }

// refusing is a directory that answers its search or bind by a code.
type refusing struct {
	code  uint16
	words string
	bind  bool
}

func (d refusing) Search(ctx context.Context, req *ldap.SearchRequest) (*ldappool.SearchResult, error) {
	return d.SearchWithFilter(ctx, req, ldapconn.Filter{})
}

func (d refusing) SearchWithFilter(context.Context, *ldap.SearchRequest, ldapconn.Filter) (*ldappool.SearchResult, error) {
	r := &ldappool.SearchResult{Result: ldappool.Result{Server: observertest.ServerA}}
	if !d.bind {
		r.Code, r.Diagnostic = d.code, d.words
		return r, nil
	}
	r.Entries = []*ldap.Entry{ldap.NewEntry("uid=u,dc=example,dc=org", map[string][]string{"uid": {"u"}})}
	return r, nil
}

func (d refusing) Bind(context.Context, string, string, ...ldappool.Control) (*ldappool.BindResult, error) {
	return &ldappool.BindResult{Result: ldappool.Result{Server: observertest.ServerA, Code: d.code, Diagnostic: d.words}}, nil
}

// TestBans_KeepABoundedNumberOfServers.
func TestBans_KeepABoundedNumberOfServers(t *testing.T) {
	t.Parallel()
	b := newBans(slog.New(slog.DiscardHandler))
	for i := range 10 * poolevent.MaxServers {
		b.operated(ldappool.OperationEvent{Op: "bind", Server: fmt.Sprint(i), Code: 49})
	}
	assert.Len(t, b.servers, poolevent.MaxServers)
}

// TestQuirks_AreLogged once, with what is done about them.
func TestQuirks_AreLogged(t *testing.T) {
	t.Parallel()
	j, logs := newTest(slog.LevelInfo)
	trace := j.Trace()
	trace.QuirkLearned(observertest.ServerA, "hangs_up", errors.New("ping: no"))
	assert.Equal(t, []map[string]any{
		{"level": "INFO", "msg": "directory server quirk detected", "server": observertest.ServerA, "quirk": "hangs_up", "error": "ping: no", "action": checkedByBind},
	}, logs.Lines(t))
}
