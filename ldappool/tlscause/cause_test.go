package tlscause_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/ldappool/ldapconn"
	"authsvc/ldappool/tlscause"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is the expected diagnosis and text of a failed handshake.
type told struct {
	cause     tlscause.Cause
	authority int
	text      string
}

const verify = "tls: failed to verify certificate: x509: certificate "

// expected is the diagnosis of each of ldaptest.TLSIlls.
var expected = map[string]told{
	"the server demands a client certificate, with TLS 1.2": {tlscause.ClientCertificateMissing, 0,
		"demands a client certificate, but none was sent: alert 40 (handshake failure)"},
	"the server demands a client certificate, with TLS 1.3": {tlscause.ClientCertificateMissing, 0,
		"demands a client certificate, but none was sent: alert 116 (certificate required)"},
	"the server speaks TLS 1.0 only": {tlscause.ServerAlert, 0, "alert 70 (protocol version not supported): it supports no TLS version"},
	"the server knows no such name":  {tlscause.ServerAlert, 0, "alert 80 (internal error)"},
	"the server offers RSA key exchange only": {tlscause.ServerAlert, 0,
		"alert 40 (handshake failure): it accepts no offered cipher suite"},
	"the server offers Triple DES only":                      {tlscause.ServerAlert, 0, "alert 40 (handshake failure)"},
	"the server offers RSA key exchange and Triple DES only": {tlscause.ServerAlert, 0, "alert 40 (handshake failure)"},
	"the server offers RC4 only":                             {tlscause.ServerAlert, 0, "alert 40 (handshake failure)"},
	"the serial number is negative":                          {tlscause.NegativeSerial, 0, "has a negative serial number"},
	"the RSA key is too long":                                {tlscause.LongKey, 0, "is too long"},
	"the RSA key is too short":                               {tlscause.ShortKey, 0, "is too short"},
	"the authority is not known":                             {tlscause.IssuerUnknown, 0, verify + "signed by unknown authority: its issuer was not sent"},
	"the authority is not known, and sent":                   {tlscause.TopUnknown, 0, verify + "signed by unknown authority"},
	"the chain lacks the intermediate":                       {tlscause.IssuerUnknown, 0, "its issuer was not sent"},
	"the intermediate has expired":                           {tlscause.Expired, 0, verify + "has expired"},
	"the intermediate is no authority":                       {tlscause.NotAnAuthority, 0, "its issuer is not an authority"},
	"the certificate has expired":                            {tlscause.Expired, 0, verify + "has expired"},
	"the certificate is not valid yet":                       {tlscause.NotYetValid, 0, verify + "is not yet valid"},
	"the certificate is for another name":                    {tlscause.OtherName, 0, verify + "is not valid for 127.0.0.1"},
	"the certificate has the address as a DNS name":          {tlscause.AddressInDNSName, 0, "is not valid for 127.0.0.1: it has the address as a DNS name"},
	"the certificate has a common name only":                 {tlscause.CommonNameOnly, 0, "is not valid for 127.0.0.1: it has only a common name"},
	"the certificate is for clients":                         {tlscause.OtherUsage, 0, "incompatible key usage"},
	"the certificate has an unknown critical extension":      {tlscause.CriticalExtension, 0, "critical extension"},
	"the certificate is self-signed":                         {tlscause.SelfSigned, 0, verify + "signed by unknown authority: it is self-signed"},
	"the authority has expired":                              {tlscause.AuthorityExpired, 2, "authority 2 of the client's has its name but has expired"},
	"the authority is not valid yet":                         {tlscause.AuthorityNotYet, 2, "authority 2 of the client's has its name but is not yet valid"},
	"the authority has no basicConstraints":                  {tlscause.NotAnAuthority, 2, "authority 2 of the client's has its name but is not an authority"},
	"the authority may not sign certificates":                {tlscause.NotAnAuthority, 2, "authority 2 of the client's has its name but is not an authority"},
	"the authority is for other names":                       {tlscause.NameConstraint, 0, "issued by an authority that may not issue it"},
	"the authority has another key":                          {tlscause.AuthorityOtherKey, 2, "authority 2 of the client's has its name but another key"},
	"the certificate is signed with SHA-1": {tlscause.WeakSignature, 2,
		verify + "signed by unknown authority: the signature uses a broken algorithm (SHA-1 or MD5)"},
	"the intermediate is signed with SHA-1": {tlscause.WeakSignature, 2,
		verify + "signed by unknown authority: the signature uses a broken algorithm (SHA-1 or MD5)"},
}

// TestDiagnose_NamesTheCauseOfEachFailedHandshake with real servers, and by the words of the pool's
// errors and the log.
func TestDiagnose_NamesTheCauseOfEachFailedHandshake(t *testing.T) {
	t.Parallel()
	faults := ldaptest.TLSIlls(t)
	require.Len(t, faults, len(expected))
	for _, tlsFault := range faults {
		t.Run(tlsFault.What, func(t *testing.T) {
			t.Parallel()
			want, ok := expected[tlsFault.What]
			require.True(t, ok)
			s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(tlsFault.Server))
			err := diagnoseHandshake(t, s, tlsFault.CAFile)
			require.ErrorContains(t, err, want.text)
			assert.NotContains(t, err.Error(), "localhost", "what the certificate says")
			got, ok := ldapconn.DiagnoseTLS(err)
			require.True(t, ok)
			assert.Equal(t, want.cause, got.Cause)
			assert.Equal(t, want.authority, got.Authority)
		})
	}
}

// diagnoseHandshake dials a server and asks it something, and returns what failed.
func diagnoseHandshake(t *testing.T, s *ldaptest.Server, caFile []byte, certs ...tls.Certificate) error {
	t.Helper()
	pool := x509.NewCertPool()
	var authorities []*x509.Certificate
	for block, rest := pem.Decode(caFile); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		pool.AddCert(c)
		authorities = append(authorities, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	to, err := ldapconn.ParseURL(s.URL())
	require.NoError(t, err)
	to.Name = "127.0.0.1"
	conn, err := ldapconn.Dial(ctx, to, ldapconn.Options{TLS: &tls.Config{RootCAs: pool, Certificates: certs}, Authorities: authorities})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Search(ctx, time.Time{}, ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", nil,
		nil), ldapconn.Filter{})
	return err
}

// TestDiagnose_SeparatesARejectedClientCertificateFromAMissingOne by what was sent.
func TestDiagnose_SeparatesARejectedClientCertificateFromAMissingOne(t *testing.T) {
	t.Parallel()
	root := ldaptest.NewKeyed(t, ldaptest.AuthorityTemplate(t, "Example CA"), nil, nil)
	client := ldaptest.NewCA(t).Issue(t, ldaptest.CertConfig{Client: true})
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := ldaptest.NewKeyed(t, ldaptest.ServerTemplate(t), nil, root).TLS()
			server.MinVersion, server.MaxVersion, server.ClientAuth = version, version, tls.RequireAnyClientCert
			server.VerifyConnection = func(tls.ConnectionState) error { return errors.New("by another authority") }
			s := ldaptest.NewServer(t, ldaptest.NewDirectory().Handle, ldaptest.WithTLS(server))
			got, _ := ldapconn.DiagnoseTLS(diagnoseHandshake(t, s, root.PEM()))
			assert.Equal(t, tlscause.ClientCertificateMissing, got.Cause)
			err := diagnoseHandshake(t, s, root.PEM(), client.TLS)
			got, _ = ldapconn.DiagnoseTLS(err)
			assert.Equal(t, tlscause.ClientCertificateRefused, got.Cause)
			require.ErrorContains(t, err, "the server refused the client certificate: alert 42 (bad certificate)")
		})
	}
}

// TestDiagnose_SaysNothingOfOtherErrors: they are the network's.
func TestDiagnose_SaysNothingOfOtherErrors(t *testing.T) {
	t.Parallel()
	for _, err := range []error{io.EOF, context.DeadlineExceeded, errors.New("remote error"), tls.AlertError(40)} {
		for _, seen := range []tlscause.Seen{{}, {CertificateRequested: true, CertificateSent: true}} {
			d := tlscause.Diagnose(err, seen)
			assert.Equal(t, tlscause.Other, d.Cause)
			assert.Empty(t, d.String())
		}
	}
}

// TestDiagnose_TakesAnEndWithoutAWordForAMissingCertificate where the server asked for one, as
// slapd with GnuTLS does.
func TestDiagnose_TakesAnEndWithoutAWordForAMissingCertificate(t *testing.T) {
	t.Parallel()
	for _, err := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}} {
		d := tlscause.Diagnose(err, tlscause.Seen{CertificateRequested: true})
		assert.Equal(t, tlscause.ClientCertificateMissing, d.Cause)
		assert.Equal(t, "the server requested a client certificate, got none, and closed the connection", d.String())
	}
	assert.Equal(t, tlscause.Other, tlscause.Diagnose(os.ErrDeadlineExceeded, tlscause.Seen{CertificateRequested: true}).Cause)
}
