package ldapconn

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-ldap/ldap/v3"
)

// startTLSOID names the request for TLS (RFC 4511 section 4.14.1).
const startTLSOID = "1.3.6.1.4.1.1466.20037"

// appendMessage appends an LDAPMessage of which operation appends the operation and all that
// follows it.
func appendMessage(b []byte, id int, operation func([]byte) ([]byte, error)) ([]byte, error) {
	b, at := openElement(b, tagSequence)
	b, err := operation(appendInteger(b, tagInteger, id))
	if err != nil {
		return b, err
	}
	if b = closeElement(b, at); len(b) > maxAnswer {
		return b, fmt.Errorf("%w: longer than %d bytes", ErrInvalidRequest, maxAnswer)
	}
	return b, nil
}

// appendBind appends a BindRequest (RFC 4511 section 4.2).
func appendBind(b []byte, dn, password string, controls []Control) []byte {
	b, at := openElement(b, tagBindRequest)
	b = appendInteger(b, tagInteger, 3)
	b = appendElement(b, tagOctetString, dn)
	b = appendElement(b, tagSimple, password)
	return appendControls(closeElement(b, at), controls)
}

// appendBindExternal appends a BindRequest for the SASL mechanism EXTERNAL (RFC 4422 appendix A).
// The credentials are the authorization identity (RFC 4513 section 5.2.1.8): the DN or, without
// one, what the server derives. They are never absent, because a server may answer a missing
// initial response with a challenge.
func appendBindExternal(b []byte, dn string) []byte {
	if dn != "" {
		dn = "dn:" + dn
	}
	b, at := openElement(b, tagBindRequest)
	b = appendInteger(b, tagInteger, 3)
	b = appendElement(b, tagOctetString, "")
	b, sasl := openElement(b, tagSASL)
	b = appendElement(b, tagOctetString, "EXTERNAL")
	b = appendElement(b, tagOctetString, dn)
	return closeElement(closeElement(b, sasl), at)
}

// bindSize is at least the size of a bind. A buffer of that size does not move while the bind is
// encoded, so that no copy of the password stays behind.
func bindSize(dn, password string, controls []Control) int {
	size := 64 + len(dn) + len(password)
	for _, c := range controls {
		size += 32 + len(c.OID) + len(c.Value)
	}
	return size
}

func appendControls(b []byte, controls []Control) []byte {
	if len(controls) == 0 {
		return b
	}
	b, list := openElement(b, tagControls)
	for _, c := range controls {
		var at int
		b, at = openElement(b, tagSequence)
		b = appendElement(b, tagOctetString, c.OID)
		if c.Critical {
			b = append(b, tagBoolean, 1, 0xff)
		}
		if c.Value != nil {
			b = appendElement(b, tagOctetString, c.Value)
		}
		b = closeElement(b, at)
	}
	return closeElement(b, list)
}

// appendSearch appends a SearchRequest (RFC 4511 section 4.5.1), with filter in place of the
// request's text if it is not zero.
func appendSearch(b []byte, req *ldap.SearchRequest, filter Filter) ([]byte, error) {
	if req == nil || slices.Contains(req.Controls, nil) {
		return b, fmt.Errorf("%w: no request, or a control that is nil", ErrInvalidRequest)
	}
	for _, n := range []int{req.Scope, req.DerefAliases, req.SizeLimit, req.TimeLimit} {
		if n < 0 || n > math.MaxInt32 {
			return b, fmt.Errorf("%w: %d is not between 0 and 2147483647", ErrInvalidRequest, n)
		}
	}
	if filter.IsZero() {
		var err error
		if filter, err = CompileFilter(req.Filter); err != nil {
			return b, err
		}
	}
	b, at := openElement(b, tagSearchRequest)
	b = appendElement(b, tagOctetString, req.BaseDN)
	b = appendInteger(b, tagEnumerated, req.Scope)
	b = appendInteger(b, tagEnumerated, req.DerefAliases)
	b = appendInteger(b, tagInteger, req.SizeLimit)
	b = appendInteger(b, tagInteger, req.TimeLimit)
	typesOnly := byte(0)
	if req.TypesOnly {
		typesOnly = 0xff
	}
	b = append(b, tagBoolean, 1, typesOnly)
	b = append(b, filter.ber...)
	b, list := openElement(b, tagSequence)
	for _, name := range req.Attributes {
		b = appendElement(b, tagOctetString, name)
	}
	b = closeElement(closeElement(b, list), at)
	if len(req.Controls) > 0 {
		b, at = openElement(b, tagControls)
		for _, c := range req.Controls {
			b = append(b, c.Encode().Bytes()...)
		}
		b = closeElement(b, at)
	}
	return b, nil
}

// appendStartTLS appends the request for TLS.
func appendStartTLS(b []byte) []byte {
	b, at := openElement(b, tagExtendedRequest)
	return closeElement(appendElement(b, tagRequestName, startTLSOID), at)
}

// appendUnbind appends an UnbindRequest (RFC 4511 section 4.3).
func appendUnbind(b []byte) []byte { return append(b, tagUnbindRequest, 0) }
