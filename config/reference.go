package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
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
		{name: "LDAP_PRESET", example: "ad", meaning: "What kind of directory it is: `openldap`, `ad` (Active Directory, Samba), `389ds` or `freeipa`. It gives the defaults of the variables below that say so, and how locked, expired and disabled accounts are told: see [presets](presets.md)."},
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
		{name: "LDAP_USER_FILTER", example: "(&(objectClass=person)(uid={username}))", meaning: "Finds the user. `{username}` is what was typed, escaped (RFC 4515). `ad`: `(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={username})(userPrincipalName={username})))`. `freeipa`: `(&(objectClass=inetOrgPerson)(uid={username}))`."},
		{name: "LDAP_USER_NAME_ATTRIBUTE", example: "uid", meaning: "Attribute that `user.username` of an answer is taken from; an entry without it goes by the value in its RDN. `ad`: `sAMAccountName`."},
		{name: "LDAP_USER_SCOPE", example: "one", meaning: "`sub` searches the whole tree below the base, `one` the level right below it."},
		{name: "LDAP_USER_DN_TEMPLATE", example: "uid={username},ou=people,dc=example,dc=org", meaning: "Makes the user's DN without a search; `{username}` is escaped (RFC 4514). Excludes the filter and what belongs to it. With `ad` also `{username}@example.org`: then a username must not contain `@`, `\\`, `/` or `=`. Nobody can tell an unknown user from a wrong password then: both are status 2."},
		{name: "LDAP_ATTRIBUTES", example: "cn,mail", meaning: "Attributes to return with status 0."},
		{group: "Groups", name: "LDAP_REQUIRED_GROUPS", example: "staff;cn=admins,ou=groups,dc=example,dc=org", meaning: "Groups of which a user must be in any one, else status 8. Separated by `;`. What is a DN means that group; anything else is compared with the groups' name attribute, without case. In a name `\\;` is a semicolon and `\\\\` a backslash. Setting this or one of the next four has groups looked up and told in `user.groups`: see [groups](groups.md)."},
		{name: "LDAP_GROUP_BASE_DN", example: "ou=groups,dc=example,dc=org", meaning: "Where groups live; several by `;`. Required where groups are looked up. `ad`: without it, the domain. `freeipa`: without it, `cn=groups,cn=accounts` below the suffix of `LDAP_BASE_DN`."},
		{name: "LDAP_GROUP_FILTER", example: "(&(objectClass=groupOfNames)(member={dn}))", meaning: "Finds the groups of a user, or of a group. `{dn}` is its DN and `{username}` the user's own name, escaped (RFC 4515). `openldap`, `389ds`: `" + membersFilter + "`. `ad`: without it, `tokenGroups`. `freeipa`: without it, `member`, or `memberOf` for nested groups."},
		{name: "LDAP_GROUP_NAME_ATTRIBUTE", example: "cn", meaning: "Attribute that a group's name is taken from. `ad`: `sAMAccountName`."},
		{name: "LDAP_GROUP_NESTED", example: "true", meaning: "Groups of groups count too. `ad` without a filter: they always do."},
		{group: "Time limits", name: "LDAP_DIAL_TIMEOUT", example: "3s", meaning: "TCP, TLS and the first bind together."},
		{name: "LDAP_REQUEST_TIMEOUT", example: "5s", meaning: "One search or bind."},
		{name: "LDAP_BIND_RETRY", example: "unsent", meaning: "When a bind whose connection died is sent once more. `no_response`: on a connection that had been in use or kept before, if no byte of an answer came. `unsent`: only if no byte of it was sent. `ad`: `unsent`, because AD counts a bind that it did not answer too."},
		{group: "Connection pool", name: "LDAP_POOL_MAX_CONNS", example: "32", meaning: "Connections to the directory, all kinds together; at least 2, or 1 with a DN template and no groups."},
		{name: "LDAP_POOL_MIN_IDLE_CONNS", example: "2", meaning: "Connections kept warm of each kind (for searches, for users' binds), up to half of `LDAP_POOL_MAX_CONNS`."},
		{name: "LDAP_POOL_MAX_IDLE_TIME", example: "5m", meaning: "A connection that nobody used for so long is recycled."},
		{name: "LDAP_POOL_MAX_LIFETIME", example: "30m", meaning: "A connection of this age is recycled; each gets up to 10% less, so that they do not end together."},
		{name: "LDAP_POOL_HEALTH_CHECK_INTERVAL", example: "15s", meaning: "Pace of upkeep; a connection that was quiet for so long is pinged."},
		{name: "LDAP_POOL_MAX_WAIT", example: "2s", meaning: "Longest wait for a connection; then status 12."},
		{name: "LDAP_POOL_MAX_WAITERS", example: "1000", meaning: "Logins that wait at one time; beyond, status 12 at once."},
		{group: "Logins", name: "AUTH_TIMEOUT", example: "10s", meaning: "One login, all its steps."},
		{name: "AUTH_ALWAYS_200", example: "true", meaning: "Statuses 0 to 8 come with HTTP 200, for callers that read `status` alone."},
		{name: "AUTH_API_KEYS_FILE", example: "/etc/authsvc/api-keys", meaning: "Who may ask for logins: one `name sha256-hex` a line, `#` begins a comment. Callers send `Authorization: Bearer KEY`; without a key that fits (or a certificate, with `HTTP_TLS_CLIENT_CA_FILE`) they get status 15."},
		{name: "AUTH_FAILURE_DETAIL", example: "uniform", meaning: "What a failure tells. `distinct`: what the directory said. `uniform`: nothing of an account to one who does not know its password: an unknown user, a wrong password, and what the directory says without having seen the right one are status 2, with the same text after the same time. The log still tells them apart."},
		{name: "AUTH_UNIFORM_DELAY", example: "200ms", meaning: "With `uniform`, failures are answered at multiples of this since the request began, the first one that lies above what nearly all wrong passwords take. Raise it where the directory's password hash is slow."},
		{group: "Throttle", name: "AUTH_THROTTLE_FAILURES", example: "10", meaning: "Failures (statuses 1 and 2) of one account from one client: so many at once, given back evenly over the window; beyond, status 9. 0 turns this limit off. Keep it under the directory's own lockout."},
		{name: "AUTH_THROTTLE_ACCOUNT_FAILURES", example: "100", meaning: "The same for one account from everywhere. 0 turns this limit off."},
		{name: "AUTH_THROTTLE_WINDOW", example: "5m", meaning: "The time in which a used up budget of failures is given back."},
		{group: "Listeners", name: "HTTP_ADDR", example: ":8080", meaning: "Main listener."},
		{name: "HTTP_TLS_CERT_FILE", example: "/etc/authsvc/server.pem", meaning: "PEM file with the main listener's certificate and its chain; goes with `HTTP_TLS_KEY_FILE`. With it the main listener speaks HTTPS alone (TLS 1.2 or later, HTTP/1.1)."},
		{name: "HTTP_TLS_KEY_FILE", example: "/etc/authsvc/server.key", meaning: "PEM file with that certificate's private key."},
		{name: "HTTP_TLS_CLIENT_CA_FILE", example: "/etc/authsvc/callers-ca.pem", meaning: "PEM file with the authorities of callers' certificates. Whoever shows one of theirs may ask for logins; without one that fits (or a key, with `AUTH_API_KEYS_FILE`) callers get status 15."},
		{name: "HTTP_TRUSTED_PROXIES", example: "10.0.0.0/8,192.0.2.1", meaning: "Networks whose `X-Forwarded-For` is believed, for the client's address in the log and in the throttle."},
		{name: "HTTP_SHUTDOWN_TIMEOUT", example: "10s", meaning: "How long requests under way may take to end after SIGTERM or SIGINT."},
		{name: "ADMIN_ADDR", example: "127.0.0.1:9090", meaning: "Admin listener: status page, metrics, health in detail, profiler. Set to nothing, there is none."},
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
- A secret ` + "`X`" + ` may be given as ` + "`X_FILE`" + `, a file to read it from; a newline at its end is not part of it. Giving both is an error.
- A variable that is empty counts as not set, but for ` + "`ADMIN_ADDR`" + `, where empty turns the listener off.
- Everything wrong is reported at once, before anything is started, with exit code 2. A variable that begins with ` + "`LDAP_`,\n  `AUTH_`, `HTTP_` or `ADMIN_`" + ` and looks like a misspelling of one below is an error too. ` + "`HTTP_PROXY`" + ` and its kin are left alone.
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
