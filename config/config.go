// Package config turns the environment into a typed [Config]. Nothing else in the program reads the
// environment.
//
// [Load] reports every problem at once, each with the variable, what is wrong with it and an
// example of what would be right. Secrets are of type [Secret], which cannot be printed or
// marshalled.
package config

import (
	"log/slog"
	"time"

	"authsvc/internal/identity"
)

// Config is the whole configuration. docs/configuration.md tells what each variable means; the
// struct tags hold its name and default.
type Config struct {
	LDAP  LDAP
	Pool  Pool
	Auth  Auth
	HTTP  HTTP
	Admin Admin
	Log   Log

	// Warnings are what an operator should know of settings that are allowed and unwise.
	Warnings []string

	settings []Setting
	unused   []string
	otel     map[string]Secret
}

// exitGrace is how much longer than its two times the end of the service may take.
const exitGrace = 2 * time.Second

// StopTime is the longest time that the service takes to end after SIGTERM.
func (c *Config) StopTime() time.Duration {
	return c.HTTP.ShutdownDelay + c.HTTP.ShutdownTimeout + exitGrace
}

// LDAP says where the directory is, how to reach it, and how a user is found in it.
type LDAP struct {
	URLs                  List     `env:"LDAP_URL"`                          // normalized: scheme and host, and a port where one was given
	Preset                string   `env:"LDAP_PRESET" envDefault:"openldap"` // openldap, 389ds, ad, freeipa or lldap
	StartTLS              bool     `env:"LDAP_START_TLS" envDefault:"false"`
	CAFile                string   `env:"LDAP_CA_FILE"`
	CertFile              string   `env:"LDAP_CERT_FILE"`
	KeyFile               string   `env:"LDAP_KEY_FILE"`
	TLSServerName         string   `env:"LDAP_TLS_SERVER_NAME"`
	TLSMinVersion         string   `env:"LDAP_TLS_MIN_VERSION" envDefault:"1.2"`
	TLSInsecureSkipVerify bool     `env:"LDAP_TLS_INSECURE_SKIP_VERIFY" envDefault:"false"`
	BindMethod            string   `env:"LDAP_BIND_METHOD" envDefault:"simple"` // simple or external
	BindDN                string   `env:"LDAP_BIND_DN"`                         // empty with simple: searches are anonymous
	BindPassword          Secret   `env:"LDAP_BIND_PASSWORD"`
	BindPasswordFile      string   // that the password was read from; empty if it was not
	BaseDNs               DNList   `env:"LDAP_BASE_DN"`
	UserFilter            string   `env:"LDAP_USER_FILTER" envDefault:"(uid={username})"`
	UserNameAttribute     string   `env:"LDAP_USER_NAME_ATTRIBUTE" envDefault:"uid"`
	UserScope             string   `env:"LDAP_USER_SCOPE" envDefault:"sub"` // sub or one
	UserDNTemplate        string   `env:"LDAP_USER_DN_TEMPLATE"`            // where set, no search is done
	Attributes            List     `env:"LDAP_ATTRIBUTES"`
	GroupBaseDNs          DNList   `env:"LDAP_GROUP_BASE_DN"` // with ad, none is the domain
	GroupFilter           string   `env:"LDAP_GROUP_FILTER"`  // with ad and freeipa, none is how these tell it themselves
	GroupNameAttribute    string   `env:"LDAP_GROUP_NAME_ATTRIBUTE" envDefault:"cn"`
	GroupNested           bool     `env:"LDAP_GROUP_NESTED" envDefault:"false"`
	RequiredGroups        DNList   `env:"LDAP_REQUIRED_GROUPS"` // names among the DNs
	Groups                bool     // a variable of groups is set: they are looked up
	DialTimeout           duration `env:"LDAP_DIAL_TIMEOUT" envDefault:"3s"`
	RequestTimeout        duration `env:"LDAP_REQUEST_TIMEOUT" envDefault:"5s"`
	ServerPolicy          string   `env:"LDAP_SERVER_POLICY" envDefault:"failover"`      // failover or round_robin
	BindRetry             string   `env:"LDAP_BIND_RETRY" envDefault:"no_response"`      // no_response or unsent
	BindLaneServiceBind   string   `env:"LDAP_BIND_LANE_SERVICE_BIND" envDefault:"auto"` // auto, true or false
	PasswordPolicy        string   `env:"LDAP_PASSWORD_POLICY" envDefault:"auto"`        // auto, on or off
}

// Pool bounds the connections to the directory.
type Pool struct {
	MaxConns            int      `env:"LDAP_POOL_MAX_CONNS" envDefault:"32"`
	MinIdleConns        int      `env:"LDAP_POOL_MIN_IDLE_CONNS" envDefault:"2"`
	MaxIdleTime         duration `env:"LDAP_POOL_MAX_IDLE_TIME" envDefault:"5m"`
	MaxLifetime         duration `env:"LDAP_POOL_MAX_LIFETIME" envDefault:"30m"`
	HealthCheckInterval duration `env:"LDAP_POOL_HEALTH_CHECK_INTERVAL" envDefault:"15s"`
	MaxWait             duration `env:"LDAP_POOL_MAX_WAIT" envDefault:"2s"`
	MaxWaiters          int      `env:"LDAP_POOL_MAX_WAITERS" envDefault:"1000"`
}

// Auth says how a login is decided and told.
type Auth struct {
	Timeout     duration `env:"AUTH_TIMEOUT" envDefault:"10s"`
	Always200   bool     `env:"AUTH_ALWAYS_200" envDefault:"false"`
	APIKeysFile string   `env:"AUTH_API_KEYS_FILE"` // where set, callers need a key

	FailureDetail  string   `env:"AUTH_FAILURE_DETAIL" envDefault:"distinct"` // distinct or uniform
	UniformDelay   duration `env:"AUTH_UNIFORM_DELAY" envDefault:"50ms"`
	UniformDecoyDN string   `env:"AUTH_UNIFORM_DECOY_DN"` // only with uniform

	BasicRealm           string            `env:"AUTH_BASIC_REALM" envDefault:"authsvc"`
	BasicHeaders         string            `env:"AUTH_BASIC_HEADERS" envDefault:"Remote-User={username},Remote-Groups={groups}"`
	BasicCacheTTL        duration          `env:"AUTH_BASIC_CACHE_TTL" envDefault:"60s"`         // 0: there is no cache
	BasicCacheFailureTTL duration          `env:"AUTH_BASIC_CACHE_FAILURE_TTL" envDefault:"10s"` // 0: only accepted credentials
	BasicCacheStale      duration          `env:"AUTH_BASIC_CACHE_STALE" envDefault:"0s"`
	BasicCacheSize       int               `env:"AUTH_BASIC_CACHE_SIZE" envDefault:"10000"`
	IdentityHeaders      []identity.Header // of BasicHeaders

	ThrottleFailures        int      `env:"AUTH_THROTTLE_FAILURES" envDefault:"10"`          // 0: no limit
	ThrottleAccountFailures int      `env:"AUTH_THROTTLE_ACCOUNT_FAILURES" envDefault:"100"` // 0: no limit
	ThrottleClientFailures  int      `env:"AUTH_THROTTLE_CLIENT_FAILURES" envDefault:"0"`    // 0: no limit
	ThrottleWindow          duration `env:"AUTH_THROTTLE_WINDOW" envDefault:"5m"`

	ThrottleRedisURL      Secret `env:"AUTH_THROTTLE_REDIS_URL"` // where set, several instances share the counts
	ThrottleRedisCAFile   string `env:"AUTH_THROTTLE_REDIS_CA_FILE"`
	ThrottleRedisCertFile string `env:"AUTH_THROTTLE_REDIS_CERT_FILE"`
	ThrottleRedisKeyFile  string `env:"AUTH_THROTTLE_REDIS_KEY_FILE"`
	ThrottleRedisPrefix   string `env:"AUTH_THROTTLE_REDIS_PREFIX" envDefault:"authsvc"`
	Redis                 Redis  // of ThrottleRedisURL
}

// HTTP is the main listener.
type HTTP struct {
	Addr              string     `env:"HTTP_ADDR" envDefault:":8080"`
	ForwardAddr       string     `env:"HTTP_FORWARD_ADDR"`  // empty: there is no listener for reverse proxies alone
	TLSCertFile       string     `env:"HTTP_TLS_CERT_FILE"` // where set, the listener speaks TLS alone
	TLSKeyFile        string     `env:"HTTP_TLS_KEY_FILE"`
	TLSClientCAFile   string     `env:"HTTP_TLS_CLIENT_CA_FILE"`   // where set, callers may show a certificate
	TLSClientDenyFile string     `env:"HTTP_TLS_CLIENT_DENY_FILE"` // certificates that are refused all the same
	Hosts             HostList   `env:"HTTP_HOSTS"`                // by which browsers may use the listener
	MaxConns          int        `env:"HTTP_MAX_CONNS" envDefault:"4096"`
	TrustedProxies    PrefixList `env:"HTTP_TRUSTED_PROXIES"`
	ShutdownDelay     duration   `env:"HTTP_SHUTDOWN_DELAY" envDefault:"0s"`
	ShutdownTimeout   duration   `env:"HTTP_SHUTDOWN_TIMEOUT" envDefault:"10s"`
}

// Admin is the admin listener.
type Admin struct {
	Addr  string   `env:"ADMIN_ADDR" envDefault:"127.0.0.1:9090"` // empty: there is none
	Hosts HostList `env:"ADMIN_HOSTS"`                            // as HTTP.Hosts
	Pprof string   `env:"ADMIN_PPROF" envDefault:"loopback"`      // loopback, true or false: whom the profiler is served
}

// Log is the log's shape.
type Log struct {
	Level  slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	Format string     `env:"LOG_FORMAT" envDefault:"json"` // json or text
}

// duration keeps the tags above short.
type duration = time.Duration
