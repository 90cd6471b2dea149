package ldaptest

import (
	"fmt"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"
)

func TestMalformed_AnswersArriveUnchanged(t *testing.T) {
	t.Parallel()
	for _, m := range MalformedAnswers() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			srv := NewServer(t, func(c *Conn, req Request) {
				c.WriteRaw(m.Bytes(req.MessageID))
				c.Close()
			})
			c := dialRaw(t, srv.Addr())
			_, err := c.Write(envelope(3, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00))
			require.NoError(t, err)
			require.Equal(t, m.Bytes(3), requireFIN(t, c))
		})
	}
}

// TestMalformed_GoLDAPReadsTwoAnswersAsSuccess says which of them a client
// must catch by itself. It fails when go-ldap learns to.
func TestMalformed_GoLDAPReadsTwoAnswersAsSuccess(t *testing.T) {
	t.Parallel()
	for _, m := range MalformedAnswers() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			srv := NewServer(t, func(c *Conn, req Request) { c.WriteRaw(m.Bytes(req.MessageID)) })
			c := dial(t, srv.URL())
			c.SetTimeout(200 * time.Millisecond)
			err := c.Bind(UserDN(0), "wrong")
			t.Logf("go-ldap makes of it: %v", err)
			switch m.Name {
			case "extended response to a bind", "search done to a bind":
				require.NoError(t, err)
			default:
				require.Error(t, err)
			}
		})
	}
}

func TestMalformed_EnvelopeIsWellFormed(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{0, 1, 127, 128, 65536, 1<<31 - 1} {
		t.Run(fmt.Sprint(id), func(t *testing.T) {
			t.Parallel()
			p, err := ber.DecodePacketErr(envelope(id, 0x61, 0x07, 0x0a, 0x01, 0x31, 0x04, 0x00, 0x04, 0x00))
			require.NoError(t, err)
			require.EqualValues(t, id, p.Children[0].Value)
			require.Equal(t, BindResponse(id, ldap.LDAPResultInvalidCredentials, ""), p.Bytes())
		})
	}
}
