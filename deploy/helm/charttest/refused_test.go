package charttest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrong is a value that nobody wants, and what the error must say: where it is, and what is wrong.
type wrong struct {
	values string
	says   []string
}

// bySchema are the values that values.schema.json refuses.
func bySchema() []wrong {
	return []wrong{
		{"image: {repository: ''}", []string{"'/image/repository'", "got 0, want 1"}},
		{"image: {repository: 'registry.example.org/authsvc:v1'}", []string{"'/image/repository'", "does not match pattern"}},
		{"image: {repository: 'https://registry.example.org/authsvc'}", []string{"'/image/repository'"}},
		{"image: {tag: 1.2}", []string{"'/image/tag'", "got number, want string"}},
		{"image: {tag: 'v1 '}", []string{"'/image/tag'"}},
		{"image: {digest: 'sha256:abc'}", []string{"'/image/digest'"}},
		{"image: {pullPolicy: always}", []string{"'/image/pullPolicy'", "'IfNotPresent', 'Always', 'Never'"}},
		{"image: {name: authsvc}", []string{"'/image'", "'name' not allowed"}},
		{"image: {pullSecrets: [{name: mine}]}", []string{"'/image/pullSecrets/0'", "want string"}},
		{"replicaCount: 3", []string{"'replicaCount' not allowed"}},
		{"replicas: 0", []string{"'/replicas'", "got 0, want 1"}},
		{"replicas: '2'", []string{"'/replicas'", "got string, want integer"}},
		{"replicas: 2.5", []string{"'/replicas'", "want integer"}},
		{"fullnameOverride: Login", []string{"'/fullnameOverride'"}},
		{"settings: {LDAP_URL: null}", []string{"'/settings'", "missing property 'LDAP_URL'"}},
		{"settings: {LDAP_URL: ldap.example.org}", []string{"'/settings/LDAP_URL'"}},
		{"settings: {LDAP_URL: 'ldaps://a.example.org ldaps://b.example.org'}", []string{"'/settings/LDAP_URL'"}},
		{"settings: {LDAP_URL: 'ldaps://user:password@a.example.org'}", []string{"'/settings/LDAP_URL'"}},
		{"settings: {LDAP_URI: 'ldaps://a.example.org'}", []string{"'/settings'", "'LDAP_URI' not allowed"}},
		{"settings: {LDAP_BIND_PASSWORD: secret}", []string{"'/settings'", "'LDAP_BIND_PASSWORD' not allowed"}},
		{"settings: {LDAP_CA_FILE: /etc/ca.pem}", []string{"'/settings'", "'LDAP_CA_FILE' not allowed"}},
		{"settings: {HTTP_ADDR: ':80'}", []string{"'/settings'", "'HTTP_ADDR' not allowed"}},
		{"settings: {LDAP_POOL_MAX_CONNS: 16}", []string{"'/settings'", "'LDAP_POOL_MAX_CONNS' not allowed"}},
		{"settings: {LDAP_PRESET: activedirectory}", []string{"'/settings/LDAP_PRESET'", "'openldap', 'ad', '389ds', 'freeipa', 'lldap'"}},
		{"settings: {LDAP_BIND_METHOD: EXTERNAL}", []string{"'/settings/LDAP_BIND_METHOD'", "'simple', 'external'"}},
		{"settings: {LDAP_START_TLS: yes please}", []string{"'/settings/LDAP_START_TLS'"}},
		{"settings: {LDAP_PASSWORD_POLICY: on}", []string{"'/settings/LDAP_PASSWORD_POLICY'", "'auto', 'on', 'off'"}}, // YAML's on is true
		{"settings: {LDAP_TLS_MIN_VERSION: 1.3}", []string{"'/settings/LDAP_TLS_MIN_VERSION'", "'1.2', '1.3'"}},
		{"settings: {LDAP_USER_FILTER: 'uid={username}'}", []string{"'/settings/LDAP_USER_FILTER'"}},
		{"settings: {LDAP_BASE_DN: ' dc=example,dc=org'}", []string{"'/settings/LDAP_BASE_DN'"}},
		{"settings: {LDAP_ATTRIBUTES: [cn, mail]}", []string{"'/settings/LDAP_ATTRIBUTES'", "got array, want string"}},
		{"settings: {AUTH_TIMEOUT: 10}", []string{"'/settings/AUTH_TIMEOUT'", "got number, want string"}},
		{"settings: {AUTH_TIMEOUT: '10'}", []string{"'/settings/AUTH_TIMEOUT'", "'10' does not match pattern"}},
		{"settings: {HTTP_SHUTDOWN_DELAY: 5 s}", []string{"'/settings/HTTP_SHUTDOWN_DELAY'"}},
		{"settings: {HTTP_SHUTDOWN_TIMEOUT: -1s}", []string{"'/settings/HTTP_SHUTDOWN_TIMEOUT'"}},
		{"settings: {HTTP_SHUTDOWN_TIMEOUT: null}", []string{"missing property 'HTTP_SHUTDOWN_TIMEOUT'"}},
		{"settings: {HTTP_MAX_CONNS: 15}", []string{"'/settings/HTTP_MAX_CONNS'", "got 15, want 16"}},
		{"settings: {HTTP_TRUSTED_PROXIES: ingress-nginx}", []string{"'/settings/HTTP_TRUSTED_PROXIES'"}},
		{"settings: {AUTH_THROTTLE_REDIS_PREFIX: 'a b'}", []string{"'/settings/AUTH_THROTTLE_REDIS_PREFIX'"}},
		{"settings: {LOG_LEVEL: trace}", []string{"'/settings/LOG_LEVEL'", "'debug', 'info', 'warn', 'error'"}},
		{"existingSecret: My_Secret", []string{"'/existingSecret'"}},
		{"files: {LDAP_BIND_PASSWORD: {key: a}}", []string{"'/files'", "'LDAP_BIND_PASSWORD' not allowed"}},
		{"files: {LDAP_CA_FILE: /etc/ca.pem}", []string{"'/files/LDAP_CA_FILE'", "got string, want object"}},
		{"files: {LDAP_CA_FILE: {secret: a}}", []string{"'/files/LDAP_CA_FILE'", "missing property 'key'"}},
		{"files: {LDAP_CA_FILE: {secret: a, configMap: b, key: c}}", []string{"'/files/LDAP_CA_FILE'", "'not' failed"}},
		{"files: {LDAP_CA_FILE: {secret: a, key: ../b}}", []string{"'/files/LDAP_CA_FILE/key'"}},
		{"extraEnv: [{name: LDAP_URL, value: a}]", []string{"'/extraEnv/0/name'"}},
		{"extraEnv: [{name: GOGC}]", []string{"'/extraEnv/0'", "got 1, want 2"}},
		{"directory: {maxConnections: 1}", []string{"'/directory/maxConnections'", "got 1, want 2"}},
		{"directory: {maxConns: 100}", []string{"'/directory'", "'maxConns' not allowed"}},
		{"forwardListener: {enabled: 'true'}", []string{"'/forwardListener/enabled'", "got string, want boolean"}},
		{"service: {type: ExternalName}", []string{"'/service/type'"}},
		{"service: {port: 70000}", []string{"'/service/port'", "got 70,000, want 65,535"}},
		{"ingress: {enabled: true}", []string{"'/ingress/host'", "got 0, want 1"}},
		{"ingress: {enabled: true, host: 'https://login.example.org'}", []string{"'/ingress/host'"}},
		{"ingress: {hosts: [login.example.org]}", []string{"'/ingress'", "'hosts' not allowed"}},
		{"httpRoute: {enabled: true}", []string{"'/httpRoute/parentRefs'", "got 0, want 1"}},
		{"httpRoute: {enabled: true, parentRefs: [{namespace: a}]}", []string{"'/httpRoute/parentRefs/0'", "missing property 'name'"}},
		{"metrics: {serviceMonitor: {interval: 15}}", []string{"'/metrics/serviceMonitor/interval'"}},
		{"metrics: {prometheusRule: {labels: {app.kubernetes.io/name: other}}}", []string{"'/metrics/prometheusRule/labels/app.kubernetes.io~1name'"}},
		{"networkPolicy: {callers: [{}]}", []string{"'/networkPolicy/callers/0'"}},
		{"networkPolicy: {callers: [{podSelector: {app: shop}}]}", []string{"'/networkPolicy/callers/0/podSelector'", "'app' not allowed"}},
		{"networkPolicy: {directory: {to: [{ipBlock: {cidr: 192.0.2.1}}]}}", []string{"'/networkPolicy/directory/to/0/ipBlock/cidr'"}},
		{"networkPolicy: {directory: {to: [{ipBlock: {cidr: 192.0.2.0/24}, podSelector: {}}]}}", []string{"'/networkPolicy/directory/to/0'"}},
		{"networkPolicy: {redis: {ports: []}}", []string{"'/networkPolicy/redis/ports'", "got 0, want 1"}},
		{"networkPolicy: {dns: {ports: [0]}}", []string{"'/networkPolicy/dns/ports/0'"}},
		{"networkPolicy: {extra: [{to: [{podSelector: {}}]}]}", []string{"'/networkPolicy/extra/0'", "missing property 'ports'"}},
		{"autoscaling: {targetCPUUtilization: 70%}", []string{"'/autoscaling/targetCPUUtilization'"}},
		{"resources: {limits: {cpu: a lot}}", []string{"'/resources/limits/cpu'"}},
		{"resources: {limits: {memory: 512MB}}", []string{"'/resources/limits/memory'"}},
		{"podLabels: {a: b c}", []string{"'/podLabels/a'"}},
		{"podLabels: {app.kubernetes.io/instance: other}", []string{"'/podLabels/app.kubernetes.io~1instance'"}},
		{"podAnnotations: {a: 1}", []string{"'/podAnnotations/a'", "got number, want string"}},
		{"tolerations: [{key: a, effect: Never}]", []string{"'/tolerations/0/effect'"}},
	}
}

// byTemplate are the values that are wrong together.
func byTemplate() []wrong {
	return []wrong{
		{"image: {tag: ''}", []string{"image.tag or image.digest is required"}},
		{"directory: {maxConnections: 7}", []string{"directory.maxConnections: 7 connections for 2 replicas, and two during a rolling update, are less than 2 for each: raise it to 8"}},
		{"{autoscaling: {enabled: true, maxReplicas: 100}, directory: {maxConnections: 128}}", []string{"directory.maxConnections: 128 connections for 100 replicas", "raise it to 204"}},
		{"{settings: {LDAP_POOL_MIN_IDLE_CONNS: 9}, directory: {maxConnections: 64}}", []string{"settings.LDAP_POOL_MIN_IDLE_CONNS: 9 is more than half of the 16 connections that directory.maxConnections leaves each replica"}},
		{"files: {LDAP_BIND_PASSWORD_FILE: {key: a}}", []string{"files.LDAP_BIND_PASSWORD_FILE: set its secret or configMap, or existingSecret"}},
		{"files: {HTTP_TLS_CERT_FILE: {secret: a, key: tls.crt}}", []string{"files.HTTP_TLS_CERT_FILE and files.HTTP_TLS_KEY_FILE need each other"}},
		{"files: {LDAP_KEY_FILE: {secret: a, key: tls.key}}", []string{"files.LDAP_CERT_FILE and files.LDAP_KEY_FILE need each other"}},
		{"settings: {LDAP_BIND_METHOD: external}", []string{"settings.LDAP_BIND_METHOD: external needs a client certificate: set files.LDAP_CERT_FILE"}},
		{"{settings: {LDAP_BIND_METHOD: external}, files: {LDAP_BIND_PASSWORD_FILE: {secret: a, key: d}, LDAP_CERT_FILE: {secret: a, key: b}, LDAP_KEY_FILE: {secret: a, key: c}}}",
			[]string{"settings.LDAP_BIND_METHOD: external takes no files.LDAP_BIND_PASSWORD_FILE"}},
		{"autoscaling: {enabled: true, minReplicas: 5}", []string{"autoscaling.minReplicas: 5 is more than autoscaling.maxReplicas, 4"}},
		{"{autoscaling: {enabled: true}, resources: {requests: {cpu: null}}}", []string{"resources.requests.cpu is required with autoscaling"}},
		{"metrics: {serviceMonitor: {enabled: true}}", []string{"metrics.serviceMonitor needs metrics.enabled"}},
		{"metrics: {enabled: true}", []string{"networkPolicy.monitoring: say who may reach the admin listener"}},
		{"forwardListener: {enabled: true, port: 8080}", []string{"forwardListener.port: 8080 is also service.port"}},
	}
}

// TestWrong_ValueIsRefusedByName: each error says which value is wrong. The required values are
// right.
func TestWrong_ValueIsRefusedByName(t *testing.T) {
	t.Parallel()
	for source, all := range map[string][]wrong{"schema": bySchema(), "template": byTemplate()} {
		for _, w := range all {
			t.Run(w.values, func(t *testing.T) {
				t.Parallel()
				_, err := render(t, releaseName, required(t, w.values))
				require.Error(t, err)
				assert.Equal(t, source == "schema", strings.HasPrefix(err.Error(), "values don't meet the specifications of the schema"), err)
				for _, want := range w.says {
					assert.ErrorContains(t, err, want)
				}
			})
		}
		t.Logf("%d wrong values, refused by the %s", len(all), source)
	}
}

// TestWrong_NothingRequiredIsGiven: all of it is named at once.
func TestWrong_NothingRequiredIsGiven(t *testing.T) {
	t.Parallel()
	_, err := render(t, releaseName, map[string]any{})
	require.Error(t, err)
	require.ErrorContains(t, err, "'/image/repository'")
	require.ErrorContains(t, err, "missing property 'LDAP_URL'")
}
