package ldappool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"authsvc/internal/ldaptest"
	"authsvc/internal/memtest"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestMalformed_AnswersAreFaultsThatEndTheirConnection(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	secure := ca.ServerTLS(t)
	answers := append(ldaptest.MalformedAnswers(), ldaptest.Malformed{Name: "a string that reaches past the message", Bytes: overlongString})
	silent := map[string]bool{"half a message": true}
	ops := map[string]func(ctx context.Context, p *Pool) (answered bool, err error){
		"bind": func(ctx context.Context, p *Pool) (bool, error) {
			r, err := p.Bind(ctx, ldaptest.UserDN(1), ldaptest.Password(1), policyRequest)
			return r != nil, err
		},
		"search": func(ctx context.Context, p *Pool) (bool, error) {
			r, err := p.Search(ctx, people())
			return r != nil, err
		},
	}
	for _, answer := range answers {
		for op, do := range ops {
			for _, overTLS := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, to a %s, TLS %v", answer.Name, op, overTLS), func(t *testing.T) {
					t.Parallel()
					var options []ldaptest.ServerOption
					if overTLS {
						options = append(options, ldaptest.WithTLS(secure))
					}
					server := ldaptest.NewServer(t, nil, options...)
					p, _ := watched(t, server, func(c *Config) { c.TLS = ca.ClientTLS("localhost") })
					mustSearch(t, p)
					mustBind(t, p)
					server.SetHandler(answerOnly(answer.Bytes))

					ctx := soon(t)
					kind := ErrConnLost
					if silent[answer.Name] && (op == "bind" || answer.Name == "half a message") {
						kind = ErrTimeout
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Second)
						defer cancel()
					}
					began := time.Now()
					answered, err := do(ctx, p)
					if answer.Name == "search done to a bind" && op == "search" || answer.Name == "undecodable password policy control" && op == "bind" {
						require.NoError(t, err, "it is in order there")
					} else {
						require.False(t, answered)
						requireFault(t, err, kind)
					}
					require.Less(t, time.Since(began), 10*time.Second)

					server.SetHandler(handlerExcept(func(*ldaptest.Conn, ldaptest.Request) bool { return false }))
					if errors.Is(kind, ErrTimeout) { // the probe that followed may have got half an answer too
						until(t, p, "the server is usable", func(s *Stat) bool { return s.Servers[0].State == ServerUsable })
					}
					mustSearch(t, p)
					mustBind(t, p)
				})
			}
		}
	}
}

// verdict reads an answer to a bind as RFC 4511 has it, by other means than the pool: whether b
// begins with a BindResponse for the id, and its code.
func verdict(b []byte, id int64) (code int64, ok bool) {
	if len(b) < 2 || b[0] != 0x30 || b[1] == 0x80 {
		return 0, false
	}
	p, err := ber.ReadPacket(bytes.NewReader(b))
	if err != nil || len(p.Children) < 2 {
		return 0, false
	}
	op := p.Children[1]
	if p.Children[0].Tag != ber.TagInteger || p.Children[0].Value != id || op.ClassType != ber.ClassApplication ||
		op.TagType != ber.TypeConstructed || op.Tag != ldap.ApplicationBindResponse || len(op.Children) < 3 {
		return 0, false
	}
	code, ok = op.Children[0].Value.(int64)
	return code, ok && op.Children[0].Tag == ber.TagEnumerated
}

// FuzzServerBytes answers a bind with arbitrary bytes, through the whole pool, in a bubble: so a
// wait costs nothing, and a hang is found.
func FuzzServerBytes(f *testing.F) {
	const id = 2 // behind the ping that introduces a connection
	for _, m := range ldaptest.MalformedAnswers() {
		if b := m.Bytes(id); len(b) < 1000 {
			f.Add(b, false)
			f.Add(b, true)
		}
	}
	f.Add(ldaptest.BindResponse(id, ldap.LDAPResultSuccess, ""), false)
	for _, hostile := range hostileAnswers() {
		if b := hostile(id, tagBindResponse); len(b) < 128<<10 {
			f.Add(b, true)
		}
	}
	f.Add(ldaptest.BindResponse(id, ldap.LDAPResultInvalidCredentials, "80090308: LdapErr: DSID-0C090449, data 52e, v4563"), true)
	f.Add(append(ldaptest.BindResponse(id, 0, ""), ldaptest.NoticeOfDisconnection(52, "")...), false)
	f.Add(ldaptest.NoticeOfDisconnection(52, ""), false)
	f.Add(overlongString(id), false)
	f.Add(ldaptest.BindResponse(id, 49, "", ldaptest.Control{OID: ldap.ControlTypeBeheraPasswordPolicy, Value: []byte{0x30, 0x03, 0x81, 0x01, 0x01}}), false)
	f.Fuzz(func(t *testing.T, b []byte, closes bool) {
		synctest.Test(t, func(t *testing.T) {
			m := newFakeNet()
			h := m.hosts["one"]
			p := m.start(t, sizes(2, -1), func(c *Config) { c.BindOnly, c.BindRetry = true, RetryUnsent })
			h.on(func(p *peer, r *request) bool {
				if r.kind != "bind" {
					return false
				}
				if r.id != id {
					t.Error("another id than the fuzzer counts on")
				}
				p.write(b)
				if closes {
					p.cut()
				}
				return true
			})
			began := time.Now()
			var r *BindResult
			var err error
			memtest.Bound(t, len(b), 2<<20, 2000, func() { r, err = p.Bind(context.Background(), ldaptest.UserDN(1), ldaptest.Password(1)) })
			require.LessOrEqual(t, time.Since(began), 5*time.Second)
			code, ok := verdict(b, id)
			switch {
			case err == nil:
				require.True(t, ok, "code %d was made of % x", r.Code, b)
				require.EqualValues(t, code, r.Code)
			case errors.Is(err, ErrTimeout):
				require.False(t, closes)
				requireFault(t, err, ErrTimeout)
			default:
				requireFault(t, err, ErrConnLost)
			}
			require.Len(t, h.requests("bind"), 1, "a bind that was sent is not sent again")
			h.on(nil)
			mustBind(t, p)
		})
	})
}
