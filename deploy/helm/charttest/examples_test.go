package charttest

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// The shapes of Traefik's and Envoy Gateway's objects, as far as the examples use them. Their own
// types would bring both programs. Unknown keys are errors here too.
type (
	// middleware is Middleware of traefik.io/v1alpha1.
	middleware struct {
		metav1.PartialObjectMetadata `json:",inline"`
		Spec                         struct {
			Headers     *customHeaders `json:"headers"`
			ForwardAuth *forwardAuth   `json:"forwardAuth"`
			IPAllowList *allowList     `json:"ipAllowList"`
		} `json:"spec"`
	}
	allowList struct {
		SourceRange      []string `json:"sourceRange"`
		RejectStatusCode int      `json:"rejectStatusCode"`
	}
	customHeaders struct {
		CustomRequestHeaders map[string]string `json:"customRequestHeaders"`
	}
	forwardAuth struct {
		Address             string   `json:"address"`
		TrustForwardHeader  bool     `json:"trustForwardHeader"`
		AuthRequestHeaders  []string `json:"authRequestHeaders"`
		AuthResponseHeaders []string `json:"authResponseHeaders"`
	}

	// ingressRoute is IngressRoute of traefik.io/v1alpha1.
	ingressRoute struct {
		metav1.PartialObjectMetadata `json:",inline"`
		Spec                         struct {
			EntryPoints []string `json:"entryPoints"`
			Routes      []struct {
				Kind        string `json:"kind"`
				Match       string `json:"match"`
				Priority    int    `json:"priority"`
				Middlewares []struct {
					Name string `json:"name"`
				} `json:"middlewares"`
				Services []struct {
					Name string `json:"name"`
					Port int    `json:"port"`
				} `json:"services"`
			} `json:"routes"`
			TLS struct {
				SecretName string `json:"secretName"`
			} `json:"tls"`
		} `json:"spec"`
	}

	target struct {
		Group string `json:"group"`
		Kind  string `json:"kind"`
		Name  string `json:"name"`
	}

	// securityPolicy is SecurityPolicy of gateway.envoyproxy.io/v1alpha1.
	securityPolicy struct {
		metav1.PartialObjectMetadata `json:",inline"`
		Spec                         struct {
			TargetRefs []target `json:"targetRefs"`
			ExtAuth    struct {
				FailOpen         bool               `json:"failOpen"`
				StatusOnError    int                `json:"statusOnError"`
				Timeout          gatewayv1.Duration `json:"timeout"`
				HeadersToExtAuth []string           `json:"headersToExtAuth"`
				HTTP             struct {
					BackendRefs []struct {
						Name      string `json:"name"`
						Namespace string `json:"namespace"`
						Port      int32  `json:"port"`
					} `json:"backendRefs"`
					Path             string   `json:"path"`
					HeadersToBackend []string `json:"headersToBackend"`
				} `json:"http"`
			} `json:"extAuth"`
		} `json:"spec"`
	}

	// clientTrafficPolicy is ClientTrafficPolicy of gateway.envoyproxy.io/v1alpha1.
	clientTrafficPolicy struct {
		metav1.PartialObjectMetadata `json:",inline"`
		Spec                         struct {
			TargetRefs []target `json:"targetRefs"`
			Headers    struct {
				WithUnderscoresAction string `json:"withUnderscoresAction"`
				EarlyRequestHeaders   struct {
					Remove []string `json:"remove"`
				} `json:"earlyRequestHeaders"`
			} `json:"headers"`
			Path struct {
				EscapedSlashesAction string `json:"escapedSlashesAction"`
			} `json:"path"`
		} `json:"spec"`
	}
)

// example reads the documents of a file in deploy/kubernetes.
func example(t *testing.T, name string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(root + "/deploy/kubernetes/" + name)
	require.NoError(t, err)
	return documents(t, string(text))
}

// installed is the Service in deploy/kubernetes/authsvc.yaml.
func installed(t *testing.T) (name string, port int32) {
	t.Helper()
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	o := decode(t, string(text))
	return o.service.Name, o.service.Spec.Ports[0].Port
}

// TestExamples_TraefikDoesWhatItsRecipeDoes, with the Service in place of an address.
func TestExamples_TraefikDoesWhatItsRecipeDoes(t *testing.T) {
	t.Parallel()
	all := example(t, "traefik.yaml")
	require.Len(t, all, 5)
	own, ask, noPassword, refused := strict[middleware](t, all[0]), strict[middleware](t, all[1]), strict[middleware](t, all[2]), strict[middleware](t, all[3])

	var recipe struct {
		HTTP struct {
			Routers map[string]struct {
				Rule     string `json:"rule"`
				Priority int    `json:"priority"`
			} `json:"routers"`
			Middlewares map[string]struct {
				Headers     *customHeaders `json:"headers"`
				ForwardAuth *forwardAuth   `json:"forwardAuth"`
				IPAllowList *allowList     `json:"ipAllowList"`
			} `json:"middlewares"`
		} `json:"http"`
	}
	text, err := os.ReadFile(root + "/deploy/traefik/authsvc.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &recipe))
	wanted := recipe.HTTP.Middlewares
	require.NotEmpty(t, wanted["own-headers"].Headers.CustomRequestHeaders)
	assert.Equal(t, wanted["own-headers"].Headers, own.Spec.Headers)
	assert.Equal(t, wanted["no-password"].Headers, noPassword.Spec.Headers)
	name, port := installed(t)
	require.EqualValues(t, 8080, port)
	wanted["authsvc"].ForwardAuth.Address = "http://" + name + "." + namespace + ".svc:8080/auth/basic"
	assert.Equal(t, wanted["authsvc"].ForwardAuth, ask.Spec.ForwardAuth)

	require.NotNil(t, refused.Spec.IPAllowList)
	assert.Equal(t, wanted["refused"].IPAllowList, refused.Spec.IPAllowList)

	routes := strict[ingressRoute](t, all[4]).Spec.Routes
	require.Len(t, routes, 2)
	var names []string
	for _, m := range routes[0].Middlewares {
		names = append(names, m.Name)
	}
	assert.Equal(t, []string{own.Name, ask.Name, noPassword.Name}, names, "a client's headers go first, the password last")
	unclear := recipe.HTTP.Routers["unclear"]
	assert.Equal(t, routes[0].Match+" && ("+unclear.Rule+")", routes[1].Match)
	assert.Equal(t, unclear.Priority, routes[1].Priority)
	assert.Equal(t, refused.Name, routes[1].Middlewares[0].Name)
}

// TestExamples_EnvoyGatewayAsksTheInstalledService, and fails closed.
func TestExamples_EnvoyGatewayAsksTheInstalledService(t *testing.T) {
	t.Parallel()
	all := example(t, "envoy-gateway.yaml")
	require.Len(t, all, 4)
	policy := strict[securityPolicy](t, all[0])
	grant := strict[gatewayv1beta1.ReferenceGrant](t, all[1])
	traffic := strict[clientTrafficPolicy](t, all[2])
	route := strict[gatewayv1.HTTPRoute](t, all[3])

	name, port := installed(t)
	ask := policy.Spec.ExtAuth
	require.Len(t, ask.HTTP.BackendRefs, 1)
	assert.Equal(t, name, ask.HTTP.BackendRefs[0].Name)
	assert.Equal(t, namespace, ask.HTTP.BackendRefs[0].Namespace)
	assert.Equal(t, port, ask.HTTP.BackendRefs[0].Port)
	assert.False(t, ask.FailOpen)
	assert.Equal(t, "/auth/basic", ask.HTTP.Path)

	assert.Equal(t, namespace, grant.Namespace)
	assert.EqualValues(t, policy.Kind, grant.Spec.From[0].Kind)
	assert.EqualValues(t, policy.Namespace, grant.Spec.From[0].Namespace)
	assert.EqualValues(t, name, *grant.Spec.To[0].Name)
	assert.Equal(t, []target{{"gateway.networking.k8s.io", "HTTPRoute", route.Name}}, policy.Spec.TargetRefs)
	assert.Equal(t, []target{{"gateway.networking.k8s.io", "Gateway", string(route.Spec.ParentRefs[0].Name)}}, traffic.Spec.TargetRefs)
	assert.Equal(t, policy.Namespace, traffic.Namespace)

	assert.Equal(t, removedByEnvoy(t), traffic.Spec.Headers.EarlyRequestHeaders.Remove)
	assert.Equal(t, "DropHeader", traffic.Spec.Headers.WithUnderscoresAction)
	assert.Equal(t, "RejectRequest", traffic.Spec.Path.EscapedSlashesAction)
	assert.Equal(t, []string{"Authorization"}, route.Spec.Rules[0].Filters[0].RequestHeaderModifier.Remove)
}

// removedByEnvoy are the headers that the recipe for Envoy removes.
func removedByEnvoy(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(root + "/deploy/envoy/envoy.yaml")
	require.NoError(t, err)
	var recipe any
	require.NoError(t, yaml.Unmarshal(text, &recipe))
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if mutations, ok := n["request_mutations"].([]any); ok {
				for _, m := range mutations {
					names = append(names, m.(map[string]any)["remove"].(string)) //nolint:forcetypeassert // it is the recipe
				}
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(recipe)
	require.NotEmpty(t, names)
	return names
}
