package config_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"
	"authsvc/internal/memtest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hashed is the second word of a key's line.
func hashed(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func TestAPIKeys_AreReadLineByLine(t *testing.T) {
	t.Parallel()
	content := "# who may call\n\nshop " + hashed("one") + "\n  till.2\t \t" + strings.ToUpper(hashed("two")) + "  \r\n\t\n   # not this one\nshop " + hashed("three")
	c := mustLoad(t, minimal("AUTH_API_KEYS_FILE="+file(t, content)))
	keys, err := c.Auth.APIKeys()
	require.NoError(t, err)
	require.Equal(t, []config.APIKey{
		{Name: "shop", SHA256: sha256.Sum256([]byte("one"))}, {Name: "till.2", SHA256: sha256.Sum256([]byte("two"))},
		{Name: "shop", SHA256: sha256.Sum256([]byte("three"))},
	}, keys)
}

func TestAPIKeys_ErrorNamesLineAndRule(t *testing.T) {
	t.Parallel()
	const (
		line  = "must be a name and the SHA-256 of a key in hexadecimal, separated by white space"
		name  = "the name must be 1 to 64 characters of A-Z a-z 0-9 . _ -"
		hash  = "the SHA-256 must be 64 hexadecimal digits"
		empty = "the SHA-256 is that of an empty key: compute it from the key"
	)
	good := "shop " + hashed("one") + "\n"
	for content, want := range map[string]string{
		"":                     ": contains no key, so every caller would be refused",
		"\n# no key\n \t\r\n":  ": contains no key, so every caller would be refused",
		password:               ": line 1: " + line,
		good + password + "\n": ": line 2: " + line,
		"\n#\n" + good + "shop " + hashed("two") + " x\n": ": line 4: " + line,
		"shop " + hashed("one") + " # a remark":           ": line 1: " + line,
		"shop:" + hashed("one"):                           ": line 1: " + line,
		"shop\u00a0" + hashed("one"):                      ": line 1: " + line,
		"shöp " + hashed("one"):                           ": line 1: " + name,
		"a\x00b " + hashed("one"):                         ": line 1: " + name,
		"\ufeff" + good:                                   ": line 1: " + name,
		`"shop" ` + hashed("one"):                         ": line 1: " + name,
		strings.Repeat("x", 65) + " " + hashed("one"):     ": line 1: " + name,
		"shop " + password:                                ": line 1: " + hash,
		"shop " + hashed("one")[1:]:                       ": line 1: " + hash,
		"shop " + hashed("one") + "00":                    ": line 1: " + hash,
		"shop " + hashed("one")[1:] + "g":                 ": line 1: " + hash,
		"shop " + hashed(""):                              ": line 1: " + empty,
		good + "\ntill " + hashed("one"):                  ": line 3: the key occurs twice: each caller needs its own",
		good + strings.Repeat("#\n", 1<<19):               ": must be at most 1048576 bytes",
		good + "shop " + hashed("two") + "\r" + good:      ": line 2: " + line,
	} {
		path := file(t, content)
		text := problem(t, "AUTH_API_KEYS_FILE", minimal("AUTH_API_KEYS_FILE="+path))
		assert.Equal(t, "AUTH_API_KEYS_FILE: "+path+want+"; for example AUTH_API_KEYS_FILE=/etc/authsvc/api-keys", text)
		assert.NotContains(t, text, password, "it may be a key that somebody forgot to hash")
	}
	c := mustLoad(t, minimal("AUTH_API_KEYS_FILE="+file(t, good)))
	require.NoError(t, os.WriteFile(c.Auth.APIKeysFile, []byte("x\n"+good+"till "+hashed("two")[1:]), 0o600))
	keys, err := c.Auth.APIKeys()
	require.ErrorContains(t, err, ": line 1: "+line)
	require.Equal(t, []config.APIKey{{Name: "shop", SHA256: sha256.Sum256([]byte("one"))}}, keys, "the lines that are right")
	text := problem(t, "AUTH_API_KEYS_FILE", minimal("AUTH_API_KEYS_FILE=/nowhere/keys"))
	assert.Contains(t, text, "cannot be read: ")
}

func TestListenerTLS_KeyFitsItsCertificateAndAuthoritiesNeedBoth(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	problem(t, "HTTP_TLS_KEY_FILE", minimal("HTTP_TLS_CERT_FILE="+cert.CertFile))
	problem(t, "HTTP_TLS_CERT_FILE", minimal("HTTP_TLS_KEY_FILE="+cert.KeyFile))
	problem(t, "HTTP_TLS_CERT_FILE", minimal("HTTP_TLS_CLIENT_CA_FILE="+ca.File()))
	problem(t, "HTTP_TLS_CERT_FILE", minimal("HTTP_TLS_CERT_FILE="+cert.CertFile, "HTTP_TLS_KEY_FILE="+ca.Issue(t, ldaptest.CertConfig{}).KeyFile))
}

func TestAPIKeys_EmptyFileIsAnErrorUnlessCertificatesAreAccepted(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	tls := []string{"HTTP_TLS_CERT_FILE=" + cert.CertFile, "HTTP_TLS_KEY_FILE=" + cert.KeyFile}
	keys := "AUTH_API_KEYS_FILE=" + file(t, "# none any more\n")
	assert.Contains(t, problem(t, "AUTH_API_KEYS_FILE", minimal(append(tls, keys)...)), "contains no key, so every caller would be refused")
	c := mustLoad(t, minimal(append(tls, keys, "HTTP_TLS_CLIENT_CA_FILE="+ca.File())...))
	assert.Equal(t, []string{"AUTH_API_KEYS_FILE: contains no key, so only callers with a certificate are admitted"}, c.Warnings)
}

func TestListenerTLS_IsMadeOfItsFiles(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	none, err := mustLoad(t, minimal()).HTTP.TLSConfig()
	require.NoError(t, err)
	require.Nil(t, none)
	environ := minimal("HTTP_TLS_CERT_FILE="+cert.CertFile, "HTTP_TLS_KEY_FILE="+cert.KeyFile)
	require.True(t, config.HTTPS(environ))
	require.False(t, config.HTTPS(minimal()))
	c, err := mustLoad(t, environ).HTTP.TLSConfig()
	require.NoError(t, err)
	require.Equal(t, cert.TLS.Certificate, c.Certificates[0].Certificate)
	require.Equal(t, uint16(tls.VersionTLS12), c.MinVersion)
	require.Equal(t, tls.NoClientCert, c.ClientAuth)
	cfg := mustLoad(t, append(environ, "HTTP_TLS_CLIENT_CA_FILE="+ca.File()))
	c, err = cfg.HTTP.TLSConfig()
	require.NoError(t, err)
	require.Equal(t, tls.RequestClientCert, c.ClientAuth)
	require.True(t, ca.Pool().Equal(c.ClientCAs))
	require.NoError(t, os.Remove(cert.KeyFile))
	_, err = cfg.HTTP.TLSConfig()
	require.ErrorContains(t, err, "HTTP_TLS_CERT_FILE: ")
}

func TestAPIKeys_WarnIfSentInTheClear(t *testing.T) {
	t.Parallel()
	keys := "AUTH_API_KEYS_FILE=" + file(t, "shop "+hashed("one"))
	require.Contains(t, strings.Join(mustLoad(t, minimal(keys)).Warnings, "\n"), "AUTH_API_KEYS_FILE: keys and passwords are sent to :8080 without TLS")
	require.Empty(t, mustLoad(t, minimal(keys, "HTTP_ADDR=127.0.0.1:8080")).Warnings)
	cert := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{})
	require.Empty(t, mustLoad(t, minimal(keys, "HTTP_TLS_CERT_FILE="+cert.CertFile, "HTTP_TLS_KEY_FILE="+cert.KeyFile)).Warnings)
}

func FuzzAPIKeys(f *testing.F) {
	f.Add("shop " + hashed("one"))
	f.Add("# none\n\n")
	f.Add("a " + hashed("one") + "\r\nb\t" + hashed("two") + "\n")
	f.Add("a " + hashed(""))
	f.Fuzz(func(t *testing.T, content string) {
		var keys []config.APIKey
		memtest.Bound(t, len(content), 64<<10, 100, func() { keys, _ = config.ParseAPIKeys([]byte(content)) })
		require.NotNil(t, keys, "the file could be read")
		seen := map[[sha256.Size]byte]bool{}
		for _, k := range keys {
			require.False(t, seen[k.SHA256])
			seen[k.SHA256] = true
			require.Regexp(t, `^[A-Za-z0-9._-]{1,64}$`, k.Name)
			require.Contains(t, strings.ToLower(content), hex.EncodeToString(k.SHA256[:]))
		}
	})
}
