package ldapname

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// IsDescription reports whether s is an attribute description (RFC 4512 section 2.5): a name or an
// OID, and options.
func IsDescription(s string) bool { return description.MatchString(s) }

var description = regexp.MustCompile(`^(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)(?:;[A-Za-z0-9-]+)*$`)

// SameDescription reports whether two attribute descriptions (RFC 4512 section 2.5) are one: the
// same attribute as by [SameAttribute], with the same options in any order. The options of a
// transfer do not count: "binary" (RFC 4522), and the range that [ParseRange] parses.
func SameDescription(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	typeA, optionsA, hasA := strings.Cut(a, ";")
	typeB, optionsB, hasB := strings.Cut(b, ";")
	if !SameAttribute(typeA, typeB) {
		return false
	}
	return !hasA && !hasB || slices.Equal(lastingOptions(optionsA), lastingOptions(optionsB))
}

// lastingOptions returns the options of an attribute itself, in lower case and in order.
func lastingOptions(options string) (lasting []string) {
	for o := range strings.SplitSeq(strings.ToLower(options), ";") {
		if o != "" && o != "binary" && !strings.HasPrefix(o, rangeOption) && !slices.Contains(lasting, o) {
			lasting = append(lasting, o)
		}
	}
	slices.Sort(lasting)
	return lasting
}

// rangeOption begins the option of range retrieval, in lower case.
const rangeOption = "range="

// ToLast is the Last of a [Range] that holds the last value.
const ToLast = -1

// Range is the part of an attribute's values that a server returned (MS-ADTS section
// 3.1.1.3.1.3.3), counted from 0.
type Range struct {
	First int
	Last  int // ToLast: there are no more values
}

// String is the option's value: "0-1499" or "1500-*".
func (r Range) String() string {
	if r.Last == ToLast {
		return strconv.Itoa(r.First) + "-*"
	}
	return strconv.Itoa(r.First) + "-" + strconv.Itoa(r.Last)
}

// ParseRange splits an attribute description into the one without the range, and the range. ranged
// is false if there is none: then whole is description itself. A range that cannot be read is one
// whose First is below 0.
func ParseRange(description string) (whole string, r Range, ranged bool) {
	if !strings.Contains(description, "=") {
		return description, Range{}, false
	}
	parts := strings.Split(description, ";")
	at := slices.IndexFunc(parts[1:], func(o string) bool { return strings.HasPrefix(strings.ToLower(o), rangeOption) })
	if at < 0 {
		return description, Range{}, false
	}
	option := parts[at+1][len(rangeOption):]
	return strings.Join(slices.Delete(parts, at+1, at+2), ";"), readRange(option), true
}

// readRange reads "0-1499" or "1500-*".
func readRange(option string) Range {
	unreadable := Range{First: -1}
	first, last, ok := strings.Cut(option, "-")
	r := Range{Last: ToLast}
	var err error
	if r.First, err = readNumber(first); !ok || err != nil {
		return unreadable
	}
	if last == "*" {
		return r
	}
	if r.Last, err = readNumber(last); err != nil || r.Last < r.First {
		return unreadable
	}
	return r
}

// readNumber reads an unsigned number that an int of any size holds.
func readNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}
