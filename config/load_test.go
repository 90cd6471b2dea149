package config_test

import (
	"path/filepath"
	"slices"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoad_ReportsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{
		"LDAP_URL=ldap.example.org", "LDAP_USER_FILTER=(uid=name)", "LDAP_BIND_DN=cn=service", "LDAP_DIAL_TIMEOUT=5",
		"LDAP_POOL_MAX_CONNS=0", "HTTP_ADDR=8080", "LOG_FORMAT=xml", "LDAP_STARTTLS=true", "AUTH_THROTTLE_REDIS_URL=x",
	})
	assert.EqualError(t, err, `invalid configuration:
  LDAP_STARTTLS: unknown variable; did you mean LDAP_START_TLS?
  LDAP_DIAL_TIMEOUT: "5" is not a duration with a unit, such as 5s or 2m; for example LDAP_DIAL_TIMEOUT=3s
  LDAP_URL: "ldap.example.org" is not a URL; for example LDAP_URL=ldap://ldap1.example.org,ldaps://ldap2.example.org
  LDAP_BIND_PASSWORD: is required with LDAP_BIND_DN, either this variable or LDAP_BIND_PASSWORD_FILE; for example LDAP_BIND_PASSWORD=the service identity's password
  LDAP_BASE_DN: is required unless LDAP_USER_DN_TEMPLATE is set; for example LDAP_BASE_DN=ou=people,dc=example,dc=org
  LDAP_USER_FILTER: "(uid=name)" has no {username}; for example LDAP_USER_FILTER=(&(objectClass=person)(uid={username}))
  LDAP_POOL_MAX_CONNS: "0" must be between 2 and 10000; for example LDAP_POOL_MAX_CONNS=32
  LOG_FORMAT: "xml" is not one of json, text; for example LOG_FORMAT=text
  AUTH_THROTTLE_REDIS_URL: must begin with redis://, rediss:// or unix://; for example AUTH_THROTTLE_REDIS_URL=redis://redis.example.org:6379
  HTTP_ADDR: "8080" must be host:port with a port from 0 to 65535; for example HTTP_ADDR=:8080`)
}

func TestLoad_EveryVariableCanBeWrongAtOnce(t *testing.T) {
	t.Parallel()
	var environ, want, got []string
	for variable, c := range variableCases(t) {
		// With a template, search variables have no problem except that the template excludes them.
		// A certificate without a key has no problem of its own.
		if c.message != "" && !slices.Contains([]string{"LDAP_USER_DN_TEMPLATE", "LDAP_CERT_FILE", "HTTP_TLS_CERT_FILE", "AUTH_THROTTLE_REDIS_CERT_FILE"}, variable) {
			environ = append(environ, variable+"="+c.bad)
			want = append(want, variable)
		}
	}
	for _, p := range problems(t, environ) {
		got = append(got, p.Variable)
	}
	assert.ElementsMatch(t, want, got)
}

func TestLoad_EmptyEnvironmentHasTwoProblems(t *testing.T) {
	t.Parallel()
	all := problems(t, nil)
	require.Len(t, all, 2)
	assert.Equal(t, "LDAP_URL", all[0].Variable)
	assert.Equal(t, "LDAP_BASE_DN", all[1].Variable)
}

func TestLoad_IgnoresTheEnvironmentOfTheProcess(t *testing.T) {
	for _, v := range minimal("LDAP_BIND_PASSWORD_FILE=/nonexistent", "LDAP_URI=x", "AUTH_TIMEOUT=5") {
		name, value := cut(v)
		t.Setenv(name, value)
	}
	for _, environ := range [][]string{nil, {}} {
		all := problems(t, environ)
		require.Len(t, all, 2)
		assert.Equal(t, "LDAP_URL: is required; for example LDAP_URL="+config.SampleValues()["LDAP_URL"], all[0].String())
	}
	assert.Empty(t, mustLoad(t, template()).LDAP.BindDN)
}

func TestLoad_EmptyVariableCountsAsUnset(t *testing.T) {
	t.Parallel()
	want := mustLoad(t, minimal())
	var empty []string
	for _, variable := range config.Variables() {
		if variable != "ADMIN_ADDR" {
			empty = append(empty, variable+"=")
		}
	}
	empty = append(empty, "LDAP_BIND_PASSWORD_FILE=", "LDAP_URI=", "LDAP_PRESET=", "AUTH_THROTTLE_REDIS_URL=")
	assert.Equal(t, want, mustLoad(t, append(empty, minimal()...)))
}

func TestLoad_LastOfSeveralValuesCounts(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal("LOG_FORMAT=xml", "no equals sign", "=", "", "LOG_FORMAT=text"))
	assert.Equal(t, "text", c.Log.Format)
	assert.Equal(t, "json", mustLoad(t, minimal("LOG_FORMAT=text", "LOG_FORMAT=")).Log.Format)
}

func TestSecret_IsReadFromAFile(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		password: password, password + "\n": password, password + "\r\n": password,
		password + "\n\n": password + "\n", password + " ": password + " ", "\n" + password: "\n" + password, "a=b\nc": "a=b\nc",
	} {
		c := mustLoad(t, minimal("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+file(t, content)))
		assert.Equal(t, want, c.LDAP.BindPassword.Reveal())
	}
}

func TestSecret_RejectsAnUnusableFile(t *testing.T) {
	t.Parallel()
	missing, folder := filepath.Join(t.TempDir(), "missing"), t.TempDir()
	for name, c := range map[string]struct{ path, text string }{
		"missing":        {missing, "the file " + missing + " cannot be read: no such file or directory"},
		"a folder":       {folder, "the file " + folder + " cannot be read: is a directory"},
		"empty":          {file(t, ""), "is empty"},
		"a newline only": {file(t, "\r\n"), "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := problem(t, "LDAP_BIND_PASSWORD_FILE", minimal("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+c.path))
			assert.Contains(t, text, c.text)
			assert.Contains(t, text, "; for example LDAP_BIND_PASSWORD_FILE=/run/secrets/ldap_bind_password")
		})
	}
}

func TestSecret_AndItsFileExcludeEachOther(t *testing.T) {
	t.Parallel()
	text := problem(t, "LDAP_BIND_PASSWORD_FILE", minimal("LDAP_BIND_PASSWORD_FILE="+file(t, password+"-too")))
	assert.Equal(t, "LDAP_BIND_PASSWORD_FILE: is set, and so is LDAP_BIND_PASSWORD: remove one of them", text)
	problem(t, "LDAP_BIND_PASSWORD_FILE", minimal("LDAP_BIND_PASSWORD_FILE=/nonexistent"))
}

func TestLoad_ReadsTheListenAddressAlone(t *testing.T) {
	t.Parallel()
	for want, environ := range map[string][]string{
		":8080":          nil,
		":9":             {"HTTP_ADDR=:9"},
		"[::1]:80":       {"HTTP_ADDR=:9", "HTTP_ADDR=[::1]:80", "LDAP_URL=nonsense", "HTTP_ADRR=x"},
		"127.0.0.1:8081": {"HTTP_ADDR=127.0.0.1:8081", "ADMIN_ADDR=nonsense"},
	} {
		addr, err := config.HTTPAddr(environ)
		require.NoError(t, err)
		assert.Equal(t, want, addr)
	}
	addr, err := config.HTTPAddr([]string{"HTTP_ADDR="})
	require.NoError(t, err)
	assert.Equal(t, ":8080", addr)
	_, err = config.HTTPAddr([]string{"HTTP_ADDR=8080"})
	assert.EqualError(t, err, "invalid configuration:\n"+
		`  HTTP_ADDR: "8080" must be host:port with a port from 0 to 65535; for example HTTP_ADDR=:8080`)
}
