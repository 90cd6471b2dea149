package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"authsvc/internal/dialect"
)

// variable is what a person must know of one variable. Its default is the field's tag.
type variable struct {
	group, name, def string
	secret           bool
	example          string
	meaning          string
}

// variables lists every variable in the order of the reference.
func variables() []variable {
	all := []variable{
		{group: "Directory", name: "LDAP_URL", example: "ldap://ldap1.example.org,ldaps://ldap2.example.org", meaning: "Required. The directory's servers in order of preference: `ldap://host:389`; `ldaps://host:636`; `ldapi://%2frun%2fslapd%2fldapi` for a Unix socket, with its path percent-encoded; or `ldap+srv://example.org` for the servers in the domain's DNS (SRV records of `_ldap._tcp`, looked up every 30 s; certificates must name the record's target)."},
		{name: "LDAP_PRESET", example: "ad", meaning: "The kind of directory: `openldap`, `ad` (Active Directory, Samba), `389ds`, `freeipa` or `lldap`. The preset determines the defaults that are listed with its name below, and which answers mean a locked, expired or disabled account: see [presets](presets.md)."},
		{name: "LDAP_SERVER_POLICY", example: "round_robin", meaning: "How several servers are used. `failover`: use the first healthy server; return to an earlier one after 30 s of good health. `round_robin`: distribute connections evenly over all healthy servers."},
		{name: "LDAP_START_TLS", example: "true", meaning: "Use StartTLS on every `ldap://` connection before anything else is sent, including connections to servers found in the DNS."},
		{name: "LDAP_CA_FILE", example: "/etc/authsvc/ca.pem", meaning: "PEM file with the authorities that the directory's certificate is verified against. Default: the system's authorities."},
		{name: "LDAP_CERT_FILE", example: "/etc/authsvc/client.pem", meaning: "PEM file with a client certificate for the directory; requires `LDAP_KEY_FILE`."},
		{name: "LDAP_KEY_FILE", example: "/etc/authsvc/client.key", meaning: "PEM file with the client certificate's private key."},
		{name: "LDAP_TLS_SERVER_NAME", example: "ldap.example.org", meaning: "Name that the directory's certificate must have. Default: the URL's host."},
		{name: "LDAP_TLS_MIN_VERSION", example: "1.3", meaning: "Oldest TLS version to use: `1.2` or `1.3`."},
		{name: "LDAP_TLS_INSECURE_SKIP_VERIFY", example: "false", meaning: "Accept any certificate. An attacker on the network can then read the passwords; every start logs a warning."},
		{name: "LDAP_BIND_METHOD", example: "simple", meaning: "How the service identity binds, which performs the searches. `simple`: with `LDAP_BIND_DN` and its password. `external`: by SASL EXTERNAL, without a password; the directory derives the identity from the certificate of `LDAP_CERT_FILE` or, with `ldapi://`, from the user that authsvc runs as. Users' binds stay simple. See [directories](directories.md#a-service-identity-without-a-password)."},
		{name: "LDAP_BIND_DN", example: "cn=service,dc=example,dc=org", meaning: "DN of the service identity. Default: searches are anonymous. With `LDAP_BIND_METHOD=external`, the DN that the directory must derive; default: whichever it derives."},
		{name: "LDAP_BIND_PASSWORD", secret: true, example: "the service identity's password", meaning: "Password of the service identity. Prefer `LDAP_BIND_PASSWORD_FILE`, because it is a secret."},
		{group: "Users", name: "LDAP_BASE_DN", example: "ou=people,dc=example,dc=org", meaning: "Base DNs below which users are searched, separated by `;`. Required unless a DN template is set."},
		{name: "LDAP_USER_FILTER", example: "(&(objectClass=person)(uid={username}))", meaning: "Filter that finds the user. `{username}` is the name from the request, escaped (RFC 4515). `ad`: `(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))`. `freeipa`: `(&(objectClass=inetOrgPerson)(uid={username}))`. `lldap`: `(&(objectClass=person)(uid={username}))`."},
		{name: "LDAP_USER_NAME_ATTRIBUTE", example: "uid", meaning: "Attribute that gives `user.username` in answers. If an entry lacks it, the value in its RDN is used. `ad`: `sAMAccountName`."},
		{name: "LDAP_USER_SCOPE", example: "one", meaning: "`sub` searches the whole tree below the base, `one` only the level directly below it."},
		{name: "LDAP_USER_DN_TEMPLATE", example: "uid={username},ou=people,dc=example,dc=org", meaning: "Template of the user's DN, used instead of a search; `{username}` is escaped (RFC 4514). Cannot be combined with the variables of a search. With `ad` it may also be `{username}@example.org`: then a username must not contain `@`, `\\`, `/` or `=`. With a template, an unknown user and a wrong password both get status 2, because the directory does not distinguish them."},
		{name: "LDAP_ATTRIBUTES", example: "cn,mail", meaning: "Attributes to return with status 0, by name, synonym or OID, and with options (`cn;lang-en`). " +
			"Values that are not UTF-8 are returned in base64. `NAME:base64` returns all values in base64; use it for binary attributes, such as `mS-DS-ConsistencyGuid:base64`. " +
			"`objectGUID` and `objectSid` have their usual text form."},
		{group: "Groups", name: "LDAP_REQUIRED_GROUPS", example: "staff;cn=admins,ou=groups,dc=example,dc=org", meaning: "Groups, separated by `;`. A user who is in none of them gets status 8. A DN means that group; any other text is compared with the groups' name attribute, by the directory's own rules. In a name, write `\\;` for a semicolon and `\\\\` for a backslash. If this variable or one of the next four is set, the service looks up groups and returns them in `user.groups`: see [groups](groups.md)."},
		{name: "LDAP_GROUP_BASE_DN", example: "ou=groups,dc=example,dc=org", meaning: "Base DNs below which groups are searched, separated by `;`. Required if groups are looked up. `ad`: defaults to the domain. `freeipa` and `lldap`: default to `cn=groups,cn=accounts` and `ou=groups` below the suffix of `LDAP_BASE_DN`."},
		{name: "LDAP_GROUP_FILTER", example: "(&(objectClass=groupOfNames)(member={dn}))", meaning: "Filter that finds the groups of a user or of a group. `{dn}` is its DN, `{username}` the user's name, and any other `{attribute}` an attribute of the user's entry, as in `(gidNumber={gidNumber})`; all are escaped (RFC 4515). `openldap`, `389ds`: `" + dialect.Default().Defaults.GroupFilter + "`. `ad`: without a filter, `tokenGroups` is read. `freeipa`: without a filter, `member` is searched, or `memberOf` is read for nested groups. `lldap`: `(member={dn})`."},
		{name: "LDAP_GROUP_NAME_ATTRIBUTE", example: "cn", meaning: "Attribute that gives a group's name. `ad`: `sAMAccountName`."},
		{name: "LDAP_GROUP_NESTED", example: "true", meaning: "Include groups that contain the user's groups. `ad` without a filter always includes them."},
		{group: "Time limits", name: "LDAP_DIAL_TIMEOUT", example: "3s", meaning: "Time limit of opening a connection: TCP, TLS and the first bind together."},
		{name: "LDAP_REQUEST_TIMEOUT", example: "5s", meaning: "Time limit of one search or bind."},
		{name: "LDAP_PASSWORD_POLICY", example: "on", meaning: "Whether a user's bind requests the password policy control, in which a directory reports locked accounts and passwords that have expired or must be changed. `auto`: if the server's root DSE lists the control; a server that closes the connection because of the control does not get it again. `on`: always. `off`: never; the default of `lldap`. Set `on` if the directory has password policies and its root DSE cannot be read: without the control, a login whose password must be changed may succeed."},
		{name: "LDAP_BIND_LANE_SERVICE_BIND", example: "true", meaning: "Whether a connection for users' binds begins with a bind as the service identity. `auto`: only for servers that answer an anonymous read of their root DSE by closing the connection, such as glauth; for others the connection begins with that read. `true`: always; needed for proxies that do not require a second factor for the first bind of a connection. `false`: never. See [directories](directories.md)."},
		{name: "LDAP_BIND_RETRY", example: "unsent", meaning: "When a bind is retried once after its connection was lost. `no_response`: if no byte of an answer arrived. `unsent`: only if no byte of the bind was sent. `ad`: `unsent`, because AD also counts binds that it did not answer."},
		{group: "Connection pool", name: "LDAP_POOL_MAX_CONNS", example: "32", meaning: "Maximum number of connections to the directory, for searches and users' binds together; at least 2, or 1 with a DN template and no groups."},
		{name: "LDAP_POOL_MIN_IDLE_CONNS", example: "2", meaning: "Idle connections kept open for searches, and as many for users' binds; at most half of `LDAP_POOL_MAX_CONNS`."},
		{name: "LDAP_POOL_MAX_IDLE_TIME", example: "5m", meaning: "A connection that has been idle for this time is closed and replaced if needed."},
		{name: "LDAP_POOL_MAX_LIFETIME", example: "30m", meaning: "A connection of this age is replaced. Each connection's age limit is up to 10% lower, so that not all are replaced at once."},
		{name: "LDAP_POOL_HEALTH_CHECK_INTERVAL", example: "15s", meaning: "Interval of the pool's maintenance. A connection that has been idle for this time is pinged."},
		{name: "LDAP_POOL_MAX_WAIT", example: "2s", meaning: "Longest time that a login waits for a connection; then it gets status 12."},
		{name: "LDAP_POOL_MAX_WAITERS", example: "1000", meaning: "Maximum number of logins that wait at one time; further logins get status 12 immediately."},
		{group: "Logins", name: "AUTH_TIMEOUT", example: "10s", meaning: "Time limit of one login with all its steps."},
		{name: "AUTH_ALWAYS_200", example: "true", meaning: "Answer statuses 0 to 8 with HTTP 200, for callers that read only `status`."},
		{name: "AUTH_API_KEYS_FILE", example: "/etc/authsvc/api-keys", meaning: "File of the callers that may request logins: one `name sha256-hex` per line; `#` begins a comment. Callers send `Authorization: Bearer KEY`. A caller without a valid key (or certificate, with `HTTP_TLS_CLIENT_CA_FILE`) gets status 15."},
		{name: "AUTH_FAILURE_DETAIL", example: "uniform", meaning: "How much a failure reveals. `distinct`: the directory's reason. `uniform`: nothing about the account to a client that does not know its password: an unknown user, a wrong password, and every reason that the directory gives without having verified the password get status 2, with the same text after the same time. The log still distinguishes them."},
		{name: "AUTH_UNIFORM_DELAY", example: "200ms", meaning: "In uniform mode, a failure is answered when a multiple of this time has passed since the request began. The multiple is above the time that nearly all wrong passwords take; a random delay of up to a tenth is added. Raise it if the directory's password hash is slow."},
		{name: "AUTH_UNIFORM_DECOY_DN", example: "cn=decoy,ou=services,dc=example,dc=org", meaning: "In uniform mode, DN of an entry that never logs in. If the directory has no password to compare, as for a name without an entry, the service binds as this entry, so that both cases cost the directory the same. The entry needs an unguessable password in the users' hash scheme and must not be lockable: see [throttle](throttle.md#the-decoy). Cannot be combined with the template `{username}@example.org`."},
		{group: "Forward authentication", name: "AUTH_BASIC_HEADERS", example: "X-User={username},X-User-DN={dn}", meaning: "Headers of an answer that permits, by which the application learns who the user is: `NAME=VALUE`, separated by commas. A value may have `{username}`, `{dn}`, `{groups}` and the names in `LDAP_ATTRIBUTES`. All of them are sent, empty where there is nothing to say. See [forward authentication](forward-auth.md)."},
		{name: "AUTH_BASIC_REALM", example: "Example Corp", meaning: "The realm that browsers show when they ask for a password."},
		{name: "AUTH_BASIC_CACHE_TTL", example: "60s", meaning: "How long credentials that the directory has accepted are accepted again at `/auth/basic` without asking it. 0 asks for each request."},
		{name: "AUTH_BASIC_CACHE_FAILURE_TTL", example: "10s", meaning: "How long a password that the directory has rejected is rejected again without asking it, and without counting as another failure."},
		{name: "AUTH_BASIC_CACHE_STALE", example: "8h", meaning: "How long after `AUTH_BASIC_CACHE_TTL` accepted credentials are still accepted while the directory is away (statuses 11 to 13)."},
		{name: "AUTH_BASIC_CACHE_SIZE", example: "10000", meaning: "Users, each as one client, whose credentials are remembered. Beyond, the one that was used least recently is forgotten."},
		{group: "Throttle", name: "AUTH_THROTTLE_FAILURES", example: "10", meaning: "Failures (statuses 1 and 2) that one client may cause on one account within the window; the budget refills evenly. Further attempts get status 9. 0 turns this limit off. Keep it below the directory's own lockout."},
		{name: "AUTH_THROTTLE_ACCOUNT_FAILURES", example: "100", meaning: "The same limit for one account over all clients. 0 turns it off."},
		{name: "AUTH_THROTTLE_CLIENT_FAILURES", example: "200", meaning: "The same limit for one client over all accounts, against one password tried on many accounts; ten times as many for all clients of one IPv6 /48. 0 turns it off. Set it only if the service sees the users' own addresses (`HTTP_TRUSTED_PROXIES`): if an application sends no `X-Forwarded-For`, all its users count as one client."},
		{name: "AUTH_THROTTLE_WINDOW", example: "5m", meaning: "The time in which an exhausted budget of failures refills."},
		{name: "AUTH_THROTTLE_REDIS_URL", secret: true, example: "rediss://authsvc:password@redis.example.org:6379", meaning: "Redis server in which several instances count together: `redis://`, `rediss://` (TLS) or `unix:///path`, with the user and the password. `?master_name=NAME` finds the server by the Sentinel at the host, and at each further `addr=HOST:PORT`; without it, each `addr` is a further node of a Cluster. Prefer `AUTH_THROTTLE_REDIS_URL_FILE`, because it holds a secret. Without the server each instance counts alone. See [shared throttle](shared-throttle.md)."}, //nolint:gosec // an example
		{name: "AUTH_THROTTLE_REDIS_CA_FILE", example: "/etc/authsvc/redis-ca.pem", meaning: "PEM file with the authorities that the server's certificate is verified against. Default: the system's authorities."},
		{name: "AUTH_THROTTLE_REDIS_CERT_FILE", example: "/etc/authsvc/redis-client.pem", meaning: "PEM file with a client certificate for the server; requires `AUTH_THROTTLE_REDIS_KEY_FILE`. Both are read again for each connection."},
		{name: "AUTH_THROTTLE_REDIS_KEY_FILE", example: "/etc/authsvc/redis-client.key", meaning: "PEM file with the client certificate's private key."},
		{name: "AUTH_THROTTLE_REDIS_PREFIX", example: "authsvc-staging", meaning: "What the names of all keys begin with. Instances with the same prefix count together."},
		{group: "Listeners", name: "HTTP_ADDR", example: ":8080", meaning: "Address of the main listener."},
		{name: "HTTP_FORWARD_ADDR", example: "127.0.0.1:8081", meaning: "A further listener on which every path is `/auth/basic`, for reverse proxies that cannot set a path. It has the TLS and the callers of the main listener, and no health checks."},
		{name: "HTTP_TLS_CERT_FILE", example: "/etc/authsvc/server.pem", meaning: "PEM file with the main listener's certificate and its chain; requires `HTTP_TLS_KEY_FILE`. The main listener then accepts only HTTPS (TLS 1.2 or later, HTTP/1.1)."},
		{name: "HTTP_TLS_KEY_FILE", example: "/etc/authsvc/server.key", meaning: "PEM file with the private key of `HTTP_TLS_CERT_FILE`."},
		{name: "HTTP_TLS_CLIENT_CA_FILE", example: "/etc/authsvc/callers-ca.pem", meaning: "PEM file with the authorities of callers' certificates. A caller with a certificate from one of them may request logins. A caller without a valid certificate (or key, with `AUTH_API_KEYS_FILE`) gets status 15."},
		{name: "HTTP_TLS_CLIENT_DENY_FILE", example: "/etc/authsvc/denied-certificates", meaning: "File of certificates that are refused although an authority of `HTTP_TLS_CLIENT_CA_FILE` signed them: one SHA-256 fingerprint per line, as `openssl x509 -noout -fingerprint -sha256` prints it or in plain hexadecimal; `#` begins a comment. A fingerprint can be that of a caller's certificate or of any certificate that signed it."},
		{name: "HTTP_HOSTS", example: "authsvc,login.example.org", meaning: "Names, without ports, that *browsers* may use for the main listener in addition to `localhost` and IP addresses. Other programs may use any name. If an application's pages call `/auth` through a proxy, add the `Host` that the proxy sends: see [browsers](operations.md#browsers)."},
		{name: "HTTP_MAX_CONNS", example: "10000", meaning: "Maximum number of open connections of all callers together. For each further connection the service closes the longest idle one of the address that has the most connections, but never one with a login in progress: see [operations](operations.md#strangers)."},
		{name: "HTTP_TRUSTED_PROXIES", example: "10.0.0.0/8,192.0.2.1", meaning: "Networks whose `X-Forwarded-For` is trusted for the client's address in the log and in the throttle. List only proxies: any other host in such a network can choose its own address."},
		{name: "HTTP_SHUTDOWN_DELAY", example: "5s", meaning: "How long the service serves on after SIGTERM or SIGINT while `/readyz` already answers 503, so that balancers send no more requests before the listeners close. In the second half of this time answers close their connections. Choose at least twice the time in which the balancer notices: see [signals](operations.md#signals)."},
		{name: "HTTP_SHUTDOWN_TIMEOUT", example: "10s", meaning: "Time that requests in progress have to finish after SIGTERM or SIGINT, or after `HTTP_SHUTDOWN_DELAY`."},
		{name: "ADMIN_ADDR", example: "127.0.0.1:9090", meaning: "Address of the admin listener: status page, metrics, detailed health, profiler. An empty value turns it off."},
		{name: "ADMIN_HOSTS", example: "authsvc.example.org", meaning: "Names, without ports, that browsers may use for the admin listener in addition to `localhost` and IP addresses."},
		{name: "ADMIN_PPROF", example: "false", meaning: "Which clients may use Go's profiler on the admin listener; it shows parts of memory and can slow the service down. `loopback`: programs on this machine. `true`: every client that reaches the listener. `false`: none."},
		{group: "Log", name: "LOG_LEVEL", example: "debug", meaning: "`debug`, `info`, `warn` or `error`."},
		{name: "LOG_FORMAT", example: "text", meaning: "`json` or `text`."},
	}
	defaults, group := defaults(), ""
	for i := range all {
		v := &all[i]
		if v.group != "" {
			group = v.group
		}
		v.group, v.def = group, defaults[v.name]
	}
	return all
}

// defaults reads the defaults off the fields' tags.
func defaults() map[string]string {
	found := map[string]string{}
	config := reflect.TypeFor[Config]()
	for group := range config.NumField() {
		t := config.Field(group).Type
		for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
			if tag := t.Field(i).Tag; tag.Get("env") != "" {
				found[tag.Get("env")] = tag.Get("envDefault")
			}
		}
	}
	return found
}

// lookup finds a variable by its name.
func lookup(name string) (variable, bool) {
	for _, v := range variables() {
		if v.name == name {
			return v, true
		}
	}
	return variable{}, false
}

// intro stands above the reference.
const intro = `# Configuration

authsvc reads its configuration from environment variables. ` + "`authsvc config --reference`" + ` prints this reference;
` + "`authsvc config`" + ` shows the effective settings and the source of each.

- Durations are written as in Go, with a unit: ` + "`500ms`, `5s`, `1m30s`" + `. Lists are separated by commas, DNs by semicolons.
- Instead of a secret ` + "`X`" + ` you can set ` + "`X_FILE`" + ` to a file that contains it. One line end at the end of the file is
  removed. Setting both is an error.
  A secret is used unchanged. If it begins or ends with white space, a quote or a byte order mark, there is a warning.
- Other values must not contain control characters, begin or end with white space, or be in quotes.
  White space around the items of a list is ignored.
- Filters and templates may contain only the placeholders that are named below; any other text in braces is an error.
  Write a literal brace as ` + "`\\7b` or `\\7d`" + `.
- An empty variable counts as not set, except ` + "`ADMIN_ADDR`" + `, where an empty value turns the listener off.
- All errors are reported together, before anything is started, with exit code 2.
- An unknown variable that begins with ` + "`LDAP_`, `AUTH_`, `HTTP_`, `ADMIN_` or `LOG_`" + ` causes a warning at the start,
  in ` + "`authsvc check` and in `authsvc config`" + `. The warning names the most similar variable.
  If the name looks like a misspelling, or if ignoring it would weaken security (groups, TLS, callers' keys, the
  throttle), it is an error.
  ` + "`HTTP_PROXY`" + ` and similar variables are ignored, and so are the variables that Kubernetes and Docker set for services
  (` + "`LDAP_PORT=tcp://...`, `LDAP_SERVICE_HOST`" + `) and the variables of OpenLDAP images.
`

// WriteReference writes the reference of all variables as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(intro)
	group := ""
	for _, v := range variables() {
		if v.group != group {
			group = v.group
			fmt.Fprintf(&b, "\n## %s\n\n| variable | default | meaning | example |\n|---|---|---|---|\n", group)
		}
		name := "`" + v.name + "`"
		if v.secret {
			name += ", `" + v.name + fileSuffix + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, code(v.def), cell(v.meaning), code(v.example))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// code is a table's cell with a value in it.
func code(value string) string {
	if value == "" {
		return "none"
	}
	return "`" + cell(value) + "`"
}

// cell keeps text from ending a table's cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
