package config

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// fileSuffix makes of a secret's variable the one that names a file to read it from.
const fileSuffix = "_FILE"

// Setting is a variable's effective value and where it came from: the environment, a file, a preset or the default.
type Setting struct {
	Name, Value, Source string
}

// source is what Load read a variable from.
type source struct{ value, origin, file string }

// Load reads the configuration from an environment as os.Environ gives it. Its error is an *Error with every problem.
//
// An empty variable counts as one that is not set, but for ADMIN_ADDR, where empty turns the listener off.
func Load(environ []string) (*Config, error) {
	var wrong problems
	given := split(environ)
	unknown(given, &wrong)
	sources := read(given, &wrong)
	c := &Config{}
	c.parse(sources, &wrong)
	if v, ok := given["ADMIN_ADDR"]; ok && v == "" {
		c.Admin.Addr = ""
		sources["ADMIN_ADDR"] = source{origin: "environment"}
	}
	c.validate(sources, &wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	c.describe(sources)
	c.otel = otel(given)
	c.warn()
	return c, nil
}

// Files names the files that Load read: secrets, authorities, certificates, keys and API keys. What they hold may change while the
// service runs; Load reads them anew.
func (c *Config) Files() []string {
	var files []string
	named := []string{
		c.LDAP.CAFile, c.LDAP.CertFile, c.LDAP.KeyFile,
		c.HTTP.TLSCertFile, c.HTTP.TLSKeyFile, c.HTTP.TLSClientCAFile, c.Auth.APIKeysFile,
	}
	for _, file := range append(named, c.secretFiles...) {
		if file != "" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// OTel gives one of OpenTelemetry's own variables, OTEL_*; empty where it is not set. They are not checked here.
func (c *Config) OTel(name string) string { return c.otel[name].Reveal() }

// otel takes OpenTelemetry's variables. Some hold secrets, so all are treated as such.
func otel(given map[string]string) map[string]Secret {
	taken := map[string]Secret{}
	for name, value := range given {
		if strings.HasPrefix(name, "OTEL_") {
			taken[name] = NewSecret(value)
		}
	}
	return taken
}

// HTTPAddr reads HTTP_ADDR alone, for whoever only wants to reach the service on this machine.
func HTTPAddr(environ []string) (string, error) {
	var wrong problems
	addr := split(environ)["HTTP_ADDR"]
	if addr == "" {
		addr = defaults()["HTTP_ADDR"]
	}
	address(&wrong, "HTTP_ADDR", addr)
	return addr, wrong.err()
}

// HTTPS tells, of the same environment, whether the main listener speaks TLS.
func HTTPS(environ []string) bool { return split(environ)["HTTP_TLS_CERT_FILE"] != "" }

// split makes a map of an environment. The last of several values counts, as in a shell.
func split(environ []string) map[string]string {
	given := make(map[string]string, len(environ))
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			given[name] = value
		}
	}
	return given
}

// read takes the variables of ours that are set, and the secrets from their files.
func read(given map[string]string, wrong *problems) map[string]source {
	sources := map[string]source{}
	for _, v := range variables() {
		if value := given[v.name]; value != "" {
			sources[v.name] = source{value: value, origin: "environment"}
		}
		path := given[v.name+fileSuffix]
		if !v.secret || path == "" {
			continue
		}
		if _, both := sources[v.name]; both {
			wrong.note(v.name+fileSuffix, "", "is set and "+v.name+" is too: only one of them can be meant")
			continue
		}
		if value, ok := readSecret(v.name+fileSuffix, path, wrong); ok {
			sources[v.name] = source{value, "file " + path, path}
		}
	}
	return sources
}

// readSecret reads a file that holds a secret and nothing else, but for a newline that an editor left at its end.
func readSecret(variable, path string, wrong *problems) (string, bool) {
	example := variable + "=/run/secrets/ldap_bind_password"
	content, err := os.ReadFile(path)
	if err != nil {
		var reason *os.PathError
		if errors.As(err, &reason) {
			err = reason.Err
		}
		wrong.note(variable, example, "the file "+path+" cannot be read: "+err.Error())
		return "", false
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if value == "" {
		wrong.note(variable, example, "the file "+path+" is empty")
		return "", false
	}
	return value, true
}

// parse fills the fields. A value that does not fit its type becomes a problem of its variable.
func (c *Config) parse(sources map[string]source, wrong *problems) {
	values := map[string]string{"": ""} // never nil: env would read the process's own environment
	maps.Copy(values, presetDefaults(sources))
	for name, s := range sources {
		values[name] = s.value
	}
	for _, group := range []any{&c.LDAP, &c.Pool, &c.Auth, &c.HTTP, &c.Admin, &c.Log} {
		err := env.ParseWithOptions(group, env.Options{Environment: maps.Clone(values)})
		var all env.AggregateError
		if !errors.As(err, &all) {
			continue
		}
		for _, e := range all.Errors {
			var p env.ParseError
			if errors.As(e, &p) {
				variable := tagOf(group, p.Name)
				wrong.add(variable, "%q %s", withoutUser(sources[variable].value), notA(p))
			}
		}
	}
}

// tagOf is the variable of a group's field.
func tagOf(group any, field string) string {
	f, _ := reflect.TypeOf(group).Elem().FieldByName(field)
	return f.Tag.Get("env")
}

// notA says why a value does not fit its field.
func notA(p env.ParseError) string {
	switch {
	case p.Type == reflect.TypeFor[time.Duration]():
		return "is not a duration with a unit"
	case p.Type.Kind() == reflect.Bool:
		return "is neither true nor false"
	case p.Type == reflect.TypeFor[List](), p.Type == reflect.TypeFor[DNList](), p.Type == reflect.TypeFor[PrefixList]():
		return p.Err.Error()
	case p.Type.Kind() == reflect.Int && p.Type.PkgPath() == "":
		return "is not a whole number"
	case p.Type == reflect.TypeFor[slog.Level]():
		return "is none of debug, info, warn, error"
	}
	return "is not one of the values that it can have"
}

// describe notes every variable's effective value and source.
func (c *Config) describe(sources map[string]source) {
	for _, v := range variables() {
		s := Setting{v.name, v.def, "default"}
		if def, ok := presetDefaults(sources)[v.name]; ok {
			s.Value, s.Source = def, "preset "+c.LDAP.Preset
		}
		if given, ok := sources[v.name]; ok {
			s.Value, s.Source = given.value, given.origin
			if given.file != "" {
				c.secretFiles = append(c.secretFiles, given.file)
			}
			if v.secret {
				s.Value = NewSecret(given.value).String()
			}
		}
		c.settings = append(c.settings, s)
	}
	for i, s := range c.settings {
		switch s.Name { // what follows from others
		case "LDAP_POOL_MIN_IDLE_CONNS":
			c.settings[i].Value = itoa(c.Pool.MinIdleConns)
		case "LDAP_GROUP_BASE_DN":
			c.settings[i].Value = strings.Join(c.LDAP.GroupBaseDNs, ";")
		}
	}
}
