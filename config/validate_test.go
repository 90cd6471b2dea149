package config_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
)

func TestValidate_PoolNumbersFitEachOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ        []string
		conns, minIdle int
	}{
		"the defaults":                            {minimal(), 32, 2},
		"few connections lower the default":       {minimal("LDAP_POOL_MAX_CONNS=2"), 2, 1},
		"an odd number is halved downwards":       {minimal("LDAP_POOL_MAX_CONNS=3"), 3, 1},
		"enough connections do not":               {minimal("LDAP_POOL_MAX_CONNS=4"), 4, 2},
		"half of them may be kept":                {minimal("LDAP_POOL_MAX_CONNS=10", "LDAP_POOL_MIN_IDLE_CONNS=5"), 10, 5},
		"none may be kept":                        {minimal("LDAP_POOL_MIN_IDLE_CONNS=0"), 32, 0},
		"one connection is enough for a template": {template("LDAP_POOL_MAX_CONNS=1"), 1, 1},
		"a template's one connection may be kept": {template("LDAP_POOL_MAX_CONNS=1", "LDAP_POOL_MIN_IDLE_CONNS=1"), 1, 1},
		"the most that there may be":              {minimal("LDAP_POOL_MAX_CONNS=10000", "LDAP_POOL_MIN_IDLE_CONNS=5000"), 10000, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := mustLoad(t, c.environ).Pool
			assert.Equal(t, c.conns, p.MaxConns)
			assert.Equal(t, c.minIdle, p.MinIdleConns)
		})
	}
}

func TestValidate_ErrorNamesTheBoundsOfANumber(t *testing.T) {
	t.Parallel()
	const wait = "LDAP_POOL_MAX_WAITERS"
	for name, c := range map[string]struct {
		environ        []string
		variable, text string
	}{
		"one connection with a filter":   {minimal("LDAP_POOL_MAX_CONNS=1"), "LDAP_POOL_MAX_CONNS", `"1" must be between 2 and 10000`},
		"no connection with a template":  {template("LDAP_POOL_MAX_CONNS=0"), "LDAP_POOL_MAX_CONNS", `"0" must be between 1 and 10000`},
		"too many connections":           {minimal("LDAP_POOL_MAX_CONNS=10001"), "LDAP_POOL_MAX_CONNS", `"10001" must be between 2 and 10000`},
		"one more kept than half":        {minimal("LDAP_POOL_MAX_CONNS=10", "LDAP_POOL_MIN_IDLE_CONNS=6"), "LDAP_POOL_MIN_IDLE_CONNS", `"6" must be at most half of LDAP_POOL_MAX_CONNS, which is 10`},
		"the default kept, and set":      {minimal("LDAP_POOL_MAX_CONNS=2", "LDAP_POOL_MIN_IDLE_CONNS=2"), "LDAP_POOL_MIN_IDLE_CONNS", `"2" must be at most half of LDAP_POOL_MAX_CONNS, which is 2`},
		"a negative number kept":         {minimal("LDAP_POOL_MIN_IDLE_CONNS=-1"), "LDAP_POOL_MIN_IDLE_CONNS", `"-1" must be between 0 and 5000`},
		"a wrong maximum is one problem": {minimal("LDAP_POOL_MAX_CONNS=1", "LDAP_POOL_MIN_IDLE_CONNS=2"), "LDAP_POOL_MAX_CONNS", `"1" must be between`},
		"a maximum in words is one, too": {minimal("LDAP_POOL_MAX_CONNS=ten", "LDAP_POOL_MIN_IDLE_CONNS=2"), "LDAP_POOL_MAX_CONNS", `"ten" is not a whole number`},
		"a negative number of waiters":   {minimal(wait + "=-1"), wait, `"-1" must be between 0 and 1000000`},
		"too many waiters":               {minimal(wait + "=1000001"), wait, `"1000001" must be between 0 and 1000000`},
		"fewer failures than none":       {minimal("AUTH_THROTTLE_FAILURES=-1"), "AUTH_THROTTLE_FAILURES", `"-1" must be between 0 and 1000000`},
		"too many failures of a client":  {minimal("AUTH_THROTTLE_CLIENT_FAILURES=1000001"), "AUTH_THROTTLE_CLIENT_FAILURES", `"1000001" must be between 0 and 1000000`},
		"too many failures":              {minimal("AUTH_THROTTLE_ACCOUNT_FAILURES=1000001"), "AUTH_THROTTLE_ACCOUNT_FAILURES", `"1000001" must be between 0 and 1000000`},
		"a number that no int holds":     {minimal(wait + "=9999999999999999999"), wait, `"9999999999999999999" is not a whole number`},
		"a number with a fraction":       {minimal(wait + "=1.5"), wait, `"1.5" is not a whole number`},
		"a level between two others":     {minimal("LOG_LEVEL=info+1"), "LOG_LEVEL", `"info+1" must be debug, info, warn or error`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, c.variable, c.environ), c.variable+": "+c.text)
		})
	}
}

func TestValidate_DurationsHaveBounds(t *testing.T) {
	t.Parallel()
	least := map[string]time.Duration{
		"LDAP_DIAL_TIMEOUT": time.Millisecond, "LDAP_REQUEST_TIMEOUT": time.Millisecond, "LDAP_POOL_MAX_IDLE_TIME": time.Millisecond,
		"LDAP_POOL_MAX_LIFETIME": 10 * time.Millisecond, "LDAP_POOL_HEALTH_CHECK_INTERVAL": 10 * time.Millisecond,
		"LDAP_POOL_MAX_WAIT": time.Millisecond, "AUTH_TIMEOUT": time.Millisecond, "HTTP_SHUTDOWN_TIMEOUT": time.Millisecond,
		"AUTH_UNIFORM_DELAY": time.Millisecond, "AUTH_THROTTLE_WINDOW": time.Second,
		"AUTH_BASIC_CACHE_TTL": 0, "AUTH_BASIC_CACHE_FAILURE_TTL": 0, "AUTH_BASIC_CACHE_STALE": 0, "HTTP_SHUTDOWN_DELAY": 0, // 0 turns them off
	}
	fields := variableCases(t)
	for _, variable := range config.Variables() {
		if _, ok := fields[variable]; !ok {
			continue
		}
		if _, ok := fields[variable].def.(time.Duration); !ok {
			continue
		}
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			bound, known := least[variable]
			assert.True(t, known, "a duration without a bound")
			for _, good := range []time.Duration{bound, 365 * 24 * time.Hour} {
				assert.Equal(t, good, fields[variable].field(mustLoad(t, minimal(variable+"="+good.String()))))
			}
			outside := map[string]string{"-1s": "-1s", (bound - 1).String(): (bound - 1).String(), "8760h0m1s": "8760h0m1s"}
			if bound > 0 {
				outside["0"] = "0s"
			}
			for given, shown := range outside {
				assert.Contains(t, problem(t, variable, minimal(variable+"="+given)),
					`"`+shown+`" must be between `+bound.String()+" and one year")
			}
			for _, bad := range []string{"5", "soon", "5 s", "1d", "9999999999h"} {
				assert.Contains(t, problem(t, variable, minimal(variable+"="+bad)), `"`+bad+`" is not a duration with a unit, such as 5s or 2m`)
			}
		})
	}
}

func TestAddress_IsHostAndPort(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"HTTP_ADDR", "ADMIN_ADDR"} {
		for _, good := range []string{":1", "127.0.0.1:0", "[::]:65535", "localhost:81", "[fe80::1%eth0]:82"} {
			mustLoad(t, minimal(variable+"="+good))
		}
		for _, bad := range []string{"8080", ":", ":http", "localhost", ":65536", ":-1", "::1:80", "http://localhost:80", " "} {
			assert.Contains(t, problem(t, variable, minimal(variable+"="+bad)), `"`+bad+`" must be host:port with a port from 0 to 65535`)
		}
	}
}

func TestAddress_OfEachListenerIsItsOwn(t *testing.T) {
	t.Parallel()
	assert.Contains(t, problem(t, "ADMIN_ADDR", minimal("ADMIN_ADDR=:8080")), `":8080" must differ from HTTP_ADDR`)
	mustLoad(t, minimal("ADMIN_ADDR=127.0.0.1:0", "HTTP_ADDR=127.0.0.1:0"))
	problem(t, "HTTP_ADDR", minimal("ADMIN_ADDR=", "HTTP_ADDR=none"))
}

func TestAddress_EmptyOneTurnsTheAdminListenerOff(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "127.0.0.1:9090", mustLoad(t, minimal()).Admin.Addr)
	assert.Empty(t, mustLoad(t, minimal("ADMIN_ADDR=")).Admin.Addr)
}

func TestTrustedProxies_AreNetworksOrAddresses(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal("HTTP_TRUSTED_PROXIES=10.1.2.3/8, 192.0.2.1,2001:db8::1/32,::1,::ffff:192.0.2.9,::ffff:127.0.0.0/104,::ffff:198.51.100.7/128,::ffff:0:0/90"))
	want := config.PrefixList{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.9/32"),
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("::ffff:0:0/90").Masked(),
	}
	assert.Equal(t, want, c.HTTP.TrustedProxies)
	for _, bad := range []string{"10.0.0.0/33", "10.0.0/8", "proxy.example.org", "*", "192.0.2.1:80", "10.0.0.0/-1"} {
		assert.Contains(t, problem(t, "HTTP_TRUSTED_PROXIES", minimal("HTTP_TRUSTED_PROXIES="+bad)), `has "`+bad+`", which is neither`)
	}
	assert.Contains(t, problem(t, "HTTP_TRUSTED_PROXIES", minimal("HTTP_TRUSTED_PROXIES=::1,")), "has an empty item between commas")
}

func TestValidate_LevelsAndBooleansIgnoreCase(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"debug", "INFO", "Warn", "error"} {
		assert.True(t, strings.EqualFold(level, mustLoad(t, minimal("LOG_LEVEL="+level)).Log.Level.String()))
	}
	for given, want := range map[string]bool{"true": true, "TRUE": true, "1": true, "false": false, "0": false} {
		assert.Equal(t, want, mustLoad(t, minimal("AUTH_ALWAYS_200="+given)).Auth.Always200)
	}
}

func TestValidate_WarnsOfUnwiseSettings(t *testing.T) {
	t.Parallel()
	const unveiled, anonymous, open = "without TLS", "searches are anonymous", "is reachable from other machines"
	for name, c := range map[string]struct {
		environ []string
		want    []string
	}{
		"nothing unwise":                             {minimal(), nil},
		"a certificate that none checks":             {minimal("LDAP_TLS_INSECURE_SKIP_VERIFY=true"), []string{"the directory's certificate is not verified"}},
		"passwords in the clear":                     {minimal("LDAP_URL=ldap://h"), []string{"passwords are sent to ldap://h " + unveiled}},
		"to each such server":                        {minimal("LDAP_URL=ldap://a:389,ldaps://b,ldap://[2001:db8::1]"), []string{"to ldap://a:389 " + unveiled, "to ldap://[2001:db8::1] " + unveiled}},
		"to servers that the DNS names":              {minimal("LDAP_URL=ldap+srv://example.org"), []string{"to ldap+srv://example.org " + unveiled}},
		"not with StartTLS to those":                 {minimal("LDAP_URL=ldap+srv://example.org", "LDAP_START_TLS=true"), nil},
		"not with StartTLS":                          {minimal("LDAP_URL=ldap://h", "LDAP_START_TLS=true"), nil},
		"not on this machine":                        {minimal("LDAP_URL=ldap://localhost,ldap://127.0.0.9:389,ldap://[::1],ldap://[::1]:389,ldapi://%2fs"), nil},
		"a name that looks like loopback":            {minimal("LDAP_URL=ldap://localhost.example.org"), []string{unveiled}},
		"anonymous searches":                         {minimal("LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="), []string{anonymous}},
		"not with a template":                        {template(), nil},
		"an admin listener for all":                  {minimal("ADMIN_ADDR=:9090"), []string{":9090 " + open}},
		"one on every address":                       {minimal("ADMIN_ADDR=0.0.0.0:9090"), []string{"0.0.0.0:9090 " + open}},
		"one for all with the profiler":              {minimal("ADMIN_ADDR=:9090", "ADMIN_PPROF=true"), []string{"no access control, and ADMIN_PPROF=true opens the profiler to every client"}},
		"one on this machine only":                   {minimal("ADMIN_ADDR=[::1]:9090"), nil},
		"an identity that a template has no use for": {template("LDAP_BIND_DN=cn=s", "LDAP_BIND_PASSWORD="+password), []string{"LDAP_BIND_DN: not used, because LDAP_USER_DN_TEMPLATE"}},
		"no certificate that one has a use for":      {template("LDAP_BIND_METHOD=external", "LDAP_URL=ldapi://%2fs"), []string{"LDAP_BIND_METHOD: not used, because LDAP_USER_DN_TEMPLATE"}},
		"searches as the peer of a socket":           {minimal("LDAP_BIND_METHOD=external", "LDAP_URL=ldapi://%2fs", "LDAP_BIND_DN=", "LDAP_BIND_PASSWORD="), nil},
		"a request that outlives its login":          {minimal("AUTH_TIMEOUT=4s"), []string{"LDAP_REQUEST_TIMEOUT: longer than AUTH_TIMEOUT"}},
		"one that lives as long":                     {minimal("AUTH_TIMEOUT=5s"), nil},
		"a client that can use up all":               {minimal("AUTH_THROTTLE_ACCOUNT_FAILURES=9"), []string{"AUTH_THROTTLE_ACCOUNT_FAILURES: less than AUTH_THROTTLE_FAILURES"}},
		"a client's limit that one account uses up":  {minimal("AUTH_THROTTLE_CLIENT_FAILURES=9"), []string{"AUTH_THROTTLE_CLIENT_FAILURES: less than AUTH_THROTTLE_FAILURES"}},
		"a client's limit that many accounts use up": {minimal("AUTH_THROTTLE_CLIENT_FAILURES=10"), nil},
		"no limit for the account":                   {minimal("AUTH_THROTTLE_ACCOUNT_FAILURES=0"), nil},
		"no admin listener":                          {minimal("ADMIN_ADDR="), nil},
		"a required group that is nearly a DN":       {minimal("LDAP_GROUP_BASE_DN=ou=g", "LDAP_REQUIRED_GROUPS=cn=admins,ou=g,"), []string{`LDAP_REQUIRED_GROUPS: "cn=admins,ou=g," looks like a DN`}},
		"one that is, and names":                     {minimal("LDAP_GROUP_BASE_DN=ou=g", "LDAP_REQUIRED_GROUPS=cn=admins,ou=g;a,b;a=;staff"), nil},
		"uniform mode without a throttle": {
			minimal("AUTH_FAILURE_DETAIL=uniform", "AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0"), []string{"AUTH_FAILURE_DETAIL: in uniform mode "}},
		"a decoy that a template has no use for": {
			template("AUTH_FAILURE_DETAIL=uniform", "AUTH_UNIFORM_DECOY_DN=cn=decoy"), []string{"AUTH_UNIFORM_DECOY_DN: not used"}},
		"all that there is": {
			minimal("LDAP_URL=ldap://h", "LDAP_TLS_INSECURE_SKIP_VERIFY=true", "LDAP_BIND_DN=", "LDAP_BIND_PASSWORD=", "ADMIN_ADDR=:0"),
			[]string{"not verified", unveiled, anonymous, open},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			warnings := mustLoad(t, append([]string{"HTTP_ADDR=127.0.0.1:8080"}, c.environ...)).Warnings
			if assert.Len(t, warnings, len(c.want), "%q", warnings) {
				for i, want := range c.want {
					assert.Contains(t, warnings[i], want)
				}
			}
		})
	}
}

func TestDecoy_IsAnEntryOfItsOwnInUniformMode(t *testing.T) {
	t.Parallel()
	const variable = "AUTH_UNIFORM_DECOY_DN"
	uniform := func(more ...string) []string { return minimal(append(more, "AUTH_FAILURE_DETAIL=uniform")...) }
	for name, c := range map[string]struct {
		environ []string
		text    string
	}{
		"a name":                       {uniform(variable + "=decoy"), `"decoy" is not a DN (RFC 4514)`},
		"the root DSE":                 {uniform(variable + "= "), `" " contains only white space`},
		"without uniform mode":         {minimal(variable + "=cn=decoy,dc=x"), "is used only with AUTH_FAILURE_DETAIL=uniform"},
		"the service identity":         {uniform(variable + "=CN=Service, dc=example,DC=org"), `"CN=Service, dc=example,DC=org" is the service identity (LDAP_BIND_DN)`},
		"with a user's principal name": {template(variable+"=cn=decoy,dc=x", "AUTH_FAILURE_DETAIL=uniform", "LDAP_PRESET=ad", "LDAP_USER_DN_TEMPLATE={username}@example.org"), "needs the users' DNs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Contains(t, problem(t, variable, c.environ), variable+": "+c.text)
		})
	}
	mustLoad(t, uniform(variable+"=cn=decoy,dc=example,dc=org"))
	mustLoad(t, template(variable+"=cn=decoy,dc=x", "AUTH_FAILURE_DETAIL=uniform", "LDAP_PRESET=389ds"))
}

func TestAddress_MappedOneIsTheIPv4Address(t *testing.T) {
	t.Parallel()
	const own = "[::ffff:127.0.0.1]"
	assert.Contains(t, problem(t, "ADMIN_ADDR", minimal("ADMIN_ADDR="+own+":80", "HTTP_ADDR=127.0.0.1:80")), "must differ from HTTP_ADDR")
	assert.Contains(t, problem(t, "LDAP_URL", minimal("LDAP_URL=ldaps://192.0.2.1,ldaps://[::ffff:192.0.2.1]")), `"ldaps://192.0.2.1" is listed twice`)
	assert.Empty(t, mustLoad(t, minimal("LDAP_URL=ldap://"+own, "ADMIN_ADDR="+own+":80", "HTTP_ADDR="+own+":81")).Warnings)
}

func TestClearText_WarnsUnlessCallersAreOnThisMachine(t *testing.T) {
	t.Parallel()
	pair := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{})
	keys := "AUTH_API_KEYS_FILE=" + file(t, "shop "+hashed("key")+"\n")
	secure := []string{"HTTP_TLS_CERT_FILE=" + pair.CertFile, "HTTP_TLS_KEY_FILE=" + pair.KeyFile}
	for _, addr := range []string{":8080", "0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[::ffff:192.0.2.1]:80", "authsvc.example.org:80"} {
		warnings := mustLoad(t, minimal("HTTP_ADDR="+addr)).Warnings
		if assert.Len(t, warnings, 1, addr) {
			assert.Equal(t, "HTTP_ADDR: passwords are sent to "+addr+" without TLS unless a proxy on this machine terminates it; set HTTP_TLS_CERT_FILE, "+
				"and set AUTH_API_KEYS_FILE to admit only known callers; or listen on 127.0.0.1 if all callers are on this machine", warnings[0])
		}
		warnings = mustLoad(t, minimal("HTTP_ADDR="+addr, keys)).Warnings
		if assert.Len(t, warnings, 1, addr) {
			assert.Contains(t, warnings[0], "AUTH_API_KEYS_FILE: keys and passwords are sent to "+addr+" without TLS")
		}
		assert.Empty(t, mustLoad(t, minimal(append(secure, "HTTP_ADDR="+addr)...)).Warnings, addr)
	}
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80", "localhost:80", "[::ffff:127.0.0.1]:80"} {
		assert.Empty(t, mustLoad(t, minimal("HTTP_ADDR="+addr)).Warnings, addr)
		assert.Empty(t, mustLoad(t, minimal("HTTP_ADDR="+addr, keys)).Warnings, addr)
	}
}
