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
		{group: "Directory", name: "LDAP_URL", example: "ldap://ldap1.example.org,ldaps://ldap2.example.org", meaning: "Servers, first choice first. `ldap://host:389`, `ldaps://host:636`, or `ldapi://%2frun%2fslapd%2fldapi` for a Unix socket, its path percent-encoded, or `ldap+srv://example.org` for the servers that the DNS names (SRV records of `_ldap._tcp`, looked up every 30 s; certificates must name the record's target). Required."},
		{name: "LDAP_PRESET", example: "ad", meaning: "What kind of directory it is: `openldap`, `ad` (Active Directory, Samba), `389ds`, `freeipa` or `lldap`. It gives the defaults of the variables below that say so, and which answers mean a locked, expired or disabled account: see [presets](presets.md)."},
		{name: "LDAP_SERVER_POLICY", example: "round_robin", meaning: "Which of several servers are used. `failover`: the first that works, and it again when it has been well for half a minute. `round_robin`: all that work, evenly."},
		{name: "LDAP_START_TLS", example: "true", meaning: "StartTLS on `ldap://` connections, those to servers that the DNS names included, before anything else is sent on them."},
		{name: "LDAP_CA_FILE", example: "/etc/authsvc/ca.pem", meaning: "PEM file with the authorities that the directory's certificate is verified against. Without it, the system's."},
		{name: "LDAP_CERT_FILE", example: "/etc/authsvc/client.pem", meaning: "PEM file with a client certificate for the directory; goes with `LDAP_KEY_FILE`."},
		{name: "LDAP_KEY_FILE", example: "/etc/authsvc/client.key", meaning: "PEM file with the client certificate's private key."},
		{name: "LDAP_TLS_SERVER_NAME", example: "ldap.example.org", meaning: "Name to verify the directory's certificate for. Without it, the URL's host."},
		{name: "LDAP_TLS_MIN_VERSION", example: "1.3", meaning: "Oldest TLS to speak: `1.2` or `1.3`."},
		{name: "LDAP_TLS_INSECURE_SKIP_VERIFY", example: "false", meaning: "Accepts any certificate, so that anybody on the way can read the passwords. Warned about at every start."},
		{name: "LDAP_BIND_DN", example: "cn=service,dc=example,dc=org", meaning: "The service identity that searches. Without it, searches are anonymous."},
		{name: "LDAP_BIND_PASSWORD", secret: true, example: "the service identity's password", meaning: "Its password. A secret: better given as `LDAP_BIND_PASSWORD_FILE`."},
		{group: "Users", name: "LDAP_BASE_DN", example: "ou=people,dc=example,dc=org", meaning: "Where users live; several by `;`. Required, but with a DN template."},
		{name: "LDAP_USER_FILTER", example: "(&(objectClass=person)(uid={username}))", meaning: "Finds the user. `{username}` is what was typed, escaped (RFC 4515). `ad`: `(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))`. `freeipa`: `(&(objectClass=inetOrgPerson)(uid={username}))`. `lldap`: `(&(objectClass=person)(uid={username}))`."},
		{name: "LDAP_USER_NAME_ATTRIBUTE", example: "uid", meaning: "Attribute that `user.username` of an answer is taken from; an entry without it goes by the value in its RDN. `ad`: `sAMAccountName`."},
		{name: "LDAP_USER_SCOPE", example: "one", meaning: "`sub` searches the whole tree below the base, `one` the level right below it."},
		{name: "LDAP_USER_DN_TEMPLATE", example: "uid={username},ou=people,dc=example,dc=org", meaning: "Makes the user's DN without a search; `{username}` is escaped (RFC 4514). Excludes the filter and what belongs to it. With `ad` also `{username}@example.org`: then a username must not contain `@`, `\\`, `/` or `=`. Nobody can tell an unknown user from a wrong password then: both are status 2."},
		{name: "LDAP_ATTRIBUTES", example: "cn,mail", meaning: "Attributes to return with status 0, by name, synonym or OID, and with options (`cn;lang-en`). " +
			"Values that are not UTF-8 are base64; of `NAME:base64` all are, which is the form for binary values: `mS-DS-ConsistencyGuid:base64`. " +
			"`objectGUID` and `objectSid` have their usual text form."},
		{group: "Groups", name: "LDAP_REQUIRED_GROUPS", example: "staff;cn=admins,ou=groups,dc=example,dc=org", meaning: "Groups of which a user must be in any one, else status 8. Separated by `;`. What is a DN means that group; anything else is compared with the groups' name attribute, as the directory compares it. In a name `\\;` is a semicolon and `\\\\` a backslash. Setting this or one of the next four has groups looked up and told in `user.groups`: see [groups](groups.md)."},
		{name: "LDAP_GROUP_BASE_DN", example: "ou=groups,dc=example,dc=org", meaning: "Where groups live; several by `;`. Required where groups are looked up. `ad`: without it, the domain. `freeipa` and `lldap`: without it, `cn=groups,cn=accounts` and `ou=groups` below the suffix of `LDAP_BASE_DN`."},
		{name: "LDAP_GROUP_FILTER", example: "(&(objectClass=groupOfNames)(member={dn}))", meaning: "Finds the groups of a user, or of a group. `{dn}` is its DN, `{username}` the user's own name, and any other `{attribute}` an attribute of the user's entry, as in `(gidNumber={gidNumber})`, all escaped (RFC 4515). `openldap`, `389ds`: `" + dialect.Default().Defaults.GroupFilter + "`. `ad`: without it, `tokenGroups`. `freeipa`: without it, `member`, or `memberOf` for nested groups. `lldap`: `(member={dn})`."},
		{name: "LDAP_GROUP_NAME_ATTRIBUTE", example: "cn", meaning: "Attribute that a group's name is taken from. `ad`: `sAMAccountName`."},
		{name: "LDAP_GROUP_NESTED", example: "true", meaning: "Groups of groups count too. `ad` without a filter: they always do."},
		{group: "Time limits", name: "LDAP_DIAL_TIMEOUT", example: "3s", meaning: "TCP, TLS and the first bind together."},
		{name: "LDAP_REQUEST_TIMEOUT", example: "5s", meaning: "One search or bind."},
		{name: "LDAP_PASSWORD_POLICY", example: "on", meaning: "Whether a user's bind asks for the password policy control, by which a directory tells locked accounts, passwords that have expired and those that must be changed. `auto`: where the server's root DSE lists it; a server that closes the connection when it arrives gets it no more. `on`: always. `off`: never, and the default of `lldap`. Set `on` where neither anybody nor the service identity may read the root DSE of a directory that has password policies: without the control a password that must be changed may be a plain success."},
		{name: "LDAP_BIND_LANE_SERVICE_BIND", example: "true", meaning: "Whether a connection for users' binds begins with a bind of `LDAP_BIND_DN`. `auto`: to servers that refuse an anonymous read of their root DSE and close, as glauth does; others are asked for their root DSE. `true`: always, for proxies that let a connection's first bind in without a second factor. `false`: never. See [directories](directories.md)."},
		{name: "LDAP_BIND_RETRY", example: "unsent", meaning: "When a bind whose connection died is sent once more. `no_response`: if no byte of an answer came. `unsent`: only if no byte of it was sent. `ad`: `unsent`, because AD counts a bind that it did not answer too."},
		{group: "Connection pool", name: "LDAP_POOL_MAX_CONNS", example: "32", meaning: "Connections to the directory, all kinds together; at least 2, or 1 with a DN template and no groups."},
		{name: "LDAP_POOL_MIN_IDLE_CONNS", example: "2", meaning: "Connections kept warm of each kind (for searches, for users' binds), up to half of `LDAP_POOL_MAX_CONNS`."},
		{name: "LDAP_POOL_MAX_IDLE_TIME", example: "5m", meaning: "A connection that was not used for so long is recycled."},
		{name: "LDAP_POOL_MAX_LIFETIME", example: "30m", meaning: "A connection of this age is recycled; each gets up to 10% less, so that they do not end together."},
		{name: "LDAP_POOL_HEALTH_CHECK_INTERVAL", example: "15s", meaning: "Pace of upkeep; a connection that was quiet for so long is pinged."},
		{name: "LDAP_POOL_MAX_WAIT", example: "2s", meaning: "Longest wait for a connection; then status 12."},
		{name: "LDAP_POOL_MAX_WAITERS", example: "1000", meaning: "Logins that wait at one time; beyond, status 12 at once."},
		{group: "Logins", name: "AUTH_TIMEOUT", example: "10s", meaning: "One login, all its steps."},
		{name: "AUTH_ALWAYS_200", example: "true", meaning: "Statuses 0 to 8 come with HTTP 200, for callers that read `status` alone."},
		{name: "AUTH_API_KEYS_FILE", example: "/etc/authsvc/api-keys", meaning: "The callers that may ask for logins: one `name sha256-hex` a line, `#` begins a comment. Callers send `Authorization: Bearer KEY`; without a key that fits (or a certificate, with `HTTP_TLS_CLIENT_CA_FILE`) they get status 15."},
		{name: "AUTH_FAILURE_DETAIL", example: "uniform", meaning: "What a failure tells. `distinct`: what the directory said. `uniform`: nothing of an account to one who does not know its password: an unknown user, a wrong password, and what the directory says without having seen the right one are status 2, with the same text after the same time. The log still tells them apart."},
		{name: "AUTH_UNIFORM_DELAY", example: "200ms", meaning: "With `uniform`, failures are answered at multiples of this since the request began, the first one that lies above what nearly all wrong passwords take, and up to a tenth of it later, at random. Raise it where the directory's password hash is slow."},
		{name: "AUTH_UNIFORM_DECOY_DN", example: "cn=decoy,ou=services,dc=example,dc=org", meaning: "With `uniform`, an entry that never logs in: where the directory compares a password with none, as for a name without an entry, it is compared with this entry's, so that both cost the directory the same. It needs a password that nobody can guess, in the hash scheme of the users', and must not be lockable: see [throttle](throttle.md#the-decoy). Not with `{username}@example.org` as template."},
		{group: "Forward authentication", name: "AUTH_BASIC_HEADERS", example: "X-User={username},X-User-DN={dn}", meaning: "Headers of an answer that permits, by which the application learns who the user is: `NAME=VALUE`, separated by commas. A value may have `{username}`, `{dn}`, `{groups}` and the names in `LDAP_ATTRIBUTES`. All of them are sent, empty where there is nothing to say. See [forward authentication](forward-auth.md)."},
		{name: "AUTH_BASIC_REALM", example: "Example Corp", meaning: "The realm that browsers show when they ask for a password."},
		{name: "AUTH_BASIC_CACHE_TTL", example: "60s", meaning: "How long credentials that the directory has accepted are accepted again at `/auth/basic` without asking it. 0 asks for each request."},
		{name: "AUTH_BASIC_CACHE_FAILURE_TTL", example: "10s", meaning: "How long a password that the directory has rejected is rejected again without asking it, and without counting as another failure."},
		{name: "AUTH_BASIC_CACHE_STALE", example: "8h", meaning: "How long after `AUTH_BASIC_CACHE_TTL` accepted credentials are still accepted while the directory is away (statuses 11 to 13)."},
		{name: "AUTH_BASIC_CACHE_SIZE", example: "10000", meaning: "Users, each as one client, whose credentials are remembered. Beyond, the one that was used least recently is forgotten."},
		{group: "Throttle", name: "AUTH_THROTTLE_FAILURES", example: "10", meaning: "Failures (statuses 1 and 2) of one account from one client: so many at once, given back evenly over the window; beyond, status 9. 0 turns this limit off. Keep it under the directory's own lockout."},
		{name: "AUTH_THROTTLE_ACCOUNT_FAILURES", example: "100", meaning: "The same for one account from everywhere. 0 turns this limit off."},
		{name: "AUTH_THROTTLE_CLIENT_FAILURES", example: "200", meaning: "The same for one client over all accounts, against one password tried on many of them; ten times as many for all clients of one IPv6 /48. 0 turns this limit off. Set it only if this service sees the users' own addresses (`HTTP_TRUSTED_PROXIES`): the failures of all users of an application that sends no `X-Forwarded-For` are those of one client."},
		{name: "AUTH_THROTTLE_WINDOW", example: "5m", meaning: "The time in which a used up budget of failures is given back."},
		{group: "Listeners", name: "HTTP_ADDR", example: ":8080", meaning: "Main listener."},
		{name: "HTTP_FORWARD_ADDR", example: "127.0.0.1:8081", meaning: "A further listener on which every path is `/auth/basic`, for reverse proxies that cannot set a path. It has the TLS and the callers of the main listener, and no health checks."},
		{name: "HTTP_TLS_CERT_FILE", example: "/etc/authsvc/server.pem", meaning: "PEM file with the main listener's certificate and its chain; goes with `HTTP_TLS_KEY_FILE`. With it the main listener speaks HTTPS alone (TLS 1.2 or later, HTTP/1.1)."},
		{name: "HTTP_TLS_KEY_FILE", example: "/etc/authsvc/server.key", meaning: "PEM file with that certificate's private key."},
		{name: "HTTP_TLS_CLIENT_CA_FILE", example: "/etc/authsvc/callers-ca.pem", meaning: "PEM file with the authorities of callers' certificates. A caller with such a certificate may ask for logins; without one that fits (or a key, with `AUTH_API_KEYS_FILE`) callers get status 15."},
		{name: "HTTP_TLS_CLIENT_DENY_FILE", example: "/etc/authsvc/denied-certificates", meaning: "Certificates that are refused before they expire, although `HTTP_TLS_CLIENT_CA_FILE` signs them: one SHA-256 fingerprint a line, as `openssl x509 -noout -fingerprint -sha256` prints it or in plain hexadecimal; `#` begins a comment. A caller's own certificate, or any that signs it."},
		{name: "HTTP_HOSTS", example: "authsvc,login.example.org", meaning: "Names by which *browsers* may use the main listener, besides `localhost` and IP addresses; without ports. Other programs may use any name. An application whose pages call `/auth` through a proxy needs here what the proxy sends as `Host`: see [browsers](operations.md#browsers)."},
		{name: "HTTP_MAX_CONNS", example: "10000", meaning: "Connections that callers may have open, all together. For each further one the service closes one that has been quiet for longest, of the address that has the most, and never one with a login under way: see [operations](operations.md#strangers)."},
		{name: "HTTP_TRUSTED_PROXIES", example: "10.0.0.0/8,192.0.2.1", meaning: "Networks whose `X-Forwarded-For` is believed, for the client's address in the log and in the throttle. Name proxies only: whatever else is in such a network chooses its own address."},
		{name: "HTTP_SHUTDOWN_TIMEOUT", example: "10s", meaning: "How long requests under way may take to end after SIGTERM or SIGINT."},
		{name: "ADMIN_ADDR", example: "127.0.0.1:9090", meaning: "Admin listener: status page, metrics, health in detail, profiler. Set to nothing, there is none."},
		{name: "ADMIN_HOSTS", example: "authsvc.example.org", meaning: "The same for the admin listener: names by which browsers may open the status page."},
		{name: "ADMIN_PPROF", example: "false", meaning: "The peers to which the admin listener serves Go's profiler, which shows parts of memory and can slow the service down. `loopback`: programs on this machine. `true`: everybody who can reach the listener. `false`: nobody."},
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

authsvc is configured by environment variables alone. This page is what ` + "`authsvc config --reference`" + ` prints;
` + "`authsvc config`" + ` shows the effective settings and where each came from.

- Durations are written as in Go, with a unit: ` + "`500ms`, `5s`, `1m30s`" + `. Lists are separated by commas, DNs by semicolons.
- A secret ` + "`X`" + ` may be given as ` + "`X_FILE`" + `, a file to read it from; one line end at the end of the file is not
  part of it. Giving both is an error.
  Secrets are used as they are; one that begins or ends with white space, a quote or a byte order mark is warned about.
- Other values are rejected if they contain control characters, begin or end with white space, or are in quotes.
  White space around the items of a list is ignored.
- In filters and templates only the placeholders that are named below exist; any other text in braces is an error.
  A brace itself is written ` + "`\\7b` or `\\7d`" + `.
- A variable that is empty counts as not set, but for ` + "`ADMIN_ADDR`" + `, where empty turns the listener off.
- All errors are reported together, before anything is started, with exit code 2.
- A variable that begins with ` + "`LDAP_`, `AUTH_`, `HTTP_`, `ADMIN_` or `LOG_`" + ` and is not listed here causes a warning at
  the start, in ` + "`authsvc check` and in `authsvc config`" + `, which names the variable that was probably meant.
  If it looks like a misspelling, or would weaken security (groups, TLS, callers' keys, the throttle), it is an error.
  ` + "`HTTP_PROXY`" + ` and its kin are ignored, and so are the links that Kubernetes and Docker set for services
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
