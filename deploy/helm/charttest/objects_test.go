package charttest

import (
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// objects are what the chart renders, decoded into the types of its APIs.
type objects struct {
	deployment      *appsv1.Deployment
	config          *corev1.ConfigMap
	dashboard       *corev1.ConfigMap
	account         *corev1.ServiceAccount
	service         *corev1.Service
	metricsService  *corev1.Service
	budget          *policyv1.PodDisruptionBudget
	policy          *networkingv1.NetworkPolicy
	ingress         *networkingv1.Ingress
	route           *gatewayv1.HTTPRoute
	autoscaler      *autoscalingv2.HorizontalPodAutoscaler
	serviceMonitor  *monitoringv1.ServiceMonitor
	prometheusRules *monitoringv1.PrometheusRule

	all []metav1.Object
}

// strict decodes a document. Unknown and repeated keys are errors.
func strict[T any](t *testing.T, document []byte) *T {
	t.Helper()
	object := new(T)
	require.NoError(t, yaml.UnmarshalStrict(document, object), "%s", document)
	return object
}

// decode decodes everything in what helm template prints. Each kind occurs once, unless it is
// named above. A kind that is not here, such as Secret, is an error.
func decode(t *testing.T, text string) *objects {
	t.Helper()
	o := &objects{}
	for _, document := range documents(t, text) {
		var head metav1.PartialObjectMetadata
		require.NoError(t, yaml.Unmarshal(document, &head))
		o.add(t, head.APIVersion+" "+head.Kind, head.Name, document)
	}
	return o
}

func (o *objects) add(t *testing.T, kind, name string, document []byte) {
	t.Helper()
	switch kind {
	case "apps/v1 Deployment":
		set(t, o, &o.deployment, document)
	case "v1 ConfigMap":
		at := &o.config
		if strings.HasSuffix(name, "-dashboard") {
			at = &o.dashboard
		}
		set(t, o, at, document)
	case "v1 ServiceAccount":
		set(t, o, &o.account, document)
	case "v1 Service":
		at := &o.service
		if strings.HasSuffix(name, "-metrics") {
			at = &o.metricsService
		}
		set(t, o, at, document)
	case "policy/v1 PodDisruptionBudget":
		set(t, o, &o.budget, document)
	case "networking.k8s.io/v1 NetworkPolicy":
		set(t, o, &o.policy, document)
	case "networking.k8s.io/v1 Ingress":
		set(t, o, &o.ingress, document)
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		set(t, o, &o.route, document)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		set(t, o, &o.autoscaler, document)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		set(t, o, &o.serviceMonitor, document)
	case "monitoring.coreos.com/v1 PrometheusRule":
		set(t, o, &o.prometheusRules, document)
	default:
		require.Fail(t, "the chart rendered "+kind, "%s", document)
	}
}

// set decodes a document to its place, which must be free.
func set[T any, P interface {
	*T
	metav1.Object
}](t *testing.T, o *objects, at *P, document []byte) {
	t.Helper()
	require.Nil(t, *at, "a second one:\n%s", document)
	*at = strict[T](t, document)
	o.all = append(o.all, *at)
}
