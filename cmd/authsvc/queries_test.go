package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"authsvc/internal/ldaptest"
	"authsvc/internal/redistest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dashboardQueries takes every query out of the dashboard, by where it is: panels, variables,
// annotations. Grafana's variables have a value that Grafana would give them.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(deployed + "grafana/authsvc.json")
	require.NoError(t, err)
	var dashboard any
	require.NoError(t, json.Unmarshal(text, &dashboard))
	queries := map[string]string{}
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if title, ok := v["title"].(string); ok {
				where = title
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				value, ok := v[key].(string)
				if m := labelValues.FindStringSubmatch(value); ok && key == "definition" && m != nil {
					queries[fmt.Sprintf("variable %v", v["name"])] = m[1]
				} else if ok && key == "expr" {
					queries[fmt.Sprintf("%s %v", where, v["refId"])] = value
				}
				walk(where, v[key])
			}
		case []any:
			for _, item := range v {
				walk(where, item)
			}
		}
	}
	walk("", dashboard)
	for where, q := range queries {
		q = strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$instance", ".+").Replace(q)
		require.NotContains(t, q, "$", "a variable that nobody sets")
		queries[where] = q
	}
	return queries
}

var (
	labelValues = regexp.MustCompile(`^label_values\((.+), \w+\)$`)
	threshold   = regexp.MustCompile(`(==|!=|>=|<=|>|<) (\d)`)
)

// TestQueries_OfDashboardAndRulesGiveResults asks a real Prometheus that scraped a real
// service. A rule is asked with its thresholds as answers (bool) and not as filters: then it gives
// a result where its series are there and its labels match, also while nothing is wrong.
func TestQueries_OfDashboardAndRulesGiveResults(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10, TLS: true})
	cert := slapd.CA().Issue(t, ldaptest.CertConfig{Client: true})
	f := startFrontageTo(t, slapd, "LDAP_URL="+slapd.TLSURL()+",ldap://127.0.0.1:1", "LDAP_CA_FILE="+slapd.CA().File(),
		"LDAP_CERT_FILE="+cert.CertFile, "LDAP_KEY_FILE="+cert.KeyFile,
		"AUTH_THROTTLE_FAILURES=10", "AUTH_THROTTLE_REDIS_URL=redis://"+redistest.Start(t).Addr, "LDAP_POOL_HEALTH_CHECK_INTERVAL=1s")
	prom := startPrometheus(t, f.p.admin)
	c := f.client(f.ca)
	queries := dashboardQueries(t)
	require.Greater(t, len(queries), 40)
	for _, g := range readRules(t).Groups {
		for _, r := range g.Rules {
			queries["alert "+r.Alert] = threshold.ReplaceAllString(r.Expr, "$1 bool $2")
		}
	}
	for _, where := range slices.Sorted(maps.Keys(queries)) {
		series, problem := 0, ""
		ldaptest.Eventually(t, where+": "+queries[where], func() bool {
			_, err := f.login(c, "shop-key-one") // there are logins all the time
			require.NoError(t, err)
			series, problem = prom.query(t, queries[where])
			require.NotContains(t, problem, "parse error", where)
			return series > 0
		})
		t.Logf("%3d  %s: %s", series, where, strings.Join(strings.Fields(queries[where]), " "))
	}
	for use, name := range map[string]string{"listener": "", "client": "", "directory": "localhost"} {
		// A scrape that comes too late, on a busy machine, leaves a moment without any series.
		ldaptest.Eventually(t, "the "+use+" certificate expires in a day", func() bool {
			series, _ := prom.query(t, fmt.Sprintf(`authsvc_tls_certificate_expiry_timestamp_seconds{use=%q,name=%q} - time() < 2 * 86400 > 0`, use, name))
			return series == 1
		})
	}
	assert.Zero(t, f.p.end(t))
}

func TestAlerts_FireWhenADirectoryFailsOrRejectsTheServicePassword(t *testing.T) {
	t.Parallel()
	slapd := ldaptest.StartSlapd(t, ldaptest.SlapdConfig{Users: 10})
	p := startProgram(t, slapd.URL())
	p.ready(t)
	prom, c := startPrometheus(t, p.admin), client(t)
	fires := func(alert string, want int) {
		t.Helper()
		ldaptest.Eventually(t, fmt.Sprintf("%s fires %d times", alert, want), func() bool {
			login(c, p.url, ldaptest.Username(1), ldaptest.Password(1), 0)
			series, _ := prom.query(t, `ALERTS{alertstate="firing",alertname="`+alert+`"}`)
			up, _ := prom.query(t, `up{job="authsvc"} == 1`)
			return series == want && (up == 1 || alert == "AuthsvcDown")
		})
	}
	fires("AuthsvcDirectoryUnusable", 0)
	slapd.Kill()
	fires("AuthsvcDirectoryUnusable", 1)
	fires("AuthsvcLoginsFail", 1)
	slapd.Start()
	fires("AuthsvcDirectoryUnusable", 0)
	fires("AuthsvcServiceBindRefused", 0)

	refused := startProgram(t, slapd.URL(), "LDAP_BIND_PASSWORD=stale-service-pw0rd")
	everything.Secret("stale-service-pw0rd")
	other := startPrometheus(t, refused.admin)
	ldaptest.Eventually(t, "AuthsvcServiceBindRefused fires", func() bool {
		series, _ := other.query(t, `ALERTS{alertstate="firing",alertname="AuthsvcServiceBindRefused"}`)
		return series == 1
	})
	assert.Zero(t, p.end(t))
	fires("AuthsvcDown", 1)
}
