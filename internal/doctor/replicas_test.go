package doctor_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"authsvc/internal/doctor"
	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withReplicas checks for so many replicas with so many connections each.
func withReplicas(n, conns int) change {
	return func(o *doctor.Options) { o.Replicas, o.Pool.MaxConns = n, conns }
}

// limitOf returns the limit on connections that a finding names.
func limitOf(t *testing.T, s doctor.Step) int {
	t.Helper()
	found := regexp.MustCompile(`the directory accepts (\d+) connections`).FindStringSubmatch(s.Finding)
	require.Len(t, found, 2, s.Finding)
	n, err := strconv.Atoi(found[1])
	require.NoError(t, err)
	return n
}

// occupy opens connections to a server until the test ends.
func occupy(t *testing.T, url string, n int) {
	t.Helper()
	for range n {
		c, err := ldap.DialURL(url)
		require.NoError(t, err)
		require.NoError(t, c.UnauthenticatedBind("")) // the server has accepted it by then
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TestReplicas_AreComparedWithTheLimitAndTheConnectionsOfOthers at the directories that show both.
func TestReplicas_AreComparedWithTheLimitAndTheConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	const others = 12
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, ExtraGlobal: "moduleload back_monitor", ExtraDatabase: openConfig})
	ds := ldaptest.StartDS389(t)
	ds.Add(ldaptest.UserDN(0), map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {"user0"}, "cn": {"x"}, "sn": {"x"}})
	for name, server := range map[string]struct{ preset, url string }{"openldap": {"openldap", slapd.URL()}, "389ds": {"389ds", ds.URL()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := func(replicas, conns int) doctor.Step {
				t.Helper()
				steps := examine(t, all(withPreset(server.preset), withReplicas(replicas, conns)), server.url)
				require.True(t, reportOf(steps).OK, "it is no failure")
				return find(t, steps, "connection limits")
			}
			most := limitOf(t, limits(2, 2))
			occupy(t, server.url, others)
			type want struct {
				mark            doctor.Mark
				finding, remedy string
			}
			for _, c := range []struct {
				replicas, conns int
				want            want
			}{
				{1, 2, want{doctor.OK, "all replicas (1) open up to 2 connections", ""}},
				{2, (most - 4*others) / 2, want{doctor.OK, "all replicas (2) open up to", ""}},
				{1, most - others/2, want{doctor.Warn, "open now, and all replicas (1) open up to", "if these are not of replicas that run already: set LDAP_POOL_MAX_CONNS to at most "}},
				{1, most + 1, want{doctor.Warn, fmt.Sprintf("all replicas (1) open up to %d connections", most+1), "set LDAP_POOL_MAX_CONNS to at most "}},
				{1_000_000, 10_000, want{doctor.Warn, "all replicas (1000000) open up to 10000000000 connections", "run at most "}},
			} {
				got := limits(c.replicas, c.conns)
				at := fmt.Sprintf("%d replicas with %d connections: %+v", c.replicas, c.conns, got)
				assert.Equal(t, c.want.mark, got.Mark, at)
				assert.Contains(t, got.Finding, c.want.finding, at)
				assert.Contains(t, got.Remedy, c.want.remedy, at)
				assert.Equal(t, c.want.remedy == "", got.Remedy == "", at)
				require.Len(t, got.Details, 1)
				assert.Regexp(t, `^open now: 1\d, without this check's own`, got.Details[0])
			}
		})
	}
}

// TestReplicas_RemedyFits: what the remedy asks for is no finding any more.
func TestReplicas_RemedyFits(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 1, ExtraGlobal: "moduleload back_monitor", ExtraDatabase: openConfig})
	look := func(replicas, conns int) doctor.Step {
		return find(t, at(s.URL(), withReplicas(replicas, conns))(t), "connection limits")
	}
	number := func(pattern, text string) int {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		require.Len(t, found, 2, text)
		n, err := strconv.Atoi(found[1])
		require.NoError(t, err)
		return n
	}
	step := look(600, 32)
	samples.Compare(t, "replicas", output(t, "authsvc check -replicas 600", []doctor.Step{step}))
	conns := number(`to at most (\d+)`, step.Remedy)
	assert.Equal(t, doctor.OK, look(600, conns).Mark)
	assert.Equal(t, doctor.Warn, look(600, conns+1).Mark)

	replicas := number(`run at most (\d+) replicas with LDAP_POOL_MAX_CONNS=2`, look(500_000, 32).Remedy)
	const lingering = 5 // connections of earlier checks that slapd has not closed yet
	assert.Equal(t, doctor.OK, look(replicas-lingering, 2).Mark)
	assert.Equal(t, doctor.Warn, look(replicas+lingering, 2).Mark)
}

// TestReplicas_WithoutAReadableLimitGetTheArithmetic, also where nothing is searched.
func TestReplicas_WithoutAReadableLimitGetTheArithmetic(t *testing.T) {
	t.Parallel()
	one, two := ldaptest.NewServer(t, nil), ldaptest.NewServer(t, nil)
	template := func(o *doctor.Options) {
		o.Pool.BindOnly, o.Logins.BaseDNs, o.Logins.DNTemplate = true, nil, "uid={username},"+ldaptest.PeopleDN
	}
	for name, c := range map[string]change{"a search": all(), "a template": template} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			steps := examine(t, all(c, withReplicas(3, 7)), one.URL(), two.URL())
			require.True(t, reportOf(steps).OK)
			var of []string
			for _, s := range marked(steps, doctor.Skipped) {
				if s.Name == "connection limits" {
					of = append(of, s.Server)
					assert.Equal(t, "the directory does not report its limit on connections; all replicas (3) open up to 21 connections at this server (LDAP_POOL_MAX_CONNS=7 each)", s.Finding)
				}
			}
			assert.Equal(t, []string{one.URL(), two.URL()}, of)
		})
	}
}
