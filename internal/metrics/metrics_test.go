package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"authsvc/internal/auth"
	"authsvc/internal/connlimit"
	"authsvc/internal/observertest"
	"authsvc/internal/poolevent"
	"authsvc/internal/throttle"
	"authsvc/ldappool"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// metricTests is every metric of ours: what drives it, and the series that must show it.
var metricTests = []struct {
	name  string
	drive func(*Metrics, ldappool.Trace)
	want  map[string]string
}{
	{
		name: "authsvc_build_info",
		want: map[string]string{
			fmt.Sprintf(`{commit="abc1234",go_version="%s",version="1.2.3"}`, runtime.Version()): "1",
		},
	},
	{
		name: "authsvc_logins_total",
		drive: func(m *Metrics, _ ldappool.Trace) {
			login(m, auth.Result{Outcome: auth.OK})
			login(m, auth.Result{Outcome: auth.InvalidPassword})
			login(m, auth.Result{Outcome: auth.InvalidPassword})
			login(m, auth.Result{Outcome: 200})
		},
		want: map[string]string{
			`{outcome="ok"}`: "1", `{outcome="invalid_password"}`: "2", `{outcome="account_locked"}`: "0",
			`{outcome="internal_error"}`: "1",
		},
	},
	{
		name: "authsvc_caller_logins_total",
		drive: func(m *Metrics, _ ldappool.Trace) {
			for _, o := range []auth.Outcome{auth.OK, auth.InvalidPassword, auth.BadRequest} {
				m.LoginDone(context.Background(), auth.Credentials{Caller: auth.Caller{Name: "shop", By: auth.ByKey}}, auth.Result{Outcome: o})
			}
			login(m, auth.Result{Outcome: auth.CallerRefused})
		},
		want: map[string]string{
			`{caller="shop",class="verdict"}`: "2", `{caller="shop",class="refused"}`: "1", `{caller="shop",class="fault"}`: "0",
		},
	},
	{
		name: "authsvc_login_duration_seconds",
		drive: func(m *Metrics, _ ldappool.Trace) {
			login(m, auth.Result{Outcome: auth.OK, Phases: auth.Phases{Total: 3 * time.Millisecond}})
			login(m, auth.Result{Outcome: auth.NotPermitted, Phases: auth.Phases{Total: 5 * time.Millisecond}})
			login(m, auth.Result{Outcome: auth.TooManyAttempts, Phases: auth.Phases{Total: time.Millisecond}})
			login(m, auth.Result{Outcome: auth.DirectoryTimeout, Phases: auth.Phases{Total: 5001 * time.Millisecond}})
		},
		want: map[string]string{
			`_sum{class="verdict"}`: "0.008", `_count{class="verdict"}`: "2",
			`_bucket{class="verdict",le="0.002"}`: "0", `_bucket{class="verdict",le="0.005"}`: "2",
			`_count{class="refused"}`: "1",
			`_count{class="fault"}`:   "1", `_bucket{class="fault",le="5"}`: "0", `_bucket{class="fault",le="10"}`: "1",
		},
	},
	{
		name: "authsvc_login_phase_duration_seconds",
		drive: func(m *Metrics, _ ldappool.Trace) {
			login(m, auth.Result{Outcome: auth.OK, Phases: auth.Phases{Wait: time.Second, Search: 2 * time.Second, Bind: 4 * time.Second}})
			login(m, auth.Result{Outcome: auth.OK, Phases: auth.Phases{Wait: time.Second}})
		},
		want: map[string]string{
			`_sum{phase="wait"}`: "2", `_count{phase="wait"}`: "2",
			`_sum{phase="search"}`: "2", `_count{phase="search"}`: "1",
			`_sum{phase="bind"}`: "4", `_count{phase="bind"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_operation_duration_seconds",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			operate(tr, ldappool.OperationEvent{Op: "search", Took: time.Second})
			operate(tr, ldappool.OperationEvent{Op: "bind", Took: 2 * time.Second, Code: ldap.LDAPResultInvalidCredentials})
			operate(tr, ldappool.OperationEvent{Op: "bind", Took: 5 * time.Second, Err: observertest.OpError(ldappool.ErrTimeout, nil)})
			operate(tr, ldappool.OperationEvent{Op: "bind", Err: observertest.OpError(ldappool.ErrTimeout, context.Canceled)})
			operate(tr, ldappool.OperationEvent{Op: "bind", Err: observertest.OpError(ldappool.ErrConnLost, nil)})
			operate(tr, ldappool.OperationEvent{Op: "search", Err: observertest.OpError(ldappool.ErrClosed, nil)})
		},
		want: map[string]string{
			`_sum{op="search",result="answer"}`: "1", `_count{op="search",result="answer"}`: "1",
			`_sum{op="bind",result="answer"}`: "2", `_count{op="bind",result="answer"}`: "1",
			`_sum{op="bind",result="timeout"}`: "5", `_count{op="bind",result="timeout"}`: "1",
			`_count{op="bind",result="canceled"}`: "1", `_count{op="bind",result="lost"}`: "1",
			`_count{op="search",result="other"}`: "1", `_count{op="search",result="timeout"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_operations_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			operate(tr, ldappool.OperationEvent{Op: "search"})
			operate(tr, ldappool.OperationEvent{Op: "bind", Code: ldap.LDAPResultInvalidCredentials})
			operate(tr, ldappool.OperationEvent{Op: "bind", Code: ldap.LDAPResultOther})
			operate(tr, ldappool.OperationEvent{Op: "bind", Code: 4711})
			operate(tr, ldappool.OperationEvent{Op: "bind", Err: observertest.OpError(ldappool.ErrTimeout, nil)})
		},
		want: map[string]string{
			`{code="success",op="search"}`: "1", `{code="success",op="bind"}`: "0",
			`{code="invalidCredentials",op="bind"}`: "1", `{code="other",op="bind"}`: "2",
			`{code="none",op="bind"}`: "1", `{code="busy",op="search"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_retries_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			operate(tr, ldappool.OperationEvent{Op: "bind", Err: observertest.OpError(ldappool.ErrConnLost, nil)})
			operate(tr, ldappool.OperationEvent{Op: "bind", Retry: true})
		},
		want: map[string]string{`{op="bind"}`: "1", `{op="search"}`: "0"},
	},
	{
		name: "authsvc_ldap_acquire_wait_seconds",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			acquire(tr, ldappool.AcquireEvent{Lane: ldappool.SearchLane, Wait: time.Second})
			acquire(tr, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 2 * time.Second})
			acquire(tr, ldappool.AcquireEvent{
				Lane: ldappool.BindLane, Wait: 8 * time.Second, Err: observertest.OpError(ldappool.ErrOverloaded, nil),
			})
		},
		want: map[string]string{
			`_sum{lane="search"}`: "1", `_count{lane="search"}`: "1",
			`_sum{lane="bind"}`: "2", `_count{lane="bind"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_acquire_refused_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			for _, err := range []error{
				observertest.OpError(ldappool.ErrOverloaded, nil), observertest.OpError(ldappool.ErrOverloaded, context.DeadlineExceeded),
				observertest.OpError(ldappool.ErrOverloaded, context.Canceled), observertest.OpError(ldappool.ErrUnavailable, context.Canceled),
				observertest.OpError(ldappool.ErrClosed, nil), errors.New("of another kind"),
			} {
				acquire(tr, ldappool.AcquireEvent{Lane: ldappool.BindLane, Err: err})
			}
		},
		want: map[string]string{
			`{lane="bind",reason="overloaded"}`: "2", `{lane="bind",reason="canceled"}`: "1",
			`{lane="bind",reason="unavailable"}`: "1", `{lane="bind",reason="closed"}`: "1",
			`{lane="bind",reason="other"}`: "1", `{lane="search",reason="overloaded"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_dial_duration_seconds",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Took: time.Second})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane, Took: 3 * time.Second, Err: errors.New("refused")})
		},
		want: map[string]string{
			`_sum{lane="bind",server="` + observertest.ServerA + `"}`: "1", `_count{lane="bind",server="` + observertest.ServerA + `"}`: "1",
			`_count{lane="search",server="` + observertest.ServerA + `"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_dial_errors_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: errors.New("refused")})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: errors.New("refused"), Probe: true})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerB, Lane: ldappool.SearchLane})
		},
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "2", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_service_bind_refused",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			refused := fmt.Errorf("service bind: %w", ldappool.ErrServiceRefused)
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: refused})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.BindLane}) // which asks for no identity
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerA, Lane: ldappool.SearchLane, Err: errors.New("connection refused")})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerB, Lane: ldappool.SearchLane, Err: refused})
			tr.Dialed(ldappool.DialEvent{Server: observertest.ServerB, Lane: ldappool.SearchLane})
		},
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_tls_certificate_expiry_timestamp_seconds",
		drive: func(m *Metrics, _ ldappool.Trace) {
			m.CertificateSeen(ListenerCertificate, "", time.Unix(2000000000, 0))
			m.CertificateSeen(DirectoryCertificate, "ldap1", time.Unix(2100000000, 0))
			m.CertificateSeen(DirectoryCertificate, "ldap1", time.Unix(1900000000, 0))
		},
		want: map[string]string{`{name="",use="listener"}`: "2e+09", `{name="ldap1",use="directory"}`: "1.9e+09"},
	},
	{
		name: "authsvc_ldap_pings_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Pinged(ldappool.PingEvent{Lane: ldappool.SearchLane, Server: observertest.ServerA})
			tr.Pinged(ldappool.PingEvent{Lane: ldappool.SearchLane, Server: observertest.ServerA})
			tr.Pinged(ldappool.PingEvent{Lane: ldappool.BindLane, Server: observertest.ServerA, Err: errors.New("silence")})
		},
		want: map[string]string{
			`{lane="search",result="ok"}`: "2", `{lane="search",result="failed"}`: "0",
			`{lane="bind",result="ok"}`: "0", `{lane="bind",result="failed"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_connections_retired_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Lane: ldappool.BindLane, Server: observertest.ServerA, Reason: "peer_closed"})
			tr.Retired(ldappool.RetireEvent{Lane: ldappool.BindLane, Server: observertest.ServerA, Reason: "not thought of"})
		},
		want: map[string]string{
			`{lane="bind",reason="peer_closed"}`: "1", `{lane="bind",reason="other"}`: "1",
			`{lane="search",reason="peer_closed"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_ping_duration_seconds",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Pinged(ldappool.PingEvent{Lane: ldappool.SearchLane, Server: observertest.ServerA, Took: time.Second})
			tr.Pinged(ldappool.PingEvent{Lane: ldappool.SearchLane, Server: observertest.ServerA, Took: 3 * time.Second, Err: errors.New("silence")})
		},
		want: map[string]string{
			`_sum{lane="search",server="` + observertest.ServerA + `"}`: "1", `_count{lane="search",server="` + observertest.ServerA + `"}`: "1",
			`_count{lane="bind",server="` + observertest.ServerA + `"}`: "0",
		},
	},
	{
		name: "authsvc_ldap_server_operations_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			operate(tr, ldappool.OperationEvent{Op: "search", Server: observertest.ServerA})
			operate(tr, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Code: ldap.LDAPResultInvalidCredentials})
			operate(tr, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerB, Err: observertest.OpError(ldappool.ErrTimeout, nil)})
		},
		want: map[string]string{
			`{result="answer",server="` + observertest.ServerA + `"}`: "2", `{result="timeout",server="` + observertest.ServerA + `"}`: "0",
			`{result="answer",server="` + observertest.ServerB + `"}`: "0", `{result="timeout",server="` + observertest.ServerB + `"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_server_state_changes_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerB, From: ldappool.ServerSuspect, To: ldappool.ServerDown})
			tr.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerB, From: ldappool.ServerDown, To: ldappool.ServerUsable})
			tr.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerB, From: ldappool.ServerUsable, To: ldappool.ServerSuspect})
			tr.ServerChanged(ldappool.ServerEvent{Server: observertest.ServerB, From: ldappool.ServerSuspect, To: ldappool.ServerUsable})
		},
		want: map[string]string{
			`{server="` + observertest.ServerB + `",state="usable"}`: "2", `{server="` + observertest.ServerB + `",state="suspect"}`: "1",
			`{server="` + observertest.ServerB + `",state="down"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_server_connections_retired_total",
		drive: func(_ *Metrics, tr ldappool.Trace) {
			tr.Retired(ldappool.RetireEvent{Lane: ldappool.BindLane, Server: observertest.ServerA, Reason: "idle_limit"})
			tr.Retired(ldappool.RetireEvent{Lane: ldappool.SearchLane, Server: observertest.ServerA, Reason: "idle_limit"})
			tr.Retired(ldappool.RetireEvent{Lane: ldappool.SearchLane, Server: observertest.ServerB, Reason: "not thought of"})
		},
		want: map[string]string{
			`{reason="idle_limit",server="` + observertest.ServerA + `"}`: "2", `{reason="other",server="` + observertest.ServerA + `"}`: "0",
			`{reason="idle_limit",server="` + observertest.ServerB + `"}`: "0", `{reason="other",server="` + observertest.ServerB + `"}`: "1",
		},
	},
	{
		name:  "authsvc_ldap_connections",
		drive: watch,
		want: map[string]string{
			`{lane="search",state="idle"}`: "1", `{lane="search",state="in_use"}`: "2", `{lane="search",state="dialing"}`: "3",
			`{lane="bind",state="idle"}`: "5", `{lane="bind",state="in_use"}`: "6", `{lane="bind",state="dialing"}`: "7",
		},
	},
	{name: "authsvc_ldap_connections_max", drive: watch, want: map[string]string{"": "32"}},
	{
		name: "authsvc_ldap_waiting_callers", drive: watch,
		want: map[string]string{`{lane="search"}`: "4", `{lane="bind"}`: "8"},
	},
	{
		name: "authsvc_ldap_connections_outdated", drive: watch,
		want: map[string]string{`{lane="search"}`: "1", `{lane="bind"}`: "2"},
	},
	{
		name: "authsvc_ldap_server_up", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_state", drive: watch,
		want: map[string]string{
			`{server="` + observertest.ServerA + `",state="usable"}`: "1", `{server="` + observertest.ServerA + `",state="suspect"}`: "0",
			`{server="` + observertest.ServerA + `",state="down"}`: "0", `{server="` + observertest.ServerB + `",state="usable"}`: "0",
			`{server="` + observertest.ServerB + `",state="down"}`: "1",
		},
	},
	{
		name: "authsvc_ldap_server_connections", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "24", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_last_answer_timestamp_seconds", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1234.5", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_state_since_timestamp_seconds", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1000.5", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_breaker_open", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "0", `{server="` + observertest.ServerB + `"}`: "1"},
	},
	{
		name: "authsvc_ldap_server_ready", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_idle_limit_seconds", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "1.5", `{server="` + observertest.ServerB + `"}`: "0"},
	},
	{
		name: "authsvc_ldap_server_age_limit_seconds", drive: watch,
		want: map[string]string{`{server="` + observertest.ServerA + `"}`: "0", `{server="` + observertest.ServerB + `"}`: "60"},
	},
	{name: "authsvc_http_connections", drive: watchInbound, want: map[string]string{"": "3"}},
	{name: "authsvc_http_connections_max", drive: watchInbound, want: map[string]string{"": "4096"}},
	{name: "authsvc_http_connections_dropped_total", drive: watchInbound, want: map[string]string{"": "7"}},
	{name: "authsvc_throttle_entries", drive: watchThrottle, want: map[string]string{"": "3"}},
	{name: "authsvc_throttle_waiting_attempts", drive: watchThrottle, want: map[string]string{"": "2"}},
	{name: "authsvc_throttle_shared_up", drive: watchThrottle, want: map[string]string{"": "1"}},
	{name: "authsvc_throttle_shared_dropped_total", drive: watchThrottle, want: map[string]string{"": "5"}},
	{name: "authsvc_throttle_shared_alone_total", drive: watchThrottle, want: map[string]string{"": "6"}},
	{name: "authsvc_throttle_forgotten_total", drive: watchThrottle, want: map[string]string{"": "7"}},
	{
		name: "authsvc_forward_requests_total",
		drive: func(m *Metrics, _ ldappool.Trace) {
			count := m.CountForwards([]string{"allowed", "denied"})
			count("allowed", auth.FromCache)
			count("allowed", auth.FromCache)
			count("denied", auth.FromDirectory)
		},
		want: map[string]string{
			`{cache="hit",result="allowed"}`: "2", `{cache="miss",result="denied"}`: "1", `{cache="stale",result="allowed"}`: "0",
		},
	},
	{
		name: "authsvc_forward_cache_entries",
		drive: func(m *Metrics, _ ldappool.Trace) {
			m.WatchRemembered(func() (accepted, rejected int) { return 3, 1 })
		},
		want: map[string]string{`{verdict="accepted"}`: "3", `{verdict="rejected"}`: "1"},
	},
	{
		name: "authsvc_throttle_refused_total", drive: watchThrottle,
		want: map[string]string{`{limit="account_client"}`: "1", `{limit="account"}`: "2", `{limit="client"}`: "3", `{limit="client_site"}`: "4"},
	},
}

func TestCounts_HaveTheAnswersToReverseProxies(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	require.Empty(t, m.Counts().Forwards)
	count := m.CountForwards([]string{"allowed", "denied"})
	count("allowed", auth.FromCache)
	count("allowed", auth.FromCache)
	count("allowed", auth.FromDirectory)
	got := m.Counts().Forwards
	require.Equal(t, []Forwards{
		{"allowed", map[auth.Source]uint64{auth.FromNothing: 0, auth.FromDirectory: 1, auth.FromCache: 2, auth.FromStale: 0}},
		{"denied", map[auth.Source]uint64{auth.FromNothing: 0, auth.FromDirectory: 0, auth.FromCache: 0, auth.FromStale: 0}},
	}, got)
	require.EqualValues(t, 3, got[0].Total())
}

func watchInbound(m *Metrics, _ ldappool.Trace) {
	m.WatchInbound(func() connlimit.Stat { return connlimit.Stat{Open: 3, Max: 4096, Dropped: 7} })
}

func watchThrottle(m *Metrics, _ ldappool.Trace) {
	m.WatchThrottle(func() throttle.Stat {
		return throttle.Stat{Entries: 3, Waiting: 2, Forgotten: 7, Refused: [4]uint64{1, 2, 3, 4}}
	})
	m.WatchSharedThrottle(func() throttle.SharedStat { return throttle.SharedStat{Up: true, Dropped: 5, Alone: 6} })
}

func login(m *Metrics, r auth.Result) {
	m.LoginDone(context.Background(), auth.Credentials{Username: "user0"}, r)
}

func operate(tr ldappool.Trace, e ldappool.OperationEvent) { tr.Operated(context.Background(), e) }

func acquire(tr ldappool.Trace, e ldappool.AcquireEvent) { tr.Acquired(context.Background(), e) }

func watch(m *Metrics, _ ldappool.Trace) {
	m.WatchPool(func() *ldappool.Stat {
		return &ldappool.Stat{
			MaxConns: 32,
			Search:   ldappool.LaneStat{Idle: 1, InUse: 2, Dialing: 3, Waiting: 4, Outdated: 1},
			Bind:     ldappool.LaneStat{Idle: 5, InUse: 6, Dialing: 7, Waiting: 8, Outdated: 2},
			Servers: []ldappool.ServerStat{
				{
					URL: observertest.ServerA, State: ldappool.ServerUsable, Since: time.UnixMilli(1000500), Ready: true,
					Answered: time.UnixMilli(1234500), Conns: 24, IdleLimit: 1500 * time.Millisecond,
				},
				{URL: observertest.ServerB, State: ldappool.ServerDown, BreakerOpen: true, AgeLimit: time.Minute},
			},
		}
	})
}

func TestMetrics_EachShowsItsEvent(t *testing.T) {
	t.Parallel()
	for _, test := range metricTests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newTest(slog.LevelInfo)
			if test.drive != nil {
				test.drive(m, m.Trace())
			}
			series := scrape(t, m)
			for suffix, want := range test.want {
				got, ok := series[test.name+suffix]
				require.True(t, ok, "no series %s%s", test.name, suffix)
				assert.Equal(t, want, got, "%s%s", test.name, suffix)
			}
		})
	}
}

func TestMetrics_EachIsTested(t *testing.T) {
	t.Parallel()
	tested := make(map[string]bool)
	for _, test := range metricTests {
		tested[test.name] = true
	}
	families, err := allDriven(t).registry.Gather()
	require.NoError(t, err)
	seen := 0
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "authsvc_") {
			seen++
			assert.True(t, tested[family.GetName()], "%s is in no test", family.GetName())
		}
	}
	assert.Equal(t, len(metricTests), seen)
}

func TestMetrics_FollowPrometheusConventions(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(allDriven(t).registry)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// allDriven returns a Metrics in which every metric has a series.
func allDriven(t *testing.T) *Metrics {
	t.Helper()
	m, _ := newTest(slog.LevelInfo)
	for _, test := range metricTests {
		if test.drive != nil {
			test.drive(m, m.Trace())
		}
	}
	return m
}

func TestMetrics_SeriesExistFromTheStart(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelInfo)
	series := scrape(t, m)
	for _, o := range auth.Outcomes() {
		assert.Equal(t, "0", series[fmt.Sprintf(`authsvc_logins_total{outcome="%s"}`, o.Code())], o.Code())
	}
	for _, lane := range lanes() {
		for _, reason := range ldappool.RetireReasons() {
			name := fmt.Sprintf(`authsvc_ldap_connections_retired_total{lane="%s",reason="%s"}`, lane, reason)
			assert.Equal(t, "0", series[name], name)
		}
	}
	for name := range series {
		assert.False(t, strings.HasPrefix(name, "authsvc_ldap_server"), "%s without a pool", name)
	}
}

func TestMetrics_SeriesAreBoundedForAnyNames(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelInfo)
	trace := m.Trace()
	for i := range 10 * poolevent.MaxServers {
		name := fmt.Sprintf("ldap://%d\xff.example.org", i)
		trace.Dialed(ldappool.DialEvent{Server: name, Lane: ldappool.BindLane, Err: errors.New("refused")})
		trace.ServerChanged(ldappool.ServerEvent{Server: name, To: ldappool.ServerDown})
		trace.Retired(ldappool.RetireEvent{Server: name, Reason: ldappool.RetireReason(name)})
		operate(trace, ldappool.OperationEvent{Op: name, Server: name, Code: uint16(i)})
	}
	count, err := testutil.GatherAndCount(m.registry, "authsvc_ldap_dial_errors_total")
	require.NoError(t, err)
	assert.Equal(t, poolevent.MaxServers+1, count)
	assert.Equal(t, fmt.Sprint(9*poolevent.MaxServers), scrape(t, m)[`authsvc_ldap_dial_errors_total{server="other"}`])
	count, err = testutil.GatherAndCount(m.registry, "authsvc_ldap_connections_retired_total")
	require.NoError(t, err)
	assert.Equal(t, 2*(len(ldappool.RetireReasons())+1), count)
	count, err = testutil.GatherAndCount(m.registry, "authsvc_ldap_server_connections_retired_total")
	require.NoError(t, err)
	assert.Equal(t, (poolevent.MaxServers+1)*(len(ldappool.RetireReasons())+1), count)
}

func TestMetrics_SeriesOfCallersAreBounded(t *testing.T) {
	t.Parallel()
	m, _ := newTest(slog.LevelInfo)
	for i := range 3 * maxCallers {
		caller := auth.Caller{Name: fmt.Sprintf("caller %d\xff\n", i), By: auth.ByCertificate}
		m.LoginDone(t.Context(), auth.Credentials{Caller: caller}, auth.Result{Outcome: auth.OK})
	}
	series := scrape(t, m)
	assert.Equal(t, fmt.Sprint(2*maxCallers), series[`authsvc_caller_logins_total{caller="other",class="verdict"}`])
	assert.Len(t, m.callers.caller, maxCallers+1)
}

func TestMetrics_AreDocumented(t *testing.T) {
	t.Parallel()
	var ours []string
	for _, test := range metricTests {
		ours = append(ours, test.name)
	}
	documented := func(file string) []string {
		text, err := os.ReadFile("../../docs/" + file)
		require.NoError(t, err)
		return regexp.MustCompile(`authsvc_[a-z_]+[a-z]`).FindAllString(string(text), -1)
	}
	listed := documented("logs-and-metrics.md")
	for _, name := range ours {
		assert.Contains(t, listed, name, "missing in logs-and-metrics.md")
	}
	for _, name := range slices.Concat(listed, documented("pool.md")) {
		assert.Contains(t, ours, name, "there is no such metric")
	}
}

func BenchmarkLoginDoneMetrics(b *testing.B) {
	m := New(Options{})
	_, r := observertest.FullLogin()
	b.ReportAllocs()
	for b.Loop() {
		m.logins.record(r, nil)
	}
}

func BenchmarkLoginDoneMetricsParallel(b *testing.B) {
	m := New(Options{})
	_, r := observertest.FullLogin()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.logins.record(r, nil)
		}
	})
}

func BenchmarkOperated(b *testing.B) {
	trace := New(Options{}).Trace()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		trace.Operated(ctx, ldappool.OperationEvent{Op: "bind", Server: observertest.ServerA, Took: 700 * time.Microsecond, Code: 49})
	}
}

func BenchmarkAcquired(b *testing.B) {
	trace := New(Options{}).Trace()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		trace.Acquired(ctx, ldappool.AcquireEvent{Lane: ldappool.BindLane, Wait: 3 * time.Microsecond})
	}
}
