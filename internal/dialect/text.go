package dialect

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Text gives AD's binary attributes their usual text form: objectGUID as 8-4-4-4-12 hexadecimal
// digits, the first three parts little-endian ([MS-DTYP] section 2.3.4.2), and objectSid as
// S-1-5-... (section 2.4.2.2). It is the same in every dialect: no other directory has attributes
// of these names. ok is false for other attributes, and for a value that is not of the form.
func Text(attribute, value string) (text string, ok bool) {
	switch {
	case strings.EqualFold(attribute, "objectGUID"):
		return guidText([]byte(value))
	case strings.EqualFold(attribute, "objectSid"):
		return sidText([]byte(value))
	}
	return "", false
}

// HasText reports whether Text may give an attribute's values a text form.
func HasText(attribute string) bool {
	return strings.EqualFold(attribute, "objectGUID") || strings.EqualFold(attribute, "objectSid")
}

// CutForm splits an item of LDAP_ATTRIBUTES, NAME or NAME:base64, whose values are then returned as
// base64. ok is false if there is no such form.
func CutForm(item string) (name string, asBase64, ok bool) {
	name, form, found := strings.Cut(item, ":")
	return name, found, !found || form == "base64"
}

func guidText(b []byte) (string, bool) {
	if len(b) != 16 {
		return "", false
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:]), true
}

// sidText reads revision, number of sub-authorities, the authority in 48 bits big-endian, and the
// sub-authorities little-endian.
func sidText(b []byte) (string, bool) {
	if len(b) < 8 || b[0] != 1 || b[1] > 15 || len(b) != 8+4*int(b[1]) {
		return "", false
	}
	var authority uint64
	for _, c := range b[2:8] {
		authority = authority<<8 | uint64(c)
	}
	var s strings.Builder
	if authority < 1<<32 {
		fmt.Fprintf(&s, "S-1-%d", authority)
	} else {
		fmt.Fprintf(&s, "S-1-0x%012x", authority)
	}
	for b = b[8:]; len(b) > 0; b = b[4:] {
		fmt.Fprintf(&s, "-%d", binary.LittleEndian.Uint32(b))
	}
	return s.String(), true
}
