package demo

import "strings"

// passwordAttribute is compared by binds only: no search returns it and no
// filter may probe it.
const passwordAttribute = "userpassword"

// attributeType is what a search needs to know of an attribute.
type attributeType struct {
	// key is the lower-case principal name, under which entries keep values.
	key string
	// rule compares values; nil where no filter can.
	rule *rule
	// operational attributes are returned only when asked for (RFC 4512 section 3.4).
	operational bool
}

// schema finds attribute types by any of their names in lower case. A type that
// it does not hold is "not recognized", which makes a filter item Undefined
// rather than false (RFC 4511 section 4.5.1.7).
type schema map[string]*attributeType

// newSchema returns the attribute types of core, cosine and inetorgperson that
// an entry with the sample's object classes may have, and those of the root DSE.
func newSchema() schema {
	s := make(schema)
	s.define(textRule(),
		"cn commonName", "sn surname", "givenName gn", "initials", "title",
		"uid userid", "o organizationName", "ou organizationalUnitName",
		"description", "displayName", "employeeNumber", "employeeType",
		"departmentNumber", "preferredLanguage", "carLicense", "businessCategory",
		"l localityName", "st stateOrProvinceName", "street streetAddress",
		"postalCode", "postalAddress", "postOfficeBox", "physicalDeliveryOfficeName",
		"roomNumber", "destinationIndicator", "vendorName", "supportedLDAPVersion")
	s.define(ia5Rule(), "mail rfc822Mailbox", "dc domainComponent")
	s.define(telephoneRule(), "telephoneNumber", "mobile mobileTelephoneNumber",
		"homePhone homeTelephoneNumber", "pager pagerTelephoneNumber")
	s.define(dnRule(s), "member", "owner", "manager", "secretary", "seeAlso",
		"roleOccupant", "namingContexts")
	s.define(objectClassRule(), "objectClass")
	s.define(nil, "userPassword")
	for _, name := range []string{"vendorname", "supportedldapversion", "namingcontexts"} {
		s[name].operational = true
	}
	return s
}

// define adds types that share a rule; each is its principal name followed by
// its other names, separated by spaces.
func (s schema) define(r *rule, types ...string) {
	for _, names := range types {
		all := strings.Fields(strings.ToLower(names))
		t := &attributeType{key: all[0], rule: r}
		for _, name := range all {
			s[name] = t
		}
	}
}

// lookup finds the type of an attribute description (RFC 4512 section 2.5),
// which may carry options: "cn;lang-en". Entries here have none, so tagged tells
// the caller that there are no values. It returns nil where the type is not
// recognized.
func (s schema) lookup(description string) (t *attributeType, tagged bool) {
	name, _, tagged := strings.Cut(description, ";")
	return s[strings.ToLower(name)], tagged
}

// key returns the principal name in lower case, or the name itself in lower
// case where the type is not recognized.
func (s schema) key(name string) string {
	if t, _ := s.lookup(name); t != nil {
		return t.key
	}
	return strings.ToLower(name)
}
