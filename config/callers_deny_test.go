package config_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"authsvc/config"
	"authsvc/internal/ldaptest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// colons writes a fingerprint as OpenSSL does.
func colons(digits string) string {
	var pairs []string
	for i := 0; i < len(digits); i += 2 {
		pairs = append(pairs, strings.ToUpper(digits[i:i+2]))
	}
	return strings.Join(pairs, ":")
}

// denying is the least environment with a file of denied certificates.
func denying(t *testing.T, path string) []string {
	t.Helper()
	ca := ldaptest.NewCA(t)
	cert := ca.Issue(t, ldaptest.CertConfig{})
	return minimal("HTTP_TLS_CERT_FILE="+cert.CertFile, "HTTP_TLS_KEY_FILE="+cert.KeyFile,
		"HTTP_TLS_CLIENT_CA_FILE="+ca.File(), "HTTP_TLS_CLIENT_DENY_FILE="+path)
}

func TestDeniedCertificates_AreReadLineByLine(t *testing.T) {
	t.Parallel()
	one, two, three, four := hashed("1"), hashed("2"), hashed("3"), hashed("4")
	content := "# stolen\n\n" + one + "\n \t" + strings.ToUpper(two) + " # till 2\r\n" + colons(three) + "#x\nsha256 Fingerprint=" + colons(four) +
		"\nSHA256 FINGERPRINT=" + strings.ToLower(colons(one))
	denied, err := mustLoad(t, denying(t, file(t, content))).HTTP.DeniedCertificates()
	require.NoError(t, err)
	want := map[[sha256.Size]byte]bool{}
	for _, s := range []string{"1", "2", "3", "4"} {
		want[sha256.Sum256([]byte(s))] = true
	}
	require.Equal(t, want, denied)
}

func TestDeniedCertificates_AcceptTheFormatOfOpenSSL(t *testing.T) {
	t.Parallel()
	cert := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true})
	printed, err := exec.Command("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", cert.CertFile).Output()
	require.NoError(t, err)
	denied, err := config.ParseFingerprints(printed)
	require.NoError(t, err)
	require.Equal(t, map[[sha256.Size]byte]bool{sha256.Sum256(cert.TLS.Certificate[0]): true}, denied)
}

func TestDeniedCertificates_ErrorNamesLineAndRule(t *testing.T) {
	t.Parallel()
	const rule = "must be the SHA-256 fingerprint of a certificate: 64 hexadecimal digits, with or without colons"
	good := hashed("one")
	for _, line := range []string{
		good[1:], good + "0", good[2:], good + "00", good[:63] + "g", "till " + good, good + " till", colons(good) + ":", ":" + colons(good),
		colons(good)[1:] + "0", strings.Replace(colons(good), ":", "", 1), good[:40], "sha1 Fingerprint=" + good, "-----BEGIN CERTIFICATE-----", "\ufeff" + good,
		strings.Repeat("0:", 31) + "0", good[:2] + "::" + colons(good[2:]),
	} {
		denied, err := config.ParseFingerprints([]byte("#\n" + hashed("two") + "\n" + line + "\n" + hashed("three")))
		require.EqualError(t, err, "line 3: "+rule, line)
		require.Len(t, denied, 2, "the lines that are right")
	}
	path := file(t, "x")
	assert.Equal(t, "HTTP_TLS_CLIENT_DENY_FILE: "+path+": line 1: "+rule+"; for example HTTP_TLS_CLIENT_DENY_FILE=/etc/authsvc/denied-certificates",
		problem(t, "HTTP_TLS_CLIENT_DENY_FILE", denying(t, path)))
	assert.Contains(t, problem(t, "HTTP_TLS_CLIENT_DENY_FILE", denying(t, "/nowhere/denied")), "cannot be read: ")
	assert.Contains(t, problem(t, "HTTP_TLS_CLIENT_CA_FILE", minimal("HTTP_TLS_CLIENT_DENY_FILE="+file(t, ""))), "is required with HTTP_TLS_CLIENT_DENY_FILE")
	_, err := config.ParseFingerprints([]byte(strings.Repeat("#\n", 1<<19+1)))
	require.EqualError(t, err, "must be at most 1048576 bytes")
}

func TestDeniedCertificates_EmptyFileDeniesNothing(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, denying(t, file(t, "")))
	denied, err := c.HTTP.DeniedCertificates()
	require.NoError(t, err)
	require.Empty(t, denied)
	require.NoError(t, os.Remove(c.HTTP.TLSClientDenyFile))
	denied, err = c.HTTP.DeniedCertificates()
	require.Error(t, err)
	require.Nil(t, denied)
}

func FuzzDeniedCertificates(f *testing.F) {
	f.Add(hashed("one"))
	f.Add("sha256 Fingerprint=" + colons(hashed("one")) + " # x\r\n\n")
	f.Add(colons(hashed("one")) + "\n:")
	f.Fuzz(func(t *testing.T, content string) {
		denied, err := config.ParseFingerprints([]byte(content))
		digits := strings.ToLower(strings.ReplaceAll(content, ":", ""))
		for fingerprint := range denied {
			require.Contains(t, digits, hex.EncodeToString(fingerprint[:]))
		}
		if err == nil && strings.Trim(content, " \t\r\n") != "" && !strings.Contains(content, "#") {
			require.NotEmpty(t, denied)
		}
	})
}
