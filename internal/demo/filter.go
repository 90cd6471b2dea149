package demo

import (
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// truth is the three-valued logic of filters (RFC 4511 section 4.5.1.7). Its
// values are ordered: "and" is the least of its parts, "or" the greatest, "not"
// the negative. An entry is returned where the filter is yes.
type truth int8

const (
	no        truth = -1
	undefined truth = 0
	yes       truth = 1
)

// truthOf is yes or no.
func truthOf(holds bool) truth {
	if holds {
		return yes
	}
	return no
}

// evaluate judges the entry by a filter as ldap.CompileFilter returns it. What
// cannot be judged is undefined, a malformed packet too.
func (s schema) evaluate(filter *ber.Packet, e *entry) truth {
	switch filter.Tag {
	case ldap.FilterAnd:
		result := yes // RFC 4526: "(&)" is true
		for _, child := range filter.Children {
			result = min(result, s.evaluate(child, e))
		}
		return result
	case ldap.FilterOr:
		result := no // RFC 4526: "(|)" is false
		for _, child := range filter.Children {
			result = max(result, s.evaluate(child, e))
		}
		return result
	case ldap.FilterNot:
		if len(filter.Children) != 1 {
			return undefined
		}
		return -s.evaluate(filter.Children[0], e)
	case ldap.FilterPresent:
		return s.evaluatePresent(text(filter), e)
	case ldap.FilterExtensibleMatch:
		return s.evaluateExtensible(filter, e)
	default:
		return s.evaluateItem(filter, e)
	}
}

// evaluatePresent judges "(description=*)".
func (s schema) evaluatePresent(description string, e *entry) truth {
	values, t := s.values(description, e)
	if t == nil {
		return undefined
	}
	return truthOf(len(values) > 0)
}

// evaluateItem judges the items that are an attribute and an assertion.
func (s schema) evaluateItem(filter *ber.Packet, e *entry) truth {
	if len(filter.Children) != 2 {
		return undefined
	}
	values, t := s.values(text(filter.Children[0]), e)
	if t == nil {
		return undefined
	}
	assertion := text(filter.Children[1])
	switch filter.Tag {
	case ldap.FilterEqualityMatch, ldap.FilterApproxMatch:
		return t.rule.equal(values, assertion)
	case ldap.FilterGreaterOrEqual:
		return t.rule.order(values, assertion, func(sign int) bool { return sign >= 0 })
	case ldap.FilterLessOrEqual:
		return t.rule.order(values, assertion, func(sign int) bool { return sign <= 0 })
	case ldap.FilterSubstrings:
		return t.rule.substrings(values, filter.Children[1].Children)
	default:
		return undefined
	}
}

// evaluateExtensible judges "(attribute:=value)", which is equality. One with a
// matching rule of its own or with ":dn" is undefined.
func (s schema) evaluateExtensible(filter *ber.Packet, e *entry) truth {
	if len(filter.Children) != 2 ||
		filter.Children[0].Tag != ldap.MatchingRuleAssertionType ||
		filter.Children[1].Tag != ldap.MatchingRuleAssertionMatchValue {
		return undefined
	}
	values, t := s.values(text(filter.Children[0]), e)
	if t == nil {
		return undefined
	}
	return t.rule.equal(values, text(filter.Children[1]))
}

// values returns the entry's values of a type that filters may probe, and the
// type; a nil type where it is not recognized or may not be probed.
func (s schema) values(description string, e *entry) ([]string, *attributeType) {
	t, tagged := s.lookup(description)
	switch {
	case t == nil || t.rule == nil:
		return nil, nil
	case tagged:
		return nil, t
	default:
		return e.values[t.key], t
	}
}

// text returns the octets of a primitive packet.
func text(p *ber.Packet) string {
	if p.Data == nil {
		return ""
	}
	return p.Data.String()
}

// equal judges equality with any of the values.
func (r *rule) equal(values []string, assertion string) truth {
	return r.order(values, assertion, nil)
}

// order judges a comparison with any of the values; holds takes its sign as
// strings.Compare returns it, nil asks for equality, which every rule has.
func (r *rule) order(values []string, assertion string, holds func(sign int) bool) truth {
	if holds == nil {
		holds = func(sign int) bool { return sign == 0 }
	} else if !r.ordered {
		return undefined
	}
	want, ok := r.prepare(assertion)
	if !ok {
		return undefined
	}
	for _, value := range values {
		if have, ok := r.prepare(value); ok && holds(strings.Compare(have, want)) {
			return yes
		}
	}
	return no
}
