package api

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
)

var errDenied = errors.New("its fingerprint, or that of a certificate that signed it, is in HTTP_TLS_CLIENT_DENY_FILE")

// denies returns an error if any certificate of any verified chain is denied. One denied chain is
// enough: the caller chooses which intermediates it shows, and could show another way to an
// authority.
func (a *Callers) denies(chains [][]*x509.Certificate) error {
	if len(a.Denied) == 0 {
		return nil
	}
	for _, chain := range chains {
		for i, cert := range chain {
			signer := chain[min(i+1, len(chain)-1)] // a root signs itself
			encodings, err := encodingsOf(cert, signer)
			if err != nil {
				return err
			}
			for _, der := range encodings {
				if a.Denied[sha256.Sum256(der)] {
					return errDenied
				}
			}
		}
	}
	return nil
}

// certificate is a Certificate of RFC 5280 section 4.1, of which only the signature is decoded.
type certificate struct {
	TBS, Algorithm asn1.RawValue
	Signature      asn1.BitString
}

// encodingsOf returns cert in every encoding that is as valid as its own, its own first. The
// signature does not cover its own bytes, so the holder can change the fingerprint of a
// certificate: in an ECDSA signature (r, s) the value s can be replaced by n-s, and the bits of any
// signature that begins with zeros can be moved within their BIT STRING.
func encodingsOf(cert, signer *x509.Certificate) ([][]byte, error) {
	encodings := [][]byte{cert.Raw}
	var c certificate
	if _, err := asn1.Unmarshal(cert.Raw, &c); err != nil {
		return nil, err
	}
	signatures := [][]byte{cert.Signature}
	if other := otherECDSASignature(cert.Signature, signer); other != nil {
		signatures = append(signatures, other)
	}
	for _, signature := range signatures {
		c.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
		der, err := asn1.Marshal(c)
		if err != nil {
			return nil, err
		}
		encodings = append(encodings, der)
	}
	return encodings, nil
}

// otherECDSASignature returns the other signature that the signer's key verifies for the same
// message; nil if the key is of another kind.
func otherECDSASignature(signature []byte, signer *x509.Certificate) []byte {
	key, ok := signer.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(signature, &pair); err != nil {
		return nil // no signature of that key
	}
	pair.S.Sub(key.Params().N, pair.S)
	other, err := asn1.Marshal(pair)
	if err != nil {
		return nil
	}
	return other
}
