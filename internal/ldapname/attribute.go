package ldapname

import "strings"

// SameAttribute reports whether two attribute types are one: equal but for case, or synonyms or the
// OID of one attribute of the RFCs that define users and groups. Directories answer with the name
// of their schema, whichever was asked for.
func SameAttribute(a, b string) bool {
	return strings.EqualFold(a, b) || AttributeKey(a) == AttributeKey(b)
}

// AttributeKey returns the same key for the names of one attribute: its OID, or the type in lower
// case if it is not listed.
func AttributeKey(typ string) string {
	typ = strings.ToLower(typ)
	if oid, ok := attributeOIDs[typ]; ok {
		return oid
	}
	return typ
}

// attributeOIDs holds attribute types by their names in lower case: those of RFC 4519 section 2 and
// RFC 4524 section 2, with the short forms that directories have for two of them; then those of
// RFC 2798, RFC 2307, RFC 4523 and the e-mail address of RFC 2985. A name that two directories use
// for two attributes (streetAddress) is not listed.
var attributeOIDs = map[string]string{ //nolint:gosec // userPassword is a name
	"businesscategory": "2.5.4.15", "c": "2.5.4.6", "countryname": "2.5.4.6", "cn": "2.5.4.3", "commonname": "2.5.4.3",
	"dc": "0.9.2342.19200300.100.1.25", "domaincomponent": "0.9.2342.19200300.100.1.25", "description": "2.5.4.13",
	"destinationindicator": "2.5.4.27", "distinguishedname": "2.5.4.49", "dnqualifier": "2.5.4.46", "enhancedsearchguide": "2.5.4.47",
	"facsimiletelephonenumber": "2.5.4.23", "generationqualifier": "2.5.4.44", "givenname": "2.5.4.42", "houseidentifier": "2.5.4.51",
	"initials": "2.5.4.43", "internationalisdnnumber": "2.5.4.25", "l": "2.5.4.7", "localityname": "2.5.4.7", "member": "2.5.4.31",
	"name": "2.5.4.41", "o": "2.5.4.10", "organizationname": "2.5.4.10", "ou": "2.5.4.11", "organizationalunitname": "2.5.4.11",
	"owner": "2.5.4.32", "physicaldeliveryofficename": "2.5.4.19", "postaladdress": "2.5.4.16", "postalcode": "2.5.4.17",
	"postofficebox": "2.5.4.18", "preferreddeliverymethod": "2.5.4.28", "registeredaddress": "2.5.4.26", "roleoccupant": "2.5.4.33",
	"searchguide": "2.5.4.14", "seealso": "2.5.4.34", "serialnumber": "2.5.4.5", "sn": "2.5.4.4", "surname": "2.5.4.4",
	"st": "2.5.4.8", "stateorprovincename": "2.5.4.8", "street": "2.5.4.9", "telephonenumber": "2.5.4.20",
	"teletexterminalidentifier": "2.5.4.22", "telexnumber": "2.5.4.21", "title": "2.5.4.12",
	"uid": "0.9.2342.19200300.100.1.1", "userid": "0.9.2342.19200300.100.1.1", "uniquemember": "2.5.4.50", "userpassword": "2.5.4.35",
	"x121address": "2.5.4.24", "x500uniqueidentifier": "2.5.4.45",

	"associateddomain": "0.9.2342.19200300.100.1.37", "associatedname": "0.9.2342.19200300.100.1.38",
	"buildingname": "0.9.2342.19200300.100.1.48", "co": "0.9.2342.19200300.100.1.43", "friendlycountryname": "0.9.2342.19200300.100.1.43",
	"documentauthor": "0.9.2342.19200300.100.1.14", "documentidentifier": "0.9.2342.19200300.100.1.11",
	"documentlocation": "0.9.2342.19200300.100.1.15", "documentpublisher": "0.9.2342.19200300.100.1.56",
	"documenttitle": "0.9.2342.19200300.100.1.12", "documentversion": "0.9.2342.19200300.100.1.13",
	"drink": "0.9.2342.19200300.100.1.5", "favouritedrink": "0.9.2342.19200300.100.1.5",
	"homephone": "0.9.2342.19200300.100.1.20", "hometelephonenumber": "0.9.2342.19200300.100.1.20",
	"homepostaladdress": "0.9.2342.19200300.100.1.39", "host": "0.9.2342.19200300.100.1.9", "info": "0.9.2342.19200300.100.1.4",
	"mail": "0.9.2342.19200300.100.1.3", "rfc822mailbox": "0.9.2342.19200300.100.1.3", "manager": "0.9.2342.19200300.100.1.10",
	"mobile": "0.9.2342.19200300.100.1.41", "mobiletelephonenumber": "0.9.2342.19200300.100.1.41",
	"organizationalstatus": "0.9.2342.19200300.100.1.45", "pager": "0.9.2342.19200300.100.1.42",
	"pagertelephonenumber": "0.9.2342.19200300.100.1.42", "personaltitle": "0.9.2342.19200300.100.1.40",
	"roomnumber": "0.9.2342.19200300.100.1.6", "secretary": "0.9.2342.19200300.100.1.21",
	"uniqueidentifier": "0.9.2342.19200300.100.1.44", "userclass": "0.9.2342.19200300.100.1.8",

	"fax": "2.5.4.23", "gn": "2.5.4.42",

	"carlicense": "2.16.840.1.113730.3.1.1", "departmentnumber": "2.16.840.1.113730.3.1.2", "displayname": "2.16.840.1.113730.3.1.241",
	"employeenumber": "2.16.840.1.113730.3.1.3", "employeetype": "2.16.840.1.113730.3.1.4", "jpegphoto": "0.9.2342.19200300.100.1.60",
	"preferredlanguage": "2.16.840.1.113730.3.1.39", "usersmimecertificate": "2.16.840.1.113730.3.1.40", "userpkcs12": "2.16.840.1.113730.3.1.216",

	"uidnumber": "1.3.6.1.1.1.1.0", "gidnumber": "1.3.6.1.1.1.1.1", "gecos": "1.3.6.1.1.1.1.2", "homedirectory": "1.3.6.1.1.1.1.3",
	"loginshell": "1.3.6.1.1.1.1.4", "memberuid": "1.3.6.1.1.1.1.12",

	"usercertificate": "2.5.4.36", "cacertificate": "2.5.4.37",
	"email": "1.2.840.113549.1.9.1", "emailaddress": "1.2.840.113549.1.9.1", "pkcs9email": "1.2.840.113549.1.9.1",
}
