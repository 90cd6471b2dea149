package config

import (
	"regexp"
	"slices"
	"strings"
)

// Other programs set variables that begin like ours: orchestrators for services with such names,
// and images of directories that share their environment with ours.

// serviceLink matches the variables that Kubernetes sets for a service in every container of its
// namespace, and Docker for a linked container.
var serviceLink = regexp.MustCompile(`_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?|ENV_[A-Za-z0-9_]+)$`)

// linked reports whether an orchestrator sets the variable.
func linked(name, value string) bool {
	return serviceLink.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && regexp.MustCompile(`^(?:tcp|udp|sctp)://`).MatchString(value) ||
		strings.HasSuffix(name, "_NAME") && strings.HasPrefix(value, "/") // Docker: of the container
}

// imageVariables lists the variables that only the images osixia/openldap and bitnami/openldap
// read.
func imageVariables() []string {
	return strings.Fields(`
		LDAP_ORGANISATION LDAP_DOMAIN LDAP_ADMIN_PASSWORD LDAP_ADMIN_PASSWORD_FILE LDAP_CONFIG_PASSWORD LDAP_CONFIG_PASSWORD_FILE LDAP_READONLY_USER
		LDAP_READONLY_USER_USERNAME LDAP_READONLY_USER_PASSWORD LDAP_READONLY_USER_PASSWORD_FILE LDAP_RFC2307BIS_SCHEMA LDAP_BACKEND LDAP_NOFILE
		LDAP_TLS_CRT_FILENAME LDAP_TLS_KEY_FILENAME LDAP_TLS_DH_PARAM_FILENAME LDAP_TLS_CA_CRT_FILENAME LDAP_TLS_CIPHER_SUITE LDAP_TLS_PROTOCOL_MIN
		LDAP_TLS_VERIFY_CLIENT LDAP_REPLICATION LDAP_REPLICATION_CONFIG_SYNCPROV LDAP_REPLICATION_DB_SYNCPROV LDAP_REPLICATION_HOSTS LDAP_LOG_LEVEL
		LDAP_REMOVE_CONFIG_AFTER_SETUP LDAP_SSL_HELPER_PREFIX LDAP_SEED_INTERNAL_LDIF_PATH LDAP_SEED_INTERNAL_SCHEMA_PATH LDAP_OPENLDAP_UID LDAP_OPENLDAP_GID
		LDAP_PPOLICY LDAP_ORGANIZATION

		LDAP_ROOT LDAP_ADMIN_USERNAME LDAP_ADMIN_DN LDAP_CONFIG_ADMIN_ENABLED LDAP_CONFIG_ADMIN_USERNAME LDAP_CONFIG_ADMIN_PASSWORD
		LDAP_CONFIG_ADMIN_PASSWORD_FILE LDAP_PORT_NUMBER LDAP_LDAPS_PORT_NUMBER LDAP_LOGLEVEL LDAP_PASSWORD_HASH LDAP_USERS LDAP_PASSWORDS LDAP_USER_DC
		LDAP_USER_OU LDAP_GROUP_OU LDAP_ADD_SCHEMAS LDAP_EXTRA_SCHEMAS LDAP_SKIP_DEFAULT_TREE LDAP_CUSTOM_LDIF_DIR LDAP_CUSTOM_SCHEMA_FILE
		LDAP_CUSTOM_SCHEMA_DIR LDAP_ULIMIT_NOFILES LDAP_ALLOW_ANON_BINDING LDAP_ENABLE_ACCESSLOG LDAP_ACCESSLOG_ADMIN_USERNAME
		LDAP_ACCESSLOG_ADMIN_PASSWORD LDAP_ACCESSLOG_DB LDAP_ACCESSLOG_LOGOPS LDAP_ACCESSLOG_LOGSUCCESS LDAP_ACCESSLOG_LOGPURGE LDAP_ACCESSLOG_LOGOLD
		LDAP_ACCESSLOG_LOGOLDATTR LDAP_ENABLE_SYNCPROV LDAP_SYNCPROV_CHECKPPOINT LDAP_SYNCPROV_SESSIONLOG LDAP_CONFIGURE_PPOLICY
		LDAP_PPOLICY_USE_LOCKOUT LDAP_PPOLICY_HASH_CLEARTEXT LDAP_TLS_VERIFY_CLIENTS LDAP_TLS_DH_PARAMS_FILE LDAP_TLS_CERT_FILENAME`)
}

// imageSwitches lists variables that those images read, but that an operator may also set by
// mistake for one of ours.
func imageSwitches() []string {
	return []string{"LDAP_TLS", "LDAP_TLS_ENFORCE", "LDAP_ENABLE_TLS", "LDAP_REQUIRE_TLS"}
}

// ofImage reports whether a variable belongs to an image. It does if only an image reads it. A
// variable that may be meant for us does if a variable that only an image reads is set too.
func ofImage(name string, given map[string]string) bool {
	if slices.Contains(imageVariables(), name) {
		return true
	}
	return slices.Contains(append(imageSwitches(), "LDAP_GROUP"), name) &&
		slices.ContainsFunc(imageVariables(), func(v string) bool { return given[v] != "" })
}

// turnsOn reports whether a value means that something is on.
func turnsOn(value string) bool {
	return slices.Contains([]string{"true", "yes", "on", "1", "y", "t", "enabled", "enable", "required"}, strings.ToLower(strings.TrimSpace(value)))
}
