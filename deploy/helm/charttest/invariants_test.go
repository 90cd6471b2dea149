package charttest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	psaapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// checkInvariants checks what holds whatever the values are.
func checkInvariants(t *testing.T, release string, o *objects) {
	t.Helper()
	checkNames(t, release, o)
	checkPodSecurity(t, o)
	checkProbes(t, o)
	checkStopping(t, o)
	checkPorts(t, o)
	checkSelectors(t, o)
	checkFiles(t, o)
	checkPolicy(t, o)
}

// checkNames: the API server accepts each object's name and labels, and no two objects of a kind
// have the same name.
func checkNames(t *testing.T, release string, o *objects) {
	t.Helper()
	for _, object := range o.all {
		assert.Empty(t, validation.IsDNS1035Label(object.GetName()), object.GetName())
		assert.Empty(t, object.GetNamespace(), "the release's namespace")
		all := object.GetLabels()
		assert.Equal(t, "authsvc", all["app.kubernetes.io/name"])
		assert.Equal(t, release, all["app.kubernetes.io/instance"])
		assert.Equal(t, "Helm", all["app.kubernetes.io/managed-by"])
		checkLabels(t, all)
	}
	checkLabels(t, o.deployment.Spec.Template.Labels)
	for _, p := range container(o).Ports {
		assert.Empty(t, validation.IsValidPortName(p.Name))
	}
	assert.False(t, strings.HasSuffix(container(o).Image, ":latest"))
}

func checkLabels(t *testing.T, all map[string]string) {
	t.Helper()
	for key, value := range all {
		assert.Empty(t, validation.IsQualifiedName(key), key)
		assert.Empty(t, validation.IsValidLabelValue(value), value)
	}
}

// checkPodSecurity: the profile "restricted" admits the pods, as Kubernetes itself evaluates it.
// They have no token of the API.
func checkPodSecurity(t *testing.T, o *objects) {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	pod := o.deployment.Spec.Template
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	assert.True(t, result.Allowed, result.ForbiddenDetail())

	assert.False(t, *pod.Spec.AutomountServiceAccountToken)
	assert.False(t, *o.account.AutomountServiceAccountToken)
	assert.Equal(t, o.account.Name, pod.Spec.ServiceAccountName)
	assert.True(t, *pod.Spec.SecurityContext.RunAsNonRoot)
	assert.EqualValues(t, 65532, *pod.Spec.SecurityContext.RunAsUser, "the image's user")
	require.Len(t, pod.Spec.Containers, 1)
	assert.Empty(t, pod.Spec.InitContainers)
	c := container(o).SecurityContext
	require.NotNil(t, c.ReadOnlyRootFilesystem)
	assert.True(t, *c.ReadOnlyRootFilesystem)
	assert.False(t, *c.AllowPrivilegeEscalation)
	assert.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
	assert.Empty(t, c.Capabilities.Add)
}

// checkProbes: liveness and readiness ask the main listener. An absent directory restarts no pod.
func checkProbes(t *testing.T, o *objects) {
	t.Helper()
	c := container(o)
	assert.Nil(t, c.StartupProbe)
	for path, probe := range map[string]*corev1.Probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		require.NotNil(t, probe)
		assert.Equal(t, path, probe.HTTPGet.Path)
		assert.EqualValues(t, 8080, containerPort(t, o, probe.HTTPGet.Port))
		assert.Equal(t, corev1.URIScheme(strings.ToUpper(probe.HTTPGet.Port.StrVal)), probe.HTTPGet.Scheme)
	}
	assert.Nil(t, c.Lifecycle, "there is no shell for a hook, and HTTP_SHUTDOWN_DELAY needs none")
}

// checkStopping: no update has fewer replicas than wanted, each replica has the time that it asks
// for, and one drains at a time, so that directory.maxConnections holds.
func checkStopping(t *testing.T, o *objects) {
	t.Helper()
	rolling := o.deployment.Spec.Strategy.RollingUpdate
	assert.Equal(t, intstr.FromInt32(0), *rolling.MaxUnavailable)
	assert.Equal(t, intstr.FromInt32(1), *rolling.MaxSurge)
	delay, err := time.ParseDuration(o.config.Data["HTTP_SHUTDOWN_DELAY"])
	require.NoError(t, err)
	timeout, err := time.ParseDuration(o.config.Data["HTTP_SHUTDOWN_TIMEOUT"])
	require.NoError(t, err)
	grace := time.Duration(*o.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	assert.GreaterOrEqual(t, grace, delay+timeout+5*time.Second)
	assert.LessOrEqual(t, grace, delay+timeout+7*time.Second)
	assert.EqualValues(t, *o.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds, o.deployment.Spec.MinReadySeconds)
	assert.Greater(t, *o.deployment.Spec.ProgressDeadlineSeconds, o.deployment.Spec.MinReadySeconds, "the API server requires it")
	if o.budget != nil {
		assert.Equal(t, intstr.FromInt32(1), *o.budget.Spec.MaxUnavailable)
	}
	if o.autoscaler != nil {
		assert.Equal(t, o.deployment.Name, o.autoscaler.Spec.ScaleTargetRef.Name)
		assert.LessOrEqual(t, *o.autoscaler.Spec.MinReplicas, o.autoscaler.Spec.MaxReplicas)
		scaleDown := o.autoscaler.Spec.Behavior.ScaleDown.Policies[0]
		assert.EqualValues(t, 1, scaleDown.Value)
		assert.GreaterOrEqual(t, scaleDown.PeriodSeconds, min(1800, int32(grace/time.Second)))
		assert.LessOrEqual(t, scaleDown.PeriodSeconds, int32(1800), "the API server's limit")
	}
}

// containerPort finds a port of the container by name or number.
func containerPort(t *testing.T, o *objects, port intstr.IntOrString) int32 {
	t.Helper()
	for _, p := range container(o).Ports {
		if p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal {
			return p.ContainerPort
		}
	}
	require.Fail(t, "the container has no port "+port.String())
	return 0
}

// checkPorts: whatever leads to a port leads to one on which the service listens.
func checkPorts(t *testing.T, o *objects) {
	t.Helper()
	listens := map[int32]bool{}
	for _, name := range []string{"HTTP_ADDR", "HTTP_FORWARD_ADDR"} {
		if addr := o.config.Data[name]; addr != "" {
			port := intstr.Parse(strings.TrimPrefix(addr, ":"))
			listens[port.IntVal] = true
		}
	}
	if o.metricsService == nil {
		assert.Equal(t, "127.0.0.1:9090", o.config.Data["ADMIN_ADDR"], "otherwise every pod could reach it")
	} else {
		assert.Equal(t, ":9090", o.config.Data["ADMIN_ADDR"])
		listens[9090] = true
		require.Len(t, o.metricsService.Spec.Ports, 1)
		assert.EqualValues(t, 9090, containerPort(t, o, o.metricsService.Spec.Ports[0].TargetPort))
	}
	require.Len(t, container(o).Ports, len(listens))
	for _, p := range container(o).Ports {
		assert.True(t, listens[p.ContainerPort], "%d", p.ContainerPort)
	}
	names := map[string]bool{}
	for _, p := range o.service.Spec.Ports {
		names[p.Name] = true
		assert.NotEqualValues(t, 9090, containerPort(t, o, p.TargetPort), "callers must not reach the admin listener")
	}
	assert.Len(t, names, len(o.service.Spec.Ports))
	if o.ingress != nil {
		backend := o.ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
		assert.Equal(t, o.service.Name, backend.Name)
		assert.Equal(t, o.service.Spec.Ports[0].Name, backend.Port.Name)
	}
	if o.route != nil {
		backend := o.route.Spec.Rules[0].BackendRefs[0]
		assert.EqualValues(t, o.service.Name, backend.Name)
		assert.Equal(t, o.service.Spec.Ports[0].Port, *backend.Port)
	}
}

// checkSelectors: each selector matches the pods, and the ServiceMonitor's the metrics alone.
func checkSelectors(t *testing.T, o *objects) {
	t.Helper()
	pod := labels.Set(o.deployment.Spec.Template.Labels)
	matches := func(selector *metav1.LabelSelector) {
		t.Helper()
		s, err := metav1.LabelSelectorAsSelector(selector)
		require.NoError(t, err)
		assert.True(t, s.Matches(pod), "%s", s)
		assert.Equal(t, o.deployment.Spec.Selector.MatchLabels, selector.MatchLabels)
	}
	matches(o.deployment.Spec.Selector)
	assert.Len(t, o.deployment.Spec.Selector.MatchLabels, 2, "it is immutable: only what never changes")
	matches(&metav1.LabelSelector{MatchLabels: o.service.Spec.Selector})
	for _, spread := range o.deployment.Spec.Template.Spec.TopologySpreadConstraints {
		matches(spread.LabelSelector)
		assert.Equal(t, corev1.ScheduleAnyway, spread.WhenUnsatisfiable)
	}
	if o.budget != nil {
		matches(o.budget.Spec.Selector)
	}
	if o.policy != nil {
		matches(&o.policy.Spec.PodSelector)
	}
	if o.metricsService != nil {
		matches(&metav1.LabelSelector{MatchLabels: o.metricsService.Spec.Selector})
	}
	if o.serviceMonitor != nil {
		s, err := metav1.LabelSelectorAsSelector(&o.serviceMonitor.Spec.Selector)
		require.NoError(t, err)
		assert.True(t, s.Matches(labels.Set(o.metricsService.Labels)))
		assert.False(t, s.Matches(labels.Set(o.service.Labels)))
		assert.Equal(t, o.metricsService.Spec.Ports[0].Name, o.serviceMonitor.Spec.Endpoints[0].Port)
	}
}

// secretValue finds variables whose value would be a secret.
var secretValue = regexp.MustCompile(`^(LDAP_BIND_PASSWORD|AUTH_THROTTLE_REDIS_URL)$`)

// checkFiles: no secret is in the environment; each file is mounted so that the service can read it
// and nobody can change it.
func checkFiles(t *testing.T, o *objects) {
	t.Helper()
	for name := range o.config.Data {
		assert.NotRegexp(t, secretValue, name)
	}
	pod := o.deployment.Spec.Template.Spec
	assert.False(t, *pod.EnableServiceLinks)
	require.Len(t, container(o).EnvFrom, 1)
	assert.Equal(t, o.config.Name, container(o).EnvFrom[0].ConfigMapRef.Name)
	for _, mount := range container(o).VolumeMounts {
		assert.True(t, mount.ReadOnly)
		assert.Empty(t, mount.SubPath, "a file below subPath never changes")
	}
	assert.Len(t, container(o).VolumeMounts, len(pod.Volumes))
	for _, volume := range pod.Volumes {
		assert.EqualValues(t, 0o440, *volume.Projected.DefaultMode)
		assert.NotZero(t, *pod.SecurityContext.FSGroup, "the group that may read")
	}
	mounted(t, o)
}

// checkPolicy: what the service needs is permitted, and the admin listener is not open to all.
func checkPolicy(t *testing.T, o *objects) {
	t.Helper()
	if o.policy == nil {
		return
	}
	assert.Len(t, o.policy.Spec.PolicyTypes, 2)
	permitted := map[string]bool{}
	for _, rule := range o.policy.Spec.Ingress {
		require.NotEmpty(t, rule.Ports, "a rule without ports permits all of them")
		for _, p := range ports(rule.Ports) {
			permitted[p] = true
			assert.False(t, p == "TCP/9090" && len(rule.From) == 0)
		}
	}
	for _, p := range container(o).Ports {
		assert.True(t, permitted[fmt.Sprintf("TCP/%d", p.ContainerPort)])
	}
	assert.Len(t, permitted, len(container(o).Ports))
	for _, rule := range o.policy.Spec.Egress {
		assert.NotEmpty(t, rule.Ports, "a rule without ports permits all of them")
	}
}
