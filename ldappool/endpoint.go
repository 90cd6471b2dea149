package ldappool

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"slices"
)

// same tells whether e and o are the same place, reached in the same way.
func (e endpoint) same(o endpoint) bool {
	if e.network != o.network || e.addr != o.addr || e.startTLS != o.startTLS || (e.tls == nil) != (o.tls == nil) {
		return false
	}
	return e.tls == o.tls || sameTLS(e.tls, o.tls, e.base == o.base)
}

// sameTLS compares two configurations by their exported fields. Functions cannot be compared: they are the same where
// both configurations are copies of the same.
func sameTLS(a, b *tls.Config, copies bool) bool {
	av, bv := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range av.NumField() {
		if f := av.Type().Field(i); f.IsExported() && !sameField(av.Field(i), bv.Field(i), copies) {
			return false
		}
	}
	return true
}

func sameField(a, b reflect.Value, copies bool) bool {
	if a.Kind() == reflect.Func {
		return copies || a.IsNil() && b.IsNil()
	}
	switch a := a.Interface().(type) {
	case *x509.CertPool:
		return a.Equal(b.Interface().(*x509.CertPool))
	case []tls.Certificate:
		return slices.EqualFunc(a, b.Interface().([]tls.Certificate), func(a, b tls.Certificate) bool {
			return slices.EqualFunc(a.Certificate, b.Certificate, slices.Equal) // a key belongs to one certificate
		})
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
