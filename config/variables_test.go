package config_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

// variableCase is what holds of one variable.
type variableCase struct {
	field   func(*config.Config) any
	def     any // without the variable
	good    string
	want    any      // with the good value
	with    []string // what else the good and the bad value need
	bad     string
	message string // what is said of the bad value, after it; empty where no value is bad
}

// variableCases has every variable, but LDAP_BIND_PASSWORD and AUTH_THROTTLE_REDIS_URL, which have
// tests of their own.
func variableCases(t *testing.T) map[string]variableCase {
	t.Helper()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{Client: true})
	server := ca.Issue(t, ldaptest.CertConfig{})
	denied := file(t, hashed("denied"))
	keys := file(t, "shop "+strings.Repeat("ab", 32)+"\n")
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	noUnit, noNumber := `"5" is not a duration with a unit, such as 5s or 2m`, `"many" is not a whole number`
	return map[string]variableCase{
		"LDAP_URL": {
			field: func(c *config.Config) any { return c.LDAP.URLs }, def: config.List{"ldaps://ldap.example.org"},
			good: "ldaps://one, ldaps://two:1636", want: config.List{"ldaps://one", "ldaps://two:1636"},
			bad: "ldap.example.org", message: `"ldap.example.org" is not a URL`,
		},
		"LDAP_PRESET": {
			field: func(c *config.Config) any { return c.LDAP.Preset }, def: "openldap", good: "ad", want: "ad",
			bad: "AD", message: `"AD" is not one of openldap, 389ds, ad, freeipa`,
		},
		"LDAP_START_TLS": {
			field: func(c *config.Config) any { return c.LDAP.StartTLS }, def: false,
			good: "true", want: true, with: []string{"LDAP_URL=ldap://ldap.example.org"},
			bad: "yes", message: `"yes" must be true or false`,
		},
		"LDAP_CA_FILE": {
			field: func(c *config.Config) any { return c.LDAP.CAFile }, def: "", good: ca.File(), want: ca.File(),
			bad: cert.KeyFile, message: cert.KeyFile + " contains no usable PEM certificate",
		},
		"LDAP_CERT_FILE": {
			field: func(c *config.Config) any { return c.LDAP.CertFile }, def: "", good: cert.CertFile, want: cert.CertFile,
			with: []string{"LDAP_KEY_FILE=" + cert.KeyFile},
			bad:  ca.File(), message: ca.File() + " and " + cert.KeyFile + " must be a certificate and its private key: ",
		},
		"LDAP_KEY_FILE": {
			field: func(c *config.Config) any { return c.LDAP.KeyFile }, def: "", good: cert.KeyFile, want: cert.KeyFile,
			with: []string{"LDAP_CERT_FILE=" + cert.CertFile},
		},
		"LDAP_TLS_SERVER_NAME": {
			field: func(c *config.Config) any { return c.LDAP.TLSServerName }, def: "", good: "other.example.org", want: "other.example.org",
			bad: "other.example.org:636", message: `"other.example.org:636" is not a host name`,
		},
		"LDAP_TLS_MIN_VERSION": {
			field: func(c *config.Config) any { return c.LDAP.TLSMinVersion }, def: "1.2", good: "1.3", want: "1.3",
			bad: "1.1", message: `"1.1" is not one of 1.2, 1.3`,
		},
		"LDAP_TLS_INSECURE_SKIP_VERIFY": {
			field: func(c *config.Config) any { return c.LDAP.TLSInsecureSkipVerify }, def: false, good: "true", want: true,
			bad: "on", message: `"on" must be true or false`,
		},
		"LDAP_BIND_DN": {
			field: func(c *config.Config) any { return c.LDAP.BindDN }, def: "cn=service,dc=example,dc=org", good: "cn=other", want: "cn=other",
		},
		"LDAP_BIND_METHOD": {
			field: func(c *config.Config) any { return c.LDAP.BindMethod }, def: "simple", good: "external", want: "external",
			with: []string{"LDAP_BIND_DN=", "LDAP_BIND_PASSWORD=", "LDAP_CERT_FILE=" + cert.CertFile, "LDAP_KEY_FILE=" + cert.KeyFile},
			bad:  "gssapi", message: `"gssapi" is not one of simple, external`,
		},
		"LDAP_BASE_DN": {
			field: func(c *config.Config) any { return c.LDAP.BaseDNs }, def: config.DNList{"dc=example,dc=org"},
			good: "ou=a,dc=org; ou=b,dc=org", want: config.DNList{"ou=a,dc=org", "ou=b,dc=org"},
			bad: "people", message: `"people" is not a DN (RFC 4514): `,
		},
		"LDAP_USER_FILTER": {
			field: func(c *config.Config) any { return c.LDAP.UserFilter }, def: "(uid={username})", good: "(cn={username})", want: "(cn={username})",
			bad: "uid={username}", message: `"uid={username}" is not a filter (RFC 4515): `,
		},
		"LDAP_USER_NAME_ATTRIBUTE": {
			field: func(c *config.Config) any { return c.LDAP.UserNameAttribute }, def: "uid", good: "sAMAccountName", want: "sAMAccountName",
			bad: "user name", message: `"user name" is not an attribute name`,
		},
		"LDAP_USER_SCOPE": {
			field: func(c *config.Config) any { return c.LDAP.UserScope }, def: "sub", good: "one", want: "one",
			bad: "base", message: `"base" is not one of sub, one`,
		},
		"LDAP_USER_DN_TEMPLATE": {
			field: func(c *config.Config) any { return c.LDAP.UserDNTemplate }, def: "", good: "uid={username}", want: "uid={username}",
			with: []string{"LDAP_BASE_DN="},
			bad:  "uid=name,dc=org", message: `"uid=name,dc=org" has no {username}`,
		},
		"LDAP_ATTRIBUTES": {
			field: func(c *config.Config) any { return c.LDAP.Attributes }, def: config.List(nil), good: "cn, mail", want: config.List{"cn", "mail"},
			bad: "cn,the mail", message: `"the mail" is not an attribute name`,
		},
		"LDAP_REQUIRED_GROUPS": {
			field: func(c *config.Config) any { return c.LDAP.RequiredGroups }, def: config.DNList(nil), with: []string{"LDAP_GROUP_BASE_DN=dc=org"},
			good: `staff; cn=a\;b,dc=org;x\;y`, want: config.DNList{"staff", `cn=a\;b,dc=org`, `x\;y`},
			bad: "staff;;x", message: `"staff;;x" has an empty name between semicolons`,
		},
		"LDAP_GROUP_BASE_DN": {
			field: func(c *config.Config) any { return c.LDAP.GroupBaseDNs }, def: config.DNList(nil),
			good: "ou=a,dc=org; ou=b,dc=org", want: config.DNList{"ou=a,dc=org", "ou=b,dc=org"},
			bad: "groups", message: `"groups" is not a DN (RFC 4514): `,
		},
		"LDAP_GROUP_FILTER": {
			field: func(c *config.Config) any { return c.LDAP.GroupFilter }, def: "(|(member={dn})(uniqueMember={dn})(memberUid={username}))",
			good: "(member={dn})", want: "(member={dn})", with: []string{"LDAP_GROUP_BASE_DN=dc=org"},
			bad: "(objectClass=group)", message: `"(objectClass=group)" must have {dn}, {username}`,
		},
		"LDAP_GROUP_NAME_ATTRIBUTE": {
			field: func(c *config.Config) any { return c.LDAP.GroupNameAttribute }, def: "cn", good: "ou", want: "ou", with: []string{"LDAP_GROUP_BASE_DN=dc=org"},
			bad: "the name", message: `"the name" is not an attribute name`,
		},
		"LDAP_GROUP_NESTED": {
			field: func(c *config.Config) any { return c.LDAP.GroupNested }, def: false, good: "true", want: true, with: []string{"LDAP_GROUP_BASE_DN=dc=org"},
			bad: "all", message: `"all" must be true or false`,
		},
		"LDAP_DIAL_TIMEOUT": {
			field: func(c *config.Config) any { return c.LDAP.DialTimeout }, def: seconds(3), good: "700ms", want: 700 * time.Millisecond,
			bad: "5", message: noUnit,
		},
		"LDAP_REQUEST_TIMEOUT": {
			field: func(c *config.Config) any { return c.LDAP.RequestTimeout }, def: seconds(5), good: "1m30s", want: seconds(90),
			bad: "5", message: noUnit,
		},
		"LDAP_SERVER_POLICY": {
			field: func(c *config.Config) any { return c.LDAP.ServerPolicy }, def: "failover", good: "round_robin", want: "round_robin",
			bad: "random", message: `"random" is not one of failover, round_robin`,
		},
		"LDAP_BIND_RETRY": {
			field: func(c *config.Config) any { return c.LDAP.BindRetry }, def: "no_response", good: "unsent", want: "unsent",
			bad: "always", message: `"always" is not one of no_response, unsent`,
		},
		"LDAP_BIND_LANE_SERVICE_BIND": {
			field: func(c *config.Config) any { return c.LDAP.BindLaneServiceBind }, def: "auto", good: "false", want: "false",
			bad: "yes", message: `"yes" is not one of auto, true, false`,
		},
		"LDAP_PASSWORD_POLICY": {
			field: func(c *config.Config) any { return c.LDAP.PasswordPolicy }, def: "auto", good: "off", want: "off",
			bad: "true", message: `"true" is not one of auto, on, off`,
		},
		"LDAP_POOL_MAX_CONNS": {
			field: func(c *config.Config) any { return c.Pool.MaxConns }, def: 32, good: "8", want: 8, bad: "many", message: noNumber,
		},
		"LDAP_POOL_MIN_IDLE_CONNS": {
			field: func(c *config.Config) any { return c.Pool.MinIdleConns }, def: 2, good: "0", want: 0, bad: "many", message: noNumber,
		},
		"LDAP_POOL_MAX_IDLE_TIME": {
			field: func(c *config.Config) any { return c.Pool.MaxIdleTime }, def: 5 * time.Minute, good: "1h", want: time.Hour, bad: "5", message: noUnit,
		},
		"LDAP_POOL_MAX_LIFETIME": {
			field: func(c *config.Config) any { return c.Pool.MaxLifetime }, def: 30 * time.Minute, good: "1h", want: time.Hour, bad: "5", message: noUnit,
		},
		"LDAP_POOL_HEALTH_CHECK_INTERVAL": {
			field: func(c *config.Config) any { return c.Pool.HealthCheckInterval }, def: seconds(15), good: "1s", want: seconds(1), bad: "5", message: noUnit,
		},
		"LDAP_POOL_MAX_WAIT": {
			field: func(c *config.Config) any { return c.Pool.MaxWait }, def: seconds(2), good: "1s", want: seconds(1), bad: "5", message: noUnit,
		},
		"LDAP_POOL_MAX_WAITERS": {
			field: func(c *config.Config) any { return c.Pool.MaxWaiters }, def: 1000, good: "0", want: 0, bad: "many", message: noNumber,
		},
		"AUTH_TIMEOUT": {
			field: func(c *config.Config) any { return c.Auth.Timeout }, def: seconds(10), good: "3s", want: seconds(3), bad: "5", message: noUnit,
		},
		"AUTH_ALWAYS_200": {
			field: func(c *config.Config) any { return c.Auth.Always200 }, def: false, good: "true", want: true,
			bad: "200", message: `"200" must be true or false`,
		},
		"AUTH_API_KEYS_FILE": {
			field: func(c *config.Config) any { return c.Auth.APIKeysFile }, def: "", good: keys, want: keys,
			with: []string{"HTTP_ADDR=127.0.0.1:8080"},
			bad:  server.KeyFile, message: server.KeyFile + ": line 1: must be a name and the SHA-256 of a key in hexadecimal, separated by white space",
		},
		"HTTP_TLS_CERT_FILE": {
			field: func(c *config.Config) any { return c.HTTP.TLSCertFile }, def: "", good: server.CertFile, want: server.CertFile,
			with: []string{"HTTP_TLS_KEY_FILE=" + server.KeyFile},
			bad:  ca.File(), message: ca.File() + " and " + server.KeyFile + " must be a certificate and its private key: ",
		},
		"HTTP_TLS_KEY_FILE": {
			field: func(c *config.Config) any { return c.HTTP.TLSKeyFile }, def: "", good: server.KeyFile, want: server.KeyFile,
			with: []string{"HTTP_TLS_CERT_FILE=" + server.CertFile},
		},
		"HTTP_TLS_CLIENT_CA_FILE": {
			field: func(c *config.Config) any { return c.HTTP.TLSClientCAFile }, def: "", good: ca.File(), want: ca.File(),
			with: []string{"HTTP_TLS_CERT_FILE=" + server.CertFile, "HTTP_TLS_KEY_FILE=" + server.KeyFile},
			bad:  server.KeyFile, message: server.KeyFile + " contains no usable PEM certificate",
		},
		"HTTP_TLS_CLIENT_DENY_FILE": {
			field: func(c *config.Config) any { return c.HTTP.TLSClientDenyFile }, def: "", good: denied, want: denied,
			with: []string{"HTTP_TLS_CERT_FILE=" + server.CertFile, "HTTP_TLS_KEY_FILE=" + server.KeyFile, "HTTP_TLS_CLIENT_CA_FILE=" + ca.File()},
			bad:  server.CertFile, message: server.CertFile + ": line 1: must be the SHA-256 fingerprint of a certificate",
		},
		"HTTP_HOSTS": {
			field: func(c *config.Config) any { return c.HTTP.Hosts }, def: config.HostList(nil), good: "Authsvc", want: config.HostList{"authsvc"},
			bad: "authsvc:8080", message: `"authsvc:8080" has "authsvc:8080": a name is accepted with every port, remove the port`,
		},
		"ADMIN_HOSTS": {
			field: func(c *config.Config) any { return c.Admin.Hosts }, def: config.HostList(nil), good: "authsvc", want: config.HostList{"authsvc"},
			bad: "*.example.org", message: `"*.example.org" has "*.example.org": wildcards are not supported, list each name`,
		},
		"AUTH_FAILURE_DETAIL": {
			field: func(c *config.Config) any { return c.Auth.FailureDetail }, def: "distinct", good: "uniform", want: "uniform",
			bad: "none", message: `"none" is not one of distinct, uniform`,
		},
		"AUTH_UNIFORM_DELAY": {
			field: func(c *config.Config) any { return c.Auth.UniformDelay }, def: 50 * time.Millisecond, good: "200ms", want: 200 * time.Millisecond,
			bad: "5", message: noUnit,
		},
		"AUTH_UNIFORM_DECOY_DN": {
			field: func(c *config.Config) any { return c.Auth.UniformDecoyDN }, def: "", good: "cn=decoy,dc=x", want: "cn=decoy,dc=x",
			with: []string{"AUTH_FAILURE_DETAIL=uniform"}, bad: "decoy", message: `"decoy" is not a DN (RFC 4514): `,
		},
		"AUTH_THROTTLE_FAILURES": {
			field: func(c *config.Config) any { return c.Auth.ThrottleFailures }, def: 10, good: "0", want: 0, bad: "many", message: noNumber,
		},
		"AUTH_THROTTLE_ACCOUNT_FAILURES": {
			field: func(c *config.Config) any { return c.Auth.ThrottleAccountFailures }, def: 100, good: "20", want: 20, bad: "many", message: noNumber,
		},
		"AUTH_THROTTLE_CLIENT_FAILURES": {
			field: func(c *config.Config) any { return c.Auth.ThrottleClientFailures }, def: 0, good: "200", want: 200, bad: "many", message: noNumber,
		},
		"AUTH_BASIC_REALM": {
			field: func(c *config.Config) any { return c.Auth.BasicRealm }, def: "authsvc", good: "Example Corp", want: "Example Corp",
			bad: `a"b`, message: `"a\"b" must be ASCII without quotes, backslashes and control characters`,
		},
		"AUTH_BASIC_HEADERS": {
			field: func(c *config.Config) any { return c.Auth.BasicHeaders }, def: "Remote-User={username},Remote-Groups={groups}",
			good: "X-User={username}", want: "X-User={username}",
			bad: "X-User={user}", message: `"X-User={user}": {user} is no placeholder`,
		},
		"AUTH_BASIC_CACHE_TTL": {
			field: func(c *config.Config) any { return c.Auth.BasicCacheTTL }, def: 60 * time.Second, good: "5m", want: 5 * time.Minute, bad: "-1s", message: `"-1s" must be between 0s and one year`,
		},
		"AUTH_BASIC_CACHE_FAILURE_TTL": {
			field: func(c *config.Config) any { return c.Auth.BasicCacheFailureTTL }, def: 10 * time.Second, good: "0s", want: time.Duration(0), bad: "-1s", message: `"-1s" must be between 0s and one year`,
		},
		"AUTH_BASIC_CACHE_STALE": {
			field: func(c *config.Config) any { return c.Auth.BasicCacheStale }, def: time.Duration(0), good: "8h", want: 8 * time.Hour, bad: "-1s", message: `"-1s" must be between 0s and one year`,
		},
		"AUTH_BASIC_CACHE_SIZE": {
			field: func(c *config.Config) any { return c.Auth.BasicCacheSize }, def: 10000, good: "1", want: 1, bad: "0", message: `"0" must be between 1 and 1000000`,
		},
		"HTTP_FORWARD_ADDR": {
			field: func(c *config.Config) any { return c.HTTP.ForwardAddr }, def: "", good: "127.0.0.1:8081", want: "127.0.0.1:8081",
			bad: "8081", message: `"8081" must be host:port with a port from 0 to 65535`,
		},
		"AUTH_THROTTLE_WINDOW": {
			field: func(c *config.Config) any { return c.Auth.ThrottleWindow }, def: 5 * time.Minute, good: "1h", want: time.Hour, bad: "5", message: noUnit,
		},
		"AUTH_THROTTLE_REDIS_CA_FILE": {
			field: func(c *config.Config) any { return c.Auth.ThrottleRedisCAFile }, def: "", good: ca.File(), want: ca.File(),
			with: []string{"AUTH_THROTTLE_REDIS_URL=rediss://redis.example.org"},
			bad:  cert.KeyFile, message: cert.KeyFile + " contains no usable PEM certificate",
		},
		"AUTH_THROTTLE_REDIS_CERT_FILE": {
			field: func(c *config.Config) any { return c.Auth.ThrottleRedisCertFile }, def: "", good: cert.CertFile, want: cert.CertFile,
			with: []string{"AUTH_THROTTLE_REDIS_URL=rediss://redis.example.org", "AUTH_THROTTLE_REDIS_KEY_FILE=" + cert.KeyFile},
			bad:  ca.File(), message: ca.File() + " and " + cert.KeyFile + " must be a certificate and its private key: ",
		},
		"AUTH_THROTTLE_REDIS_KEY_FILE": {
			field: func(c *config.Config) any { return c.Auth.ThrottleRedisKeyFile }, def: "", good: cert.KeyFile, want: cert.KeyFile,
			with: []string{"AUTH_THROTTLE_REDIS_URL=rediss://redis.example.org", "AUTH_THROTTLE_REDIS_CERT_FILE=" + cert.CertFile},
		},
		"AUTH_THROTTLE_REDIS_PREFIX": {
			field: func(c *config.Config) any { return c.Auth.ThrottleRedisPrefix }, def: "authsvc", good: "staging:1", want: "staging:1",
			bad: "a{b}", message: `"a{b}" must be at most 64 letters, digits, `,
		},
		"HTTP_ADDR": {
			field: func(c *config.Config) any { return c.HTTP.Addr }, def: ":8080", good: "[::1]:80", want: "[::1]:80",
			bad: "8080", message: `"8080" must be host:port with a port from 0 to 65535`,
		},
		"HTTP_MAX_CONNS": {
			field: func(c *config.Config) any { return c.HTTP.MaxConns }, def: 4096, good: "10000", want: 10000, bad: "15", message: `"15" must be between 16 and 1000000`,
		},
		"HTTP_TRUSTED_PROXIES": {
			field: func(c *config.Config) any { return c.HTTP.TrustedProxies }, def: config.PrefixList(nil),
			good: "10.0.0.0/8", want: config.PrefixList{netip.MustParsePrefix("10.0.0.0/8")},
			bad: "10.0.0.0/8,proxy", message: `"10.0.0.0/8,proxy" has "proxy", which is neither an IP address nor a network in CIDR notation`,
		},
		"HTTP_SHUTDOWN_DELAY": {
			field: func(c *config.Config) any { return c.HTTP.ShutdownDelay }, def: seconds(0), good: "5s", want: seconds(5), bad: "5", message: noUnit,
		},
		"HTTP_SHUTDOWN_TIMEOUT": {
			field: func(c *config.Config) any { return c.HTTP.ShutdownTimeout }, def: seconds(10), good: "30s", want: seconds(30), bad: "5", message: noUnit,
		},
		"ADMIN_ADDR": {
			field: func(c *config.Config) any { return c.Admin.Addr }, def: "127.0.0.1:9090", good: "localhost:9091", want: "localhost:9091",
			bad: "localhost", message: `"localhost" must be host:port with a port from 0 to 65535`,
		},
		"ADMIN_PPROF": {
			field: func(c *config.Config) any { return c.Admin.Pprof }, def: "loopback", good: "true", want: "true",
			bad: "yes", message: `"yes" is not one of loopback, true, false`,
		},
		"LOG_LEVEL": {
			field: func(c *config.Config) any { return c.Log.Level }, def: slog.LevelInfo, good: "debug", want: slog.LevelDebug,
			bad: "loud", message: `"loud" must be debug, info, warn or error`,
		},
		"LOG_FORMAT": {
			field: func(c *config.Config) any { return c.Log.Format }, def: "json", good: "text", want: "text",
			bad: "xml", message: `"xml" is not one of json, text`,
		},
	}
}

func TestVariables_HaveDefaultsAndExplainWrongValues(t *testing.T) {
	t.Parallel()
	cases := variableCases(t)
	for _, variable := range config.Variables() {
		if variable == "LDAP_BIND_PASSWORD" || variable == "AUTH_THROTTLE_REDIS_URL" {
			continue
		}
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			c, ok := cases[variable]
			if !ok {
				t.Fatal("no case")
			}
			assert.Equal(t, c.def, c.field(mustLoad(t, minimal())), "default")
			good := append(minimal(c.with...), variable+"="+c.good)
			assert.Equal(t, c.want, c.field(mustLoad(t, good)), "good value")
			if c.message == "" {
				return
			}
			text := problem(t, variable, append(minimal(c.with...), variable+"="+c.bad))
			assert.True(t, strings.HasPrefix(text, variable+": "+c.message), text)
			assert.True(t, strings.HasSuffix(text, "; for example "+variable+"="+config.SampleValues()[variable]), text)
		})
	}
}
