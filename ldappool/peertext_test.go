package ldappool

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"authsvc/internal/ldaptest"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

// errorTexts collects all errors that a pool reports.
type errorTexts struct {
	mu   sync.Mutex
	errs []string
}

func (x *errorTexts) add(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for ; err != nil; err = errors.Unwrap(err) {
		x.errs = append(x.errs, err.Error(), fmt.Sprintf("%+v", err))
	}
}

func (x *errorTexts) trace() Trace {
	return Trace{
		Acquired:      func(_ context.Context, e AcquireEvent) { x.add(e.Err) },
		Dialed:        func(e DialEvent) { x.add(e.Err) },
		Pinged:        func(e PingEvent) { x.add(e.Err) },
		Retired:       func(e RetireEvent) { x.add(e.Err) },
		ServerChanged: func(e ServerEvent) { x.add(e.Err) },
		Operated:      func(_ context.Context, e OperationEvent) { x.add(e.Err) },
	}
}

// TestSecrecy_AnswerThatRepeatsThePasswordIsReworded: to a user's bind and to the
// service's, in every part that an answer has, in several spellings.
func TestSecrecy_AnswerThatRepeatsThePasswordIsReworded(t *testing.T) {
	t.Parallel()
	controls := []string{
		ldap.ControlTypeBeheraPasswordPolicy, ldap.ControlTypeVChuPasswordWarning, ldap.ControlTypeVChuPasswordMustChange, ldap.ControlTypePaging,
		ldap.ControlTypeMicrosoftNotification, ldap.ControlTypeServerSideSortingResult, ldap.ControlTypeDirSync, ldap.ControlTypeSyncState,
		ldap.ControlTypeSyncDone, ldap.ControlTypeManageDsaIT, "1.2.3.4",
	}
	parts := map[string]func(id byte, said string) []byte{
		"the diagnostic": func(id byte, said string) []byte { return answered(id, refusal(tagBindResponse, nil, []byte(said))) },
		"the matched DN": func(id byte, said string) []byte { return answered(id, refusal(tagBindResponse, []byte(said), nil)) },
		"a referral": func(id byte, said string) []byte {
			return answered(id, refusal(tagBindResponse, nil, nil, tlv(0xa3, tlv(0x04, []byte(said)))))
		},
		"SASL credentials": func(id byte, said string) []byte {
			return answered(id, refusal(tagBindResponse, nil, nil, tlv(0x87, []byte(said))))
		},
		"a control's type": func(id byte, said string) []byte {
			return answered(id, refusal(tagBindResponse, nil, nil), control(said, nil))
		},
		"a control's criticality": func(id byte, said string) []byte {
			return answered(id, refusal(tagBindResponse, nil, nil), tlv(0x30, tlv(0x04, []byte("1.2.3")), tlv(0x01, []byte(said)), tlv(0x04)))
		},
		"the result code":         func(id byte, said string) []byte { return answered(id, tlv(tagBindResponse, tlv(0x0a, []byte(said)))) },
		"an operation of its own": func(id byte, said string) []byte { return answered(id, tlv(0x79, []byte(said))) },
		"no LDAP at all":          func(_ byte, said string) []byte { return []byte(said + "\r\n") },
		"a notice":                func(_ byte, said string) []byte { return ldaptest.NoticeOfDisconnection(52, said) },
	}
	for _, oid := range controls {
		parts["the value of control "+oid] = func(id byte, said string) []byte {
			return answered(id, refusal(tagBindResponse, nil, nil), control(oid, []byte(said)))
		}
	}
	spellings := map[string]func(string) string{
		"as it is":   func(s string) string { return s },
		"upper case": strings.ToUpper,
		"base64":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"URL":        url.QueryEscape,
		"shortened":  func(s string) string { return s[:5] + "..." },
	}
	const password = "Tr0ub4dor&3 horse"
	for part, answer := range parts {
		for _, service := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, service %v", part, service), func(t *testing.T) {
				t.Parallel()
				directory := ldaptest.NewDirectory()
				for spelling, spell := range spellings {
					server := ldaptest.NewServer(t, func(c *ldaptest.Conn, req ldaptest.Request) {
						if req.Op == ldaptest.OpBind && (req.DN == ldaptest.ServiceDN) == service {
							c.WriteRaw(answer(byte(req.MessageID), spell(req.Password)))
							return
						}
						directory.Handle(c, req)
					})
					var all errorTexts
					cfg := Config{
						Servers: []string{server.URL()}, BindDN: ldaptest.ServiceDN, BindPassword: password, Trace: all.trace(), MinIdleConns: -1,
					}
					if !service {
						cfg.BindPassword = ldaptest.ServicePassword
					}
					p, err := New(cfg)
					require.NoError(t, err)
					_, err = p.Bind(soon(t), ldaptest.UserDN(0), password)
					all.add(err)
					_, err = p.Search(soon(t), people())
					all.add(err)
					all.add(p.Stat().Servers[0].LastErr)
					require.NoError(t, p.Close(soon(t)))
					text := strings.ToLower(strings.Join(all.errs, "\n"))
					for _, piece := range []string{"tr0ub", "horse", "vhiwdwi0z", "4dor"} { // as they are, and in base64
						require.NotContains(t, text, piece, spelling)
					}
				}
			})
		}
	}
}

// TestSecrecy_CertificateThatRepeatsAPasswordIsReworded: a name in it is text of the peer like
// any other.
func TestSecrecy_CertificateThatRepeatsAPasswordIsReworded(t *testing.T) {
	t.Parallel()
	ca, stranger := ldaptest.NewCA(t), ldaptest.NewCA(t)
	named := ca.Issue(t, ldaptest.CertConfig{Hosts: []string{"hunter2.example.org"}})
	for name, trusted := range map[string]*tls.Config{
		"certificate is not valid for localhost":  {RootCAs: ca.Pool()},
		"certificate signed by unknown authority": {RootCAs: stranger.Pool(), ServerName: "hunter2.example.org"},
	} {
		pair, err := tls.LoadX509KeyPair(named.CertFile, named.KeyFile)
		require.NoError(t, err)
		server := ldaptest.NewServer(t, nil, ldaptest.WithTLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
		_, err = pooled(t, Config{Servers: []string{server.URL()}, TLS: trusted}).Search(soon(t), people())
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "hunter2")
		var refused *tls.CertificateVerificationError
		require.ErrorAs(t, err, &refused, "whoever wants to know more asks for it")
	}
}
