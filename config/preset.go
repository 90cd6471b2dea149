package config

import (
	"maps"
	"slices"
)

// presets are the values of LDAP_PRESET, each with the defaults that it has in place of the usual ones, which are OpenLDAP's.
func presets() map[string]map[string]string {
	return map[string]map[string]string{
		"openldap": {"LDAP_GROUP_FILTER": membersFilter},
		"ad": {
			"LDAP_USER_FILTER": "(&(objectCategory=person)(objectClass=user)" +
				"(|(sAMAccountName={username})(userPrincipalName={username})))",
			"LDAP_USER_NAME_ATTRIBUTE":  "sAMAccountName",
			"LDAP_GROUP_NAME_ATTRIBUTE": "sAMAccountName",
			// A bind that AD got and did not answer counts as a try of the user's: sent twice, a wrong password locks sooner.
			"LDAP_BIND_RETRY": "unsent",
		},
		"389ds": {"LDAP_GROUP_FILTER": membersFilter},
		"freeipa": {
			// The compatibility tree has each user a second time, as another class: below the suffix two entries would match.
			"LDAP_USER_FILTER": "(&(objectClass=inetOrgPerson)(uid={username}))",
		},
	}
}

// presetNames lists the values of LDAP_PRESET, the default first.
func presetNames() []string {
	return append([]string{"openldap"}, slices.DeleteFunc(slices.Sorted(maps.Keys(presets())), func(s string) bool { return s == "openldap" })...)
}

// presetDefaults are the defaults of the preset that the sources name, where they are not the usual ones.
func presetDefaults(sources map[string]source) map[string]string {
	name := sources["LDAP_PRESET"].value
	if name == "" {
		name = presetNames()[0]
	}
	return presets()[name]
}
