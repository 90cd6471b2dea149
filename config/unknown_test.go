package config_test

import (
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
)

func TestUnknown_MisspellingNamesTheLikelyVariable(t *testing.T) {
	t.Parallel()
	for given, meant := range map[string]string{
		"LDAP_URI":                       "LDAP_URL",
		"LDAP_URLS":                      "LDAP_URL",
		"LDAP_STARTTLS":                  "LDAP_START_TLS",
		"LDAP_START_TSL":                 "LDAP_START_TLS",
		"LDAP_BASE_DNS":                  "LDAP_BASE_DN",
		"LDAP_BASEDN":                    "LDAP_BASE_DN",
		"LDAP_BINDDN":                    "LDAP_BIND_DN",
		"LDAP_BIND_PASSWROD":             "LDAP_BIND_PASSWORD",
		"LDAP_BIND_PASS":                 "LDAP_BIND_PASSWORD",
		"LDAP_BIND_PASSWORDFILE":         "LDAP_BIND_PASSWORD_FILE",
		"LDAP_BIND_PASSWORD_FIEL":        "LDAP_BIND_PASSWORD_FILE",
		"LDAP_TLS_CA_FILE":               "LDAP_CA_FILE",
		"LDAP_TLS_SKIP_VERIFY":           "LDAP_TLS_INSECURE_SKIP_VERIFY",
		"LDAP_TLS_MIN_VERSIONS":          "LDAP_TLS_MIN_VERSION",
		"LDAP_USERS_FILTER":              "LDAP_USER_FILTER",
		"LDAP_USER_SEARCH_FILTER":        "LDAP_USER_FILTER",
		"LDAP_USER_BASE_DN":              "LDAP_BASE_DN",
		"LDAP_USER_DN":                   "LDAP_USER_DN_TEMPLATE",
		"LDAP_ATTRIBUTE":                 "LDAP_ATTRIBUTES",
		"LDAP_DIAL_TIMOUT":               "LDAP_DIAL_TIMEOUT",
		"LDAP_POOL_MAX_CONN":             "LDAP_POOL_MAX_CONNS",
		"LDAP_POOL_MAX_CONNECTIONS":      "LDAP_POOL_MAX_CONNS",
		"LDAP_POOL_MAX_IDLE_CONNS":       "LDAP_POOL_MAX_CONNS",
		"LDAP_REQEST_TIMOUT":             "LDAP_REQUEST_TIMEOUT",
		"LDAP_POOL_MAXLIFETIME":          "LDAP_POOL_MAX_LIFETIME",
		"LDAP_MAX_WAITERS":               "LDAP_POOL_MAX_WAITERS",
		"LDAP_POOL_HEALTHCHECK_INTERVAL": "LDAP_POOL_HEALTH_CHECK_INTERVAL",
		"AUTH_TIMOUT":                    "AUTH_TIMEOUT",
		"AUTH_TIME_OUT":                  "AUTH_TIMEOUT",
		"AUTH_ALWAYS200":                 "AUTH_ALWAYS_200",
		"AUTH_THROTTLE_FAILURE":          "AUTH_THROTTLE_FAILURES",
		"AUTH_THROTTLE_WINDOWS":          "AUTH_THROTTLE_WINDOW",
		"AUTH_FAILURE_DETAILS":           "AUTH_FAILURE_DETAIL",
		"HTTP_ADDRESS":                   "HTTP_ADDR",
		"HTTP_ADRR":                      "HTTP_ADDR",
		"HTTP_TRUST_PROXIES":             "HTTP_TRUSTED_PROXIES",
		"HTTP_TRUSTED_PROXY":             "HTTP_TRUSTED_PROXIES",
		"LDAP_BIND_PASSWD":               "LDAP_BIND_PASSWORD",
		"HTTP_SHUTDOWN_TIMEOUTS":         "HTTP_SHUTDOWN_TIMEOUT",
		"HTTP_SHUTDOWN_DELAI":            "HTTP_SHUTDOWN_DELAY",
		"ADMIN_ADDRESS":                  "ADMIN_ADDR",
		"ADMIN_ADR":                      "ADMIN_ADDR",
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			text := problem(t, given, minimal(given+"="+password))
			assert.Equal(t, given+": unknown variable; did you mean "+meant+"?", text)
			assert.NotContains(t, text, password)
		})
	}
}

// neighbours are variables of others that begin like ours.
func neighbours() []string {
	return []string{
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HTTP_PROXY_USER", "HTTP_PROXY_SHUTDOWN_TIMEOUT", "HTTP_PROXY_PASSWORD", "HTTP_PORT", "HTTP_HOST", "HTTP_USER_AGENT",
		"LDAP_PORT", "LDAP_NAME", "LDAP_HOST", "LDAP_SERVER", "LDAP_DOMAIN", "LDAP_ORGANISATION", "LDAP_ORGANIZATION", "LDAP_ROOT",
		"LDAP_ADMIN_PASSWORD", "LDAP_ADMIN_PASSWORD_FILE", "LDAP_ADMIN_USERNAME", "LDAP_ADMIN_DN", "LDAP_CONFIG_PASSWORD", "LDAP_USERS",
		"LDAP_PASSWORDS", "LDAP_READONLY_USER", "LDAP_READONLY_USER_PASSWORD", "LDAP_TLS", "LDAP_TLS_CRT_FILENAME", "LDAP_LOG_LEVEL",
		"LDAP_PORT_NUMBER", "LDAP_LDAPS_PORT_NUMBER", "LDAP_ENABLE_TLS", "LDAP_TLS_VERIFY_CLIENT", "LDAP_SEED_INTERNAL_LDIF_PATH",
		"AUTH_SERVER_URL", "AUTH_URL", "AUTH_TOKEN", "AUTH_SECRET", "AUTH_SERVICE_PORT", "AUTH_DOMAIN", "AUTH_METHOD", "AUTH_ENABLED",
		"ADMIN_PASSWORD", "ADMIN_USER", "ADMIN_EMAIL", "ADMIN_PORT", "ADMIN_TOKEN", "ADMIN_URL", "LDAPS_URL", "LDAPURL", "XLDAP_URL", "ldap_url",
		"LDAP_BASE_DC",      // short words are alike too easily
		"LDAP_POL_MAC_CONS", // and three slips make another name
	}
}

// serviceLinks are what Kubernetes sets in every container for a service of that name.
func serviceLinks(service string) []string {
	name := strings.ToUpper(strings.ReplaceAll(service, "-", "_"))
	links := []string{name + "_SERVICE_HOST", name + "_SERVICE_PORT", name + "_PORT"}
	for _, port := range []string{"LDAP", "LDAPS", "HTTP", "HTTPS", "ADMIN", "METRICS", "AUTH"} {
		links = append(links, name+"_SERVICE_PORT_"+port)
	}
	for _, port := range []string{"389_TCP", "636_TCP", "8080_TCP", "9090_TCP", "53_UDP"} {
		for _, part := range []string{"", "_PROTO", "_PORT", "_ADDR"} {
			links = append(links, name+"_PORT_"+port+part)
		}
	}
	return links
}

func TestUnknown_IgnoresVariablesOfOtherPrograms(t *testing.T) {
	t.Parallel()
	services := []string{
		"ldap", "auth", "http", "admin", "ldap-pool", "ldap-tls", "ldap-user", "ldap-bind", "ldap-base", "ldap-server", "ldap-admin",
		"ldap-service", "ldap-dial", "ldap-pool-max", "auth-service", "auth-api", "http-echo", "http-admin", "admin-ui", "admin-service",
	}
	all := neighbours()
	for _, s := range services {
		all = append(all, serviceLinks(s)...)
	}
	for _, name := range all {
		_, err := config.Load(minimal(name + "=tcp://10.0.0.1:389"))
		assert.NoError(t, err, name)
	}
}

func TestUnknown_NamesWhatWasMeantInAWarning(t *testing.T) {
	t.Parallel()
	for given, meant := range map[string]string{
		"LDAP_TIMEOUT": "LDAP_REQUEST_TIMEOUT", "LDAP_CONNECT_TIMEOUT": "LDAP_DIAL_TIMEOUT", "LDAP_POOL_SIZE": "LDAP_POOL_MAX_CONNS",
		"LDAP_MAX_CONNECTIONS": "LDAP_POOL_MAX_CONNS", "LDAP_FILTER": "LDAP_USER_FILTER", "LDAP_SEARCH_FILTER": "LDAP_USER_FILTER",
		"LDAP_SEARCH_BASE": "LDAP_BASE_DN", "LDAP_BASE": "LDAP_BASE_DN", "LDAP_BINDPW": "LDAP_BIND_PASSWORD", "LDAP_PASSWORD": "LDAP_BIND_PASSWORD",
		"LDAP_USERNAME": "LDAP_BIND_DN", "LDAP_HOST": "LDAP_URL", "LDAP_SERVER": "LDAP_URL", "LDAP_SERVERS": "LDAP_URL", "LDAP_PORT": "LDAP_URL",
		"LDAP_TYPE": "LDAP_PRESET", "LDAP_RETRIES": "LDAP_BIND_RETRY", "LDAP_SCOPE": "LDAP_USER_SCOPE", "LDAP_FIELDS": "LDAP_ATTRIBUTES",
		"HTTP_PORT": "HTTP_ADDR", "HTTP_LISTEN": "HTTP_ADDR", "HTTP_PROXIES": "HTTP_TRUSTED_PROXIES", "HTTP_CONNS": "HTTP_MAX_CONNS",
		"ADMIN_PORT": "ADMIN_ADDR", "ADMIN_LISTEN": "ADMIN_ADDR", "LOG_LEVL": "LOG_LEVEL", "LOG_LVL": "LOG_LEVEL",
		"LOG_FORMATTER": "LOG_FORMAT", "LOG_JSON": "LOG_FORMAT",
	} {
		c := mustLoad(t, quiet(given+"="+password))
		assert.Equal(t, []string{given + ": unknown variable; did you mean " + meant + "?"}, c.Warnings)
	}
	for _, given := range []string{"LOG_DIR", "LDAP_XYZZY", "AUTH_METHOD", "ADMIN_PASSWORD", "HTTP_XYZZY"} {
		assert.Equal(t, []string{given + ": unknown variable, ignored"}, mustLoad(t, quiet(given+"="+password)).Warnings)
	}
	assert.Empty(t, mustLoad(t, quiet("LDAP_TIMEOUT=", "NOT_LDAP_TIMEOUT=x", "HTTP_HOST=x", "HTTP_PROXY=x")).Warnings)
}

func TestUnknown_StopsTheStartIfLessWouldBeProtected(t *testing.T) {
	t.Parallel()
	for given, meant := range map[string]string{
		"LDAP_GROUPS=staff": "LDAP_REQUIRED_GROUPS", "LDAP_GROUP=staff": "LDAP_REQUIRED_GROUPS", "LDAP_ALLOWED_GROUPS=staff": "LDAP_REQUIRED_GROUPS",
		"AUTH_GROUPS=staff": "LDAP_REQUIRED_GROUPS", "LDAP_MEMBEROF=x": "LDAP_REQUIRED_GROUPS", "LDAP_GROUP_SEARCH=x": "LDAP_GROUP_BASE_DN",
		"LDAP_TLS=true": "LDAP_START_TLS", "LDAP_TLS=1": "LDAP_START_TLS", "LDAP_USE_TLS=yes": "LDAP_START_TLS", "LDAP_SSL=on": "LDAP_START_TLS",
		"LDAP_REQUIRE_TLS=yes": "LDAP_START_TLS", "LDAP_CACERT=/ca": "LDAP_CA_FILE", "LDAP_CA=/ca": "LDAP_CA_FILE", "LDAP_TLS_CACERT=/ca": "LDAP_CA_FILE",
		"LDAP_TLS_REQCERT=hard": "LDAP_TLS_INSECURE_SKIP_VERIFY", "LDAP_CERT=/c": "LDAP_CERT_FILE",
		"HTTP_TLS=true": "HTTP_TLS_CERT_FILE", "HTTP_SSL_KEY=/k": "HTTP_TLS_KEY_FILE", "HTTP_CLIENT_CA=/c": "HTTP_TLS_CLIENT_CA_FILE",
		"AUTH_THROTTLE=0": "AUTH_THROTTLE_FAILURES", "AUTH_THROTTLE_ENABLED=true": "AUTH_THROTTLE_FAILURES", "AUTH_RATE_LIMIT=5": "AUTH_THROTTLE_FAILURES",
		"AUTH_MAX_FAILURES=5": "AUTH_THROTTLE_FAILURES", "AUTH_LOCKOUT_WINDOW=1m": "AUTH_THROTTLE_WINDOW", "AUTH_UNIFORM=true": "AUTH_FAILURE_DETAIL",
		"ADMIN_TLS_CERT_FILE=/c": "ADMIN_ADDR", "AUTH_KEY=k": "AUTH_API_KEYS_FILE", "AUTH_APIKEYS=k": "AUTH_API_KEYS_FILE",
	} {
		name, _ := cut(given)
		assert.Equal(t, name+": unknown variable; did you mean "+meant+"?", problem(t, name, minimal(given)), given)
	}
}

// TestUnknown_LeavesNeighboursAlone: Kubernetes' and Docker's links, and whole environments of the
// images of OpenLDAP.
func TestUnknown_LeavesNeighboursAlone(t *testing.T) {
	t.Parallel()
	var links []string
	for _, service := range []string{"ldap", "openldap", "auth", "http", "admin", "log", "ldap-tls", "ldap-groups", "auth-throttle", "log-level"} {
		for _, link := range serviceLinks(service) {
			links = append(links, link+"=tcp://10.0.0.1:389")
		}
	}
	osixia := []string{
		"LDAP_ORGANISATION=Example", "LDAP_DOMAIN=example.org", "LDAP_ADMIN_PASSWORD=x", "LDAP_CONFIG_PASSWORD=x", "LDAP_READONLY_USER=false",
		"LDAP_RFC2307BIS_SCHEMA=false", "LDAP_BACKEND=mdb", "LDAP_TLS=true", "LDAP_TLS_ENFORCE=false", "LDAP_TLS_CRT_FILENAME=ldap.crt",
		"LDAP_TLS_CA_CRT_FILENAME=ca.crt", "LDAP_TLS_VERIFY_CLIENT=demand", "LDAP_REPLICATION=false", "LDAP_SSL_HELPER_PREFIX=ldap", "LDAP_LOG_LEVEL=256",
	}
	bitnami := []string{
		"LDAP_ROOT=dc=x", "LDAP_ADMIN_USERNAME=admin", "LDAP_ADMIN_PASSWORD=x", "LDAP_USERS=a,b", "LDAP_PASSWORDS=a,b", "LDAP_USER_DC=users", "LDAP_GROUP=readers",
		"LDAP_GROUP_OU=groups", "LDAP_PORT_NUMBER=1389", "LDAP_LDAPS_PORT_NUMBER=1636", "LDAP_ENABLE_TLS=yes", "LDAP_REQUIRE_TLS=yes",
		"LDAP_CONFIG_ADMIN_ENABLED=no", "LDAP_ALLOW_ANON_BINDING=yes", "LDAP_LOGLEVEL=256", "LDAP_ULIMIT_NOFILES=1024", "LDAP_SKIP_DEFAULT_TREE=no",
	}
	docker := []string{"LDAP_NAME=/authsvc/ldap", "LDAP_ENV_LDAP_GROUPS=x", "LDAP_PORT=tcp://172.17.0.2:389"}
	for _, environ := range [][]string{links, osixia, bitnami, docker, {"LDAP_TLS=tcp://10.0.0.1:389"}} {
		c := mustLoad(t, quiet(environ...))
		if len(environ) > 1 {
			assert.Empty(t, c.Warnings)
		}
	}
}
