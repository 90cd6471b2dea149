package charttest

import (
	"os"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// variant is a use of the chart, and what is special about what it renders. What holds for every
// variant is in invariants_test.go.
type variant struct {
	name    string
	release string // authsvc, if it is empty
	values  string // besides the required ones
	check   func(t *testing.T, o *objects)
}

const (
	tls      = "{HTTP_TLS_CERT_FILE: {secret: authsvc-tls, key: tls.crt}, HTTP_TLS_KEY_FILE: {secret: authsvc-tls, key: tls.key}}"
	scrapers = "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]"
)

func variants() []variant {
	return []variant{
		{name: "what is required", check: checkRequired},
		{name: "one replica", values: "replicas: 1", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Nil(t, o.budget, "it would keep the node from being drained")
			assert.Empty(t, o.deployment.Spec.Template.Spec.TopologySpreadConstraints)
			assert.Equal(t, "42", o.config.Data["LDAP_POOL_MAX_CONNS"])
		}},
		{name: "ten replicas", values: "{replicas: 10, directory: {maxConnections: 100}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.EqualValues(t, 10, *o.deployment.Spec.Replicas)
			assert.Equal(t, "8", o.config.Data["LDAP_POOL_MAX_CONNS"], "100 for ten, one more and one that drains")
		}},
		{name: "the fewest connections", values: "{replicas: 3, directory: {maxConnections: 10}}", check: conns("2")},
		{name: "more connections than the service permits", values: "directory: {maxConnections: 1000000}", check: conns("10000")},
		{name: "autoscaling", values: "{autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 6, targetCPUUtilization: 50}, directory: {maxConnections: 80}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Nil(t, o.deployment.Spec.Replicas, "it would undo what the autoscaler does")
			assert.Equal(t, "10", o.config.Data["LDAP_POOL_MAX_CONNS"])
			require.NotNil(t, o.autoscaler)
			assert.EqualValues(t, 3, *o.autoscaler.Spec.MinReplicas)
			assert.EqualValues(t, 6, o.autoscaler.Spec.MaxReplicas)
			assert.EqualValues(t, 50, *o.autoscaler.Spec.Metrics[0].Resource.Target.AverageUtilization)
			assert.EqualValues(t, 60, o.autoscaler.Spec.Behavior.ScaleDown.Policies[0].PeriodSeconds)
			assert.NotNil(t, o.budget)
		}},
		{name: "autoscaling from one replica", values: "autoscaling: {enabled: true, minReplicas: 1}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Nil(t, o.budget)
			assert.NotEmpty(t, o.deployment.Spec.Template.Spec.TopologySpreadConstraints)
		}},
		{name: "a digest", values: "image: {tag: '', digest: 'sha256:" + strings.Repeat("ab", 32) + "'}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "registry.example.org/authsvc@sha256:"+strings.Repeat("ab", 32), container(o).Image)
		}},
		{name: "a tag and a digest", values: "image: {digest: 'sha256:" + strings.Repeat("ab", 32) + "', pullPolicy: Always, pullSecrets: [mine, '1234']}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "registry.example.org/authsvc:v1.2.3@sha256:"+strings.Repeat("ab", 32), container(o).Image)
			assert.Equal(t, corev1.PullAlways, container(o).ImagePullPolicy)
			assert.Equal(t, []corev1.LocalObjectReference{{Name: "mine"}, {Name: "1234"}}, o.deployment.Spec.Template.Spec.ImagePullSecrets)
		}},
		{name: "a tag as long as can be", values: "image: {tag: " + strings.Repeat("v.", 64) + "}"},
		{name: "the service password", values: "{existingSecret: mine, settings: {LDAP_BIND_DN: 'cn=service,dc=example,dc=org'}, files: {LDAP_BIND_PASSWORD_FILE: {key: ldap-bind-password}}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, map[string]string{"LDAP_BIND_PASSWORD_FILE": "mine/ldap-bind-password"}, mounted(t, o))
		}},
		{name: "a service certificate", values: "{settings: {LDAP_BIND_METHOD: external, LDAP_BIND_DN: 'cn=service,dc=example,dc=org'}, files: {LDAP_CERT_FILE: {secret: authsvc-ldap, key: tls.crt}, LDAP_KEY_FILE: {secret: authsvc-ldap, key: tls.key}}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "external", o.config.Data["LDAP_BIND_METHOD"])
			assert.Equal(t, map[string]string{"LDAP_CERT_FILE": "authsvc-ldap/tls.crt", "LDAP_KEY_FILE": "authsvc-ldap/tls.key"}, mounted(t, o))
		}},
		{name: "HTTPS", values: "files: " + tls, check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, map[string]string{"HTTP_TLS_CERT_FILE": "authsvc-tls/tls.crt", "HTTP_TLS_KEY_FILE": "authsvc-tls/tls.key"}, mounted(t, o))
			assert.Equal(t, "https", o.service.Spec.Ports[0].Name)
			assert.Equal(t, corev1.URISchemeHTTPS, container(o).LivenessProbe.HTTPGet.Scheme)
			assert.Equal(t, corev1.URISchemeHTTPS, container(o).ReadinessProbe.HTTPGet.Scheme)
		}},
		{name: "every file", values: everyFile, check: func(t *testing.T, o *objects) {
			t.Helper()
			files := mounted(t, o)
			assert.Len(t, files, 13)
			assert.Equal(t, "configMap directory-ca/ca.crt", files["LDAP_CA_FILE"])
			assert.Equal(t, "directory-client/tls.key", files["LDAP_KEY_FILE"])
			assert.Equal(t, "mine/api-keys", files["AUTH_API_KEYS_FILE"])
		}},
		{name: "settings that look like something else", release: "1234", values: `
files: {LDAP_BIND_PASSWORD_FILE: {secret: "5678", key: "90"}}
settings:
  LDAP_USER_FILTER: '(&(objectClass=person)(|(uid={username})(cn=\2a"ü: #)))'
  LDAP_START_TLS: false
  LDAP_BIND_LANE_SERVICE_BIND: true
  LDAP_BIND_DN: "cn=service,dc=example,dc=org"
  LDAP_POOL_MAX_WAITERS: 1000000
  HTTP_MAX_CONNS: 1000000
  LDAP_TLS_MIN_VERSION: "1.3"
  LDAP_BASE_DN: 'ou=people\, and others,dc=example,dc=org;dc=example,dc=com'
  AUTH_BASIC_REALM: "123"
  AUTH_BASIC_CACHE_TTL: "0"`, check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "authsvc-1234", o.deployment.Name)
			assert.Equal(t, `(&(objectClass=person)(|(uid={username})(cn=\2a"ü: #)))`, o.config.Data["LDAP_USER_FILTER"])
			assert.Equal(t, "false", o.config.Data["LDAP_START_TLS"])
			assert.Equal(t, "true", o.config.Data["LDAP_BIND_LANE_SERVICE_BIND"])
			assert.Equal(t, "1000000", o.config.Data["LDAP_POOL_MAX_WAITERS"])
			assert.Equal(t, "1.3", o.config.Data["LDAP_TLS_MIN_VERSION"])
			assert.Equal(t, `ou=people\, and others,dc=example,dc=org;dc=example,dc=com`, o.config.Data["LDAP_BASE_DN"])
			assert.Equal(t, "123", o.config.Data["AUTH_BASIC_REALM"])
		}},
		{name: "a slow shutdown", values: "settings: {HTTP_SHUTDOWN_DELAY: 1m2.5s, HTTP_SHUTDOWN_TIMEOUT: 1h}", check: grace(63 + 3600 + 5)},
		{name: "a fast shutdown", values: "settings: {HTTP_SHUTDOWN_DELAY: 0s, HTTP_SHUTDOWN_TIMEOUT: 1500ms}", check: grace(2 + 5)},
		{name: "the shortest shutdown", values: "settings: {HTTP_SHUTDOWN_DELAY: '0', HTTP_SHUTDOWN_TIMEOUT: 1000000us}", check: grace(1 + 5)},
		{name: "several servers", values: "settings: {LDAP_URL: 'ldap://a.example.org, ldaps://b.example.org/,ldap://[2001:db8::1]:1389,ldaps://[2001:db8::2]'}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, []string{"TCP/389", "TCP/636", "TCP/1389"}, ports(o.policy.Spec.Egress[1].Ports))
		}},
		{name: "servers in the DNS", values: "settings: {LDAP_URL: 'ldap+srv://example.org', LDAP_START_TLS: 'true'}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, []string{"TCP/389"}, ports(o.policy.Spec.Egress[1].Ports))
		}},
		{name: "peers", values: `
files: {AUTH_THROTTLE_REDIS_URL_FILE: {secret: mine, key: redis-url}}
networkPolicy:
  callers: [{podSelector: {matchLabels: {login: "yes"}}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
  directory: {to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [1636]}
  redis: {to: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: In, values: [valkey]}]}}], ports: [6379, 26379]}
  dns: {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}], ports: [53, 5353]}
  extra: [{to: [{podSelector: {matchLabels: {app: collector}}}], ports: [4318]}]`, check: checkPeers},
		{name: "no network policy", values: "networkPolicy: {enabled: false}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Nil(t, o.policy)
		}},
		{name: "the shared throttle", values: "{existingSecret: mine, files: {AUTH_THROTTLE_REDIS_URL_FILE: {key: redis-url}, AUTH_THROTTLE_REDIS_CA_FILE: {key: redis-ca}}, settings: {AUTH_THROTTLE_REDIS_PREFIX: shop}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			require.Len(t, o.policy.Spec.Egress, 3)
			assert.Equal(t, []string{"TCP/6379"}, ports(o.policy.Spec.Egress[2].Ports))
			assert.Equal(t, "mine/redis-url", mounted(t, o)["AUTH_THROTTLE_REDIS_URL_FILE"])
		}},
		{name: "metrics", values: "{metrics: {enabled: true}, networkPolicy: {monitoring: " + scrapers + "}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, ":9090", o.config.Data["ADMIN_ADDR"])
			require.Len(t, o.policy.Spec.Ingress, 2)
			assert.Equal(t, []string{"TCP/9090"}, ports(o.policy.Spec.Ingress[1].Ports))
			assert.Equal(t, "monitoring", o.policy.Spec.Ingress[1].From[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
			require.NotNil(t, o.metricsService)
			assert.Nil(t, o.serviceMonitor)
		}},
		{name: "metrics without a network policy", values: "{metrics: {enabled: true}, networkPolicy: {enabled: false}}"},
		{name: "everything of the Prometheus operator", release: "login", values: `
metrics:
  enabled: true
  serviceMonitor: {enabled: true, interval: 30s, labels: {release: kube-prometheus-stack}}
  prometheusRule: {enabled: true, labels: {release: kube-prometheus-stack}}
  dashboard: {enabled: true}
networkPolicy: {monitoring: ` + scrapers + "}", check: checkMonitoring},
		{name: "a listener for forward authentication", values: "{forwardListener: {enabled: true, port: 80}, files: " + tls + "}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, ":8081", o.config.Data["HTTP_FORWARD_ADDR"])
			require.Len(t, o.service.Spec.Ports, 2)
			assert.EqualValues(t, 80, o.service.Spec.Ports[1].Port)
			assert.Equal(t, []string{"TCP/8080", "TCP/8081"}, ports(o.policy.Spec.Ingress[0].Ports))
		}},
		{name: "an Ingress", values: "ingress: {enabled: true, className: nginx, host: login.example.org, tlsSecret: login-tls, annotations: {a.example.org/b: c}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "nginx", *o.ingress.Spec.IngressClassName)
			assert.Equal(t, []networkingv1.IngressTLS{{Hosts: []string{"login.example.org"}, SecretName: "login-tls"}}, o.ingress.Spec.TLS)
			assert.Equal(t, "/auth", o.ingress.Spec.Rules[0].HTTP.Paths[0].Path)
			assert.Equal(t, networkingv1.PathTypeExact, *o.ingress.Spec.Rules[0].HTTP.Paths[0].PathType)
		}},
		{name: "an Ingress for every host of a domain, to HTTPS", values: "{ingress: {enabled: true, host: '*.example.org'}, files: " + tls + "}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "*.example.org", o.ingress.Spec.Rules[0].Host)
			assert.Nil(t, o.ingress.Spec.IngressClassName)
			assert.Empty(t, o.ingress.Spec.TLS)
		}},
		{name: "an HTTPRoute", values: "{service: {port: 80}, httpRoute: {enabled: true, parentRefs: [{name: gateway, namespace: ingress, sectionName: https}], hostnames: [login.example.org]}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.EqualValues(t, "gateway", o.route.Spec.ParentRefs[0].Name)
			assert.EqualValues(t, "login.example.org", o.route.Spec.Hostnames[0])
			assert.EqualValues(t, 80, *o.route.Spec.Rules[0].BackendRefs[0].Port)
			assert.Equal(t, "/auth", *o.route.Spec.Rules[0].Matches[0].Path.Value)
		}},
		{name: "a load balancer", values: "service: {type: LoadBalancer, port: 443, annotations: {a.example.org/b: 'true'}}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, corev1.ServiceExternalTrafficPolicyLocal, o.service.Spec.ExternalTrafficPolicy)
		}},
		{name: "the environment of other libraries", values: "extraEnv: [{name: GOGC, value: '15'}, {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: 'http://collector:4318'}, {name: OTEL_EXPORTER_OTLP_HEADERS, valueFrom: {secretKeyRef: {name: mine, key: otlp}}}]", check: func(t *testing.T, o *objects) {
			t.Helper()
			require.Len(t, container(o).Env, 3)
			assert.Equal(t, "mine", container(o).Env[2].ValueFrom.SecretKeyRef.Name)
		}},
		{name: "where pods run", values: `
nodeSelector: {disk: ssd}
tolerations: [{key: login, operator: Equal, value: "yes", effect: NoSchedule}, {operator: Exists, effect: NoExecute, tolerationSeconds: 60}]
priorityClassName: system-cluster-critical
podLabels: {team: identity}
podAnnotations: {a.example.org/b: "1"}
resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1.5, memory: 2Gi}}`, check: func(t *testing.T, o *objects) {
			t.Helper()
			pod := o.deployment.Spec.Template
			assert.Equal(t, "ssd", pod.Spec.NodeSelector["disk"])
			assert.Len(t, pod.Spec.Tolerations, 2)
			assert.Equal(t, "identity", pod.Labels["team"])
			assert.Equal(t, "1", pod.Annotations["a.example.org/b"])
			limits := container(o).Resources.Limits
			assert.Equal(t, "1500m", limits.Cpu().String())
		}},
		{name: "no limits", values: "resources: {limits: null}", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Empty(t, container(o).Resources.Limits)
		}},
		{name: "a release of another name", release: "login", check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, "login-authsvc", o.deployment.Name)
		}},
		{name: "a release with dots, as long as can be", release: strings.Repeat("shop.", 10) + "end", values: everything},
		{name: "a name of its own", release: "shop", values: "fullnameOverride: " + strings.Repeat("n", 53), check: func(t *testing.T, o *objects) {
			t.Helper()
			assert.Equal(t, strings.Repeat("n", 53), o.deployment.Name)
		}},
		{name: "everything", values: everything},
	}
}

const everyFile = `
existingSecret: mine
files:
  LDAP_CA_FILE: {configMap: directory-ca, key: ca.crt}
  LDAP_CERT_FILE: {secret: directory-client, key: tls.crt}
  LDAP_KEY_FILE: {secret: directory-client, key: tls.key}
  LDAP_BIND_PASSWORD_FILE: {key: ldap-bind-password}
  AUTH_API_KEYS_FILE: {key: api-keys}
  AUTH_THROTTLE_REDIS_URL_FILE: {key: redis-url}
  AUTH_THROTTLE_REDIS_CA_FILE: {configMap: redis-ca, key: ca.crt}
  AUTH_THROTTLE_REDIS_CERT_FILE: {secret: redis-client, key: tls.crt}
  AUTH_THROTTLE_REDIS_KEY_FILE: {secret: redis-client, key: tls.key}
  HTTP_TLS_CERT_FILE: {secret: authsvc-tls, key: tls.crt}
  HTTP_TLS_KEY_FILE: {secret: authsvc-tls, key: tls.key}
  HTTP_TLS_CLIENT_CA_FILE: {configMap: callers-ca, key: ca.crt}
  HTTP_TLS_CLIENT_DENY_FILE: {configMap: callers-ca, key: denied}
settings: {LDAP_BIND_DN: 'cn=service,dc=example,dc=org'}
`

const everything = everyFile + `
replicas: 3
forwardListener: {enabled: true}
ingress: {enabled: true, host: login.example.org}
httpRoute: {enabled: true, parentRefs: [{name: gateway}]}
metrics: {enabled: true, serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}, dashboard: {enabled: true}}
networkPolicy: {monitoring: ` + scrapers + `}
autoscaling: {enabled: true}
`

// conns is a check of LDAP_POOL_MAX_CONNS.
func conns(want string) func(t *testing.T, o *objects) {
	return func(t *testing.T, o *objects) {
		t.Helper()
		assert.Equal(t, want, o.config.Data["LDAP_POOL_MAX_CONNS"])
	}
}

// grace is a check of the seconds that a replica has to stop.
func grace(want int64) func(t *testing.T, o *objects) {
	return func(t *testing.T, o *objects) {
		t.Helper()
		assert.Equal(t, want, *o.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds)
	}
}

func checkRequired(t *testing.T, o *objects) {
	t.Helper()
	assert.Equal(t, "registry.example.org/authsvc:v1.2.3", container(o).Image)
	assert.EqualValues(t, 2, *o.deployment.Spec.Replicas)
	assert.Equal(t, map[string]string{
		"LDAP_URL": "ldaps://ldap.example.org", "LDAP_BASE_DN": "dc=example,dc=org",
		"HTTP_SHUTDOWN_DELAY": "5s", "HTTP_SHUTDOWN_TIMEOUT": "10s",
		"LDAP_POOL_MAX_CONNS": "32", "HTTP_ADDR": ":8080", "ADMIN_ADDR": "127.0.0.1:9090",
	}, o.config.Data)
	grace(20)(t, o)
	assert.Empty(t, o.deployment.Spec.Template.Spec.Volumes)
	assert.Len(t, o.all, 6, "Deployment, ConfigMap, ServiceAccount, Service, PodDisruptionBudget, NetworkPolicy")
	assert.Empty(t, o.policy.Spec.Ingress[0].From)
	require.Len(t, o.policy.Spec.Egress, 2)
	assert.Equal(t, []string{"UDP/53", "TCP/53"}, ports(o.policy.Spec.Egress[0].Ports))
	assert.Equal(t, []string{"TCP/636"}, ports(o.policy.Spec.Egress[1].Ports))
	assert.Len(t, o.deployment.Spec.Template.Spec.TopologySpreadConstraints, 2)
	assert.Equal(t, 1, o.budget.Spec.MaxUnavailable.IntValue())
}

func checkPeers(t *testing.T, o *objects) {
	t.Helper()
	assert.Len(t, o.policy.Spec.Ingress[0].From, 2)
	egress := o.policy.Spec.Egress
	require.Len(t, egress, 4)
	assert.Equal(t, []string{"UDP/53", "TCP/53", "UDP/5353", "TCP/5353"}, ports(egress[0].Ports))
	assert.Equal(t, []string{"TCP/1636"}, ports(egress[1].Ports))
	assert.Equal(t, "192.0.2.0/24", egress[1].To[0].IPBlock.CIDR)
	assert.Equal(t, []string{"TCP/6379", "TCP/26379"}, ports(egress[2].Ports))
	assert.NotNil(t, egress[2].To[0].NamespaceSelector)
	assert.Equal(t, []string{"valkey"}, egress[2].To[0].PodSelector.MatchExpressions[0].Values)
	assert.Equal(t, []string{"TCP/4318"}, ports(egress[3].Ports))
}

func checkMonitoring(t *testing.T, o *objects) {
	t.Helper()
	monitor := o.serviceMonitor
	assert.Equal(t, "kube-prometheus-stack", monitor.Labels["release"])
	assert.Equal(t, "authsvc", o.metricsService.Labels[monitor.Spec.JobLabel], "the job of the rules, whatever the release's name")
	assert.EqualValues(t, "30s", monitor.Spec.Endpoints[0].Interval)

	rules, err := os.ReadFile(root + "/deploy/prometheus/rules.yml")
	require.NoError(t, err)
	assert.Equal(t, *strict[monitoringv1.PrometheusRuleSpec](t, rules), o.prometheusRules.Spec)
	assert.Greater(t, len(o.prometheusRules.Spec.Groups[0].Rules), 2)

	dashboard, err := os.ReadFile(root + "/deploy/grafana/authsvc.json")
	require.NoError(t, err)
	assert.JSONEq(t, string(dashboard), o.dashboard.Data["authsvc.json"])
	assert.Equal(t, "1", o.dashboard.Labels["grafana_dashboard"])
}

// container is the only one of the pods.
func container(o *objects) corev1.Container { return o.deployment.Spec.Template.Spec.Containers[0] }

// ports are those of a rule, as PROTOCOL/PORT.
func ports(all []networkingv1.NetworkPolicyPort) (texts []string) {
	for _, p := range all {
		texts = append(texts, string(*p.Protocol)+"/"+p.Port.String())
	}
	return texts
}

// mounted maps each variable that names a file to the Secret or ConfigMap and the key with its
// content.
func mounted(t *testing.T, o *objects) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for _, volume := range o.deployment.Spec.Template.Spec.Volumes {
		require.NotNil(t, volume.Projected)
		for _, s := range volume.Projected.Sources {
			switch {
			case s.Secret != nil:
				sources["/etc/authsvc/"+s.Secret.Items[0].Path] = s.Secret.Name + "/" + s.Secret.Items[0].Key
			case s.ConfigMap != nil:
				sources["/etc/authsvc/"+s.ConfigMap.Items[0].Path] = "configMap " + s.ConfigMap.Name + "/" + s.ConfigMap.Items[0].Key
			}
		}
	}
	files := map[string]string{}
	for name, value := range o.config.Data {
		if strings.HasSuffix(name, "_FILE") {
			require.Contains(t, sources, value, "no volume has the file of %s", name)
			files[name] = sources[value]
		}
	}
	require.Len(t, files, len(sources), "a file without a variable")
	return files
}

// TestVariant_HoldsWhatIsPromised renders every variant, decodes each object strictly, and checks
// what must hold for all and for this one.
func TestVariant_HoldsWhatIsPromised(t *testing.T) {
	t.Parallel()
	count := 0
	for _, v := range variants() {
		release := v.release
		if release == "" {
			release = releaseName
		}
		files, err := render(t, release, required(t, v.values))
		require.NoError(t, err, v.name)
		o := decode(t, template(t, files))
		count += len(o.all)
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			checkInvariants(t, release, o)
			if v.check != nil {
				v.check(t, o)
			}
		})
	}
	t.Logf("%d variants, %d objects", len(variants()), count)
}

// TestVariant_ChangedSettingsReplacePods, and nothing else does.
func TestVariant_ChangedSettingsReplacePods(t *testing.T) {
	t.Parallel()
	checksum := func(values string) string {
		files, err := render(t, releaseName, required(t, values))
		require.NoError(t, err)
		return decode(t, template(t, files)).deployment.Spec.Template.Annotations["checksum/config"]
	}
	base := checksum("")
	assert.Len(t, base, 64)
	for _, same := range []string{"podLabels: {a: b}", "networkPolicy: {enabled: false}", "service: {port: 80}"} {
		assert.Equal(t, base, checksum(same), same)
	}
	seen := []string{base}
	for _, other := range []string{"settings: {AUTH_TIMEOUT: 9s}", "directory: {maxConnections: 64}", "replicas: 3", "files: {LDAP_CA_FILE: {configMap: ca, key: a}}"} {
		sum := checksum(other)
		assert.False(t, slices.Contains(seen, sum), other)
		seen = append(seen, sum)
	}
}

// TestVariant_ManifestHoldsWhatIsPromised: the committed one too.
func TestVariant_ManifestHoldsWhatIsPromised(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	o := decode(t, string(text))
	checkInvariants(t, releaseName, o)
	var values map[string]any
	example, err := os.ReadFile(exampleFile)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(example, &values))
	assert.Equal(t, "authsvc/ldap-bind-password", mounted(t, o)["LDAP_BIND_PASSWORD_FILE"])
}
