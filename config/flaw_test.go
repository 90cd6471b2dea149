package config_test

import (
	"strings"
	"testing"

	"authsvc/config"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// texts are right values of every variable of a DN, a filter, a template, a URL or a name, with
// what else they need.
func texts() map[string][]string {
	groups := "LDAP_GROUP_BASE_DN=ou=groups,dc=x"
	return map[string][]string{
		"LDAP_URL=ldaps://h": nil, "LDAP_TLS_SERVER_NAME=host": nil, "LDAP_PRESET=389ds": nil, "LDAP_SERVER_POLICY=failover": nil,
		"LDAP_BIND_DN=cn=service": nil, "LDAP_BASE_DN=dc=x": nil, "LDAP_USER_FILTER=(uid={username})": nil, "LDAP_USER_SCOPE=sub": nil,
		"LDAP_USER_NAME_ATTRIBUTE=uid": nil, "LDAP_ATTRIBUTES=cn": nil, "LDAP_GROUP_BASE_DN=ou=groups,dc=x": nil, "LDAP_BIND_RETRY=unsent": nil,
		"LDAP_GROUP_FILTER=(member={dn})": {groups}, "LDAP_GROUP_NAME_ATTRIBUTE=cn": {groups}, "LDAP_REQUIRED_GROUPS=staff": {groups},
		"LDAP_USER_DN_TEMPLATE=uid={username},dc=x": {"LDAP_BASE_DN="}, "AUTH_UNIFORM_DECOY_DN=cn=decoy,dc=x": {"AUTH_FAILURE_DETAIL=uniform"},
		"HTTP_HOSTS=authsvc": nil, "ADMIN_HOSTS=authsvc": nil, "HTTP_TRUSTED_PROXIES=10.0.0.0/8": nil, "LOG_FORMAT=text": nil,
	}
}

func TestText_RejectsInvisibleCharacters(t *testing.T) {
	t.Parallel()
	for given, with := range texts() {
		name, value := cut(given)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustLoad(t, append(minimal(with...), given))
			for bad, want := range map[string]string{
				value + "\n":                   "has a control character at its end: a line feed",
				value + "\r\n":                 "has a control character in byte ",
				"\t" + value:                   "has a control character at its beginning: a tab",
				value + "\x00":                 "has a control character at its end: NUL",
				value + "\u0085":               "has a control character at its end: U+0085",
				value[:1] + "\x1b" + value[1:]: "has a control character in byte 2: U+001B",
				" " + value:                    "begins with white space: a space",
				value + " ":                    "ends with white space: a space",
				value + "\u00a0":               "ends with white space: a no-break space",
				value + "\u3000":               "ends with white space: U+3000",
				"\ufeff" + value:               "begins with white space: a byte order mark",
				"\u200b" + value:               "begins with white space: a zero width space",
				`"` + value + `"`:              "is in quotes, which would become part of the value: remove them",
				"'" + value + "'":              "is in quotes, which would become part of the value: remove them",
				value[:1] + "\xff" + value[1:]: "is not valid UTF-8",
			} {
				text := problem(t, name, append(minimal(with...), name+"="+bad))
				assert.True(t, strings.HasPrefix(text, name+": "+want), text)
			}
		})
	}
}

func TestText_KeepsAnEscapedSpaceAtTheEnd(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `cn=service\ `, mustLoad(t, minimal(`LDAP_BIND_DN=cn=service\ `)).LDAP.BindDN)
	assert.Equal(t, `cn=service\\\ `, mustLoad(t, minimal(`LDAP_BIND_DN=cn=service\\\ `)).LDAP.BindDN)
	for _, bad := range []string{`cn=service\\ `, `cn=service\  `} {
		assert.Contains(t, problem(t, "LDAP_BIND_DN", minimal("LDAP_BIND_DN="+bad)), "ends with white space")
	}
}

func TestText_OfAListIsCheckedItemByItem(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, minimal("LDAP_URL=ldaps://a,\n ldaps://b\n", "LDAP_BASE_DN=dc=x;\n dc=y"))
	assert.Equal(t, config.List{"ldaps://a", "ldaps://b"}, c.LDAP.URLs)
	for given, want := range map[string]string{
		"LDAP_BASE_DN=dc=x;dc=\ny":       "has a name that has a control character in byte 4: a line feed",
		"LDAP_BASE_DN=dc=x;\u00a0dc=y":   "has a name that begins with white space: a no-break space",
		"LDAP_ATTRIBUTES=cn,\u200bmail":  "has an item that begins with white space: a zero width space",
		`LDAP_URL=ldaps://a,"ldaps://b"`: "has an item that is in quotes",
		"HTTP_HOSTS=a,b\x00":             "has an item that has a control character at its end: NUL",
		"LDAP_BASE_DN=dc=x ; dc=y\u3000": "has a name that ends with white space: U+3000",
	} {
		name, _ := cut(given)
		assert.Contains(t, problem(t, name, minimal(given)), want)
	}
}

func TestText_OfAFileIsChecked(t *testing.T) {
	t.Parallel()
	path := file(t, "x")
	for _, variable := range fileVariables {
		_, err := config.Load(minimal("LDAP_BIND_PASSWORD=", variable+"="+path+"\n"))
		require.Error(t, err)
		assert.Contains(t, err.Error(), variable+": has a control character at its end: a line feed")
	}
}

func TestAddress_RejectsInvisibleCharacters(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"HTTP_ADDR", "ADMIN_ADDR"} {
		for _, bad := range []string{" 127.0.0.1:80", "127.0.0.1\n:80", "\u00a0:80"} {
			problem(t, variable, minimal(variable+"="+bad))
		}
	}
}

func TestSecret_IsUsedAsGivenWithAWarning(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"a b\tc\"d": "", "\x00b": "begins with NUL", "a\nb": "",
		"x\n": "ends with a line feed", "x\r": "ends with a carriage return", " x": "begins with a space", "x\u00a0": "ends with a no-break space",
		`"x"`: "begins with a quote and ends with a quote", "'x": "begins with a quote", "x\u201d": "ends with a quote",
		"\ufeffx": "begins with a byte order mark", "\xff\xfex\x00": "begins with a byte order mark (UTF-16) and ends with NUL",
		" ": "begins with a space and ends with a space",
	} {
		c := mustLoad(t, quiet("LDAP_BIND_PASSWORD="+value))
		assert.Equal(t, value, c.LDAP.BindPassword.Reveal())
		if want == "" {
			assert.Empty(t, c.Warnings, "%q", value)
			continue
		}
		if assert.Len(t, c.Warnings, 1, "%q", value) {
			assert.Equal(t, "LDAP_BIND_PASSWORD: the secret "+want+", which is used as part of the secret; remove it if it does not belong there", c.Warnings[0])
		}
	}
}

func TestSecret_OfAFileLosesOneLineEnd(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]struct{ value, warning string }{
		"x":         {"x", ""},
		"x\n":       {"x", ""},
		"x\r\n":     {"x", ""},
		"x\r":       {"x\r", "ends with a carriage return"},
		"x\n\n":     {"x\n", "ends with a line feed"},
		"x\r\n\r\n": {"x\r\n", "ends with a line feed"},
		"x\r\r\n":   {"x\r", "ends with a carriage return"},
		"x \n":      {"x ", "ends with a space"},
		"\ufeffx\n": {"\ufeffx", "begins with a byte order mark"},
		"\"x\"\n":   {`"x"`, "begins with a quote and ends with a quote"},
	} {
		c := mustLoad(t, quiet("LDAP_BIND_PASSWORD=", "LDAP_BIND_PASSWORD_FILE="+file(t, content)))
		assert.Equal(t, want.value, c.LDAP.BindPassword.Reveal(), "%q", content)
		if want.warning == "" {
			assert.Empty(t, c.Warnings, "%q", content)
		} else if assert.Len(t, c.Warnings, 1, "%q", content) {
			assert.Contains(t, c.Warnings[0], "LDAP_BIND_PASSWORD_FILE: the secret "+want.warning)
		}
	}
}
