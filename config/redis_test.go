package config_test

import (
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const redisVariable = "AUTH_THROTTLE_REDIS_URL"

func TestRedis_URLNamesTheServer(t *testing.T) {
	t.Parallel()
	assert.Zero(t, mustLoad(t, minimal()).Auth.Redis)
	for given, want := range map[string]config.Redis{
		"redis://redis.example.org":                                     {Addrs: []string{"redis.example.org:6379"}},
		"redis://redis.example.org:6380/3":                              {Addrs: []string{"redis.example.org:6380"}, DB: 3},
		"rediss://[2001:db8::1]":                                        {Addrs: []string{"[2001:db8::1]:6379"}, TLS: true},
		"redis://authsvc:" + password + "@a":                            {Addrs: []string{"a:6379"}, Username: "authsvc"},
		"unix:///run/redis/redis.sock?db=2":                             {Addrs: []string{"/run/redis/redis.sock"}, DB: 2},
		"unix://authsvc:" + password + "@/run/redis.sock":               {Addrs: []string{"/run/redis.sock"}, Username: "authsvc"},
		"redis://a?master_name=main&addr=b:1&addr=c/":                   {},
		"redis://a?master_name=main&addr=b:1&addr=c&addr=a":             {Addrs: []string{"a:26379", "b:1", "c:26379"}, Master: "main"},
		"redis://a?master_name=m&sentinel_username=s&db=1":              {Addrs: []string{"a:26379"}, Master: "m", SentinelUsername: "s", DB: 1},
		"rediss://a:7000?addr=b:7001&addr=c:7002":                       {Addrs: []string{"a:7000", "b:7001", "c:7002"}, Cluster: true, TLS: true},
		"redis://:" + password + "@a?master_name=m&sentinel_password=x": {Addrs: []string{"a:26379"}, Master: "m"},
	} {
		if want.Addrs == nil {
			problem(t, redisVariable, minimal(redisVariable+"="+given))
			continue
		}
		got := mustLoad(t, minimal(redisVariable+"="+given)).Auth.Redis
		for _, secret := range []*config.Secret{&got.Password, &got.SentinelPassword} {
			assert.Contains(t, []string{"", password, "x"}, secret.Reveal(), given)
			*secret = config.Secret{}
		}
		assert.Equal(t, want, got, given)
	}
}

// TestRedis_ErrorShowsNothingOfTheURL: a password may stand anywhere in a URL that is wrong.
func TestRedis_ErrorShowsNothingOfTheURL(t *testing.T) {
	t.Parallel()
	for given, says := range map[string]string{
		password: "must begin with", "http://x:" + password + "@a": "must begin with", password + ":6379": "must begin with",
		"redis://x:" + password + "%@a": "is not a URL", "redis://x:" + password + "/y@a": "is not a URL", "redis://x:#" + password + "@a": "escaped (%23)",
		"redis://": "must have a host", "redis://x:" + password + "@": "must have a host", "redis://x:" + password + "@:6379": "must have a host",
		"redis://a:99999?x": "has a parameter that is not", "redis://a:99999": "port", "redis://a/" + password: "is not a number",
		"redis://a?addr=" + password + "@b": "each addr is host:port", "redis://a?password=" + password: "has a parameter that is not",
		"redis://a?db=1&db=2": "db twice", "redis://a/1?db=1": "keep one", "redis://a?master_name=": "empty master_name",
		"redis://a?sentinel_password=" + password: "no master_name", "redis://a/1?addr=b": "only database 0", "redis://a?x=%zz" + password: "cannot be read",
		"unix://run/redis.sock": "absolute path", "unix:///s?addr=b": "does not fit a Unix socket", "unix:" + password: "URL of redis://",
	} {
		_, err := config.Load(minimal(redisVariable + "=" + given))
		require.Error(t, err, given)
		hides(t, err.Error(), given)
		assert.Contains(t, err.Error(), says, given)
		assert.Contains(t, err.Error(), "; for example AUTH_THROTTLE_REDIS_URL=redis://redis.example.org:6379", given)
	}
}

func TestRedis_URLIsASecret(t *testing.T) {
	t.Parallel()
	url := "redis://authsvc:" + password + "@127.0.0.1"
	for _, environ := range [][]string{minimal(redisVariable + "=" + url), minimal(redisVariable + "_FILE=" + file(t, url+"\n"))} {
		c := mustLoad(t, environ)
		assert.Equal(t, password, c.Auth.Redis.Password.Reveal())
		for _, s := range c.Settings() {
			hides(t, s.Value, s.Name)
			if s.Name == redisVariable {
				assert.Equal(t, "[redacted]", s.Value)
			}
		}
		for _, w := range c.Warnings {
			hides(t, w, "a warning")
		}
	}
	text := problem(t, redisVariable+"_FILE", minimal(redisVariable+"_FILE="+file(t, password)))
	hides(t, text, "a wrong URL in a file")
}

func TestRedis_FilesNeedTLSAndEachOther(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	pair := ca.Issue(t, ldaptest.CertConfig{Client: true})
	const tls, plain = redisVariable + "=rediss://127.0.0.1", redisVariable + "=redis://127.0.0.1"
	const caVariable, certVariable, keyVariable = "AUTH_THROTTLE_REDIS_CA_FILE", "AUTH_THROTTLE_REDIS_CERT_FILE", "AUTH_THROTTLE_REDIS_KEY_FILE"
	assert.Contains(t, problem(t, caVariable, minimal(caVariable+"="+ca.File())), "is used only with AUTH_THROTTLE_REDIS_URL")
	assert.Contains(t, problem(t, caVariable, minimal(plain, caVariable+"="+ca.File())), "begin AUTH_THROTTLE_REDIS_URL with rediss://")
	assert.Contains(t, problem(t, keyVariable, minimal(tls, certVariable+"="+pair.CertFile)), "is required with "+certVariable)
	assert.Contains(t, problem(t, certVariable, minimal(tls, keyVariable+"="+pair.KeyFile)), "is required with "+keyVariable)

	auth := mustLoad(t, minimal(tls, caVariable+"="+ca.File(), certVariable+"="+pair.CertFile, keyVariable+"="+pair.KeyFile)).Auth
	c, err := auth.RedisTLSConfig()
	require.NoError(t, err)
	assert.True(t, c.RootCAs.Equal(ca.Pool()))
	cert, err := c.GetClientCertificate(nil)
	require.NoError(t, err)
	assert.Equal(t, pair.TLS.Certificate, cert.Certificate)

	auth = mustLoad(t, minimal(plain)).Auth
	c, err = auth.RedisTLSConfig()
	require.NoError(t, err)
	assert.Nil(t, c)
}

func TestRedis_NeedsALimit(t *testing.T) {
	t.Parallel()
	off := minimal(redisVariable+"=redis://127.0.0.1", "AUTH_THROTTLE_FAILURES=0", "AUTH_THROTTLE_ACCOUNT_FAILURES=0")
	assert.Contains(t, problem(t, redisVariable, off), "has nothing to share")
	mustLoad(t, append(off, "AUTH_THROTTLE_CLIENT_FAILURES=5"))
}

func TestRedis_WarnsOfWhatWeakensIt(t *testing.T) {
	t.Parallel()
	for url, says := range map[string][]string{
		"redis://:" + password + "@127.0.0.1": nil, "rediss://:" + password + "@redis.example.org": nil, "unix:///run/redis.sock": nil,
		"redis://:" + password + "@redis.example.org": {"are sent to redis.example.org:6379 without TLS"},
		"rediss://redis.example.org":                  {"has no password"},
		"redis://127.0.0.1?addr=redis.example.org":    {"are sent to redis.example.org:6379 without TLS", "has no password"},
	} {
		warnings := mustLoad(t, quiet(redisVariable+"="+url)).Warnings
		require.Len(t, warnings, len(says), "%s: %v", url, warnings)
		for i, text := range says {
			assert.Contains(t, warnings[i], redisVariable+": ")
			assert.Contains(t, warnings[i], text)
		}
	}
}
