package config

import (
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"authsvc/ldappool/ldapurl"

	"github.com/caarlos0/env/v11"
)

// fileSuffix, appended to the name of a secret's variable, names the variable for the secret's
// file.
const fileSuffix = "_FILE"

// fileSource begins the source of a setting that Load read from a file.
const fileSource = "file "

// Setting is a variable's effective value and where it came from: the environment, a file, a preset
// or the default.
type Setting struct {
	Name, Value, Source string
}

// source is what Load read a variable from.
type source struct{ value, origin, file string }

// Load reads the configuration from an environment in the form of os.Environ. Its error is an
// *Error with every problem.
//
// An empty variable counts as not set, except ADMIN_ADDR: if that is empty, there is no admin
// listener.
func Load(environ []string) (*Config, error) {
	var wrong problems
	given := split(environ)
	unused := unknown(given, &wrong)
	sources := read(given, &wrong)
	refuseFlaws(textVariables(), sources, &wrong)
	c := &Config{}
	c.parse(sources, &wrong)
	if v, ok := given["ADMIN_ADDR"]; ok && v == "" {
		c.Admin.Addr = ""
		sources["ADMIN_ADDR"] = source{origin: "environment"}
	}
	c.LDAP.BindPasswordFile = sources["LDAP_BIND_PASSWORD"].file
	c.validate(sources, &wrong)
	refuseFlaws(plainVariables(), sources, &wrong) // after parse, whose problems take precedence
	if err := wrong.err(); err != nil {
		return nil, err
	}
	c.describe(sources)
	c.otel = otel(given)
	c.unused, c.Warnings = unused, append(slices.Clone(unused), c.Warnings...)
	c.warn()
	c.warnOfSecrets(sources)
	c.warnOfFiles()
	return c, nil
}

// OTel returns one of OpenTelemetry's own variables, OTEL_*, or "" if it is not set. Load does not
// check them.
func (c *Config) OTel(name string) string { return c.otel[name].Reveal() }

// otel collects OpenTelemetry's variables. Some hold secrets, so all are treated as secrets.
func otel(given map[string]string) map[string]Secret {
	taken := map[string]Secret{}
	for name, value := range given {
		if strings.HasPrefix(name, "OTEL_") {
			taken[name] = NewSecret(value)
		}
	}
	return taken
}

// HTTPAddr reads HTTP_ADDR alone, for programs that only need to reach the service on this machine.
func HTTPAddr(environ []string) (string, error) {
	var wrong problems
	addr := split(environ)["HTTP_ADDR"]
	if addr == "" {
		addr = defaults()["HTTP_ADDR"]
	}
	address(&wrong, "HTTP_ADDR", addr)
	return addr, wrong.err()
}

// HTTPS reports whether the main listener of the same environment uses TLS.
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

// read collects our variables that are set. It reads secrets from their files.
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
			wrong.note(v.name+fileSuffix, "", "is set, and so is "+v.name+": remove one of them")
			continue
		}
		if value, ok := readSecret(v.name+fileSuffix, path, wrong); ok {
			sources[v.name] = source{value, fileSource + path, path}
		}
	}
	return sources
}

// ReadBindPassword reads the password from its file at each call.
func (l *LDAP) ReadBindPassword() (Secret, error) {
	var wrong problems
	value, _ := readSecret("LDAP_BIND_PASSWORD"+fileSuffix, l.BindPasswordFile, &wrong)
	return NewSecret(value), wrong.err()
}

// HasNewBindPassword reports whether the password's file now holds another password than [Load]
// read from it.
func (l *LDAP) HasNewBindPassword() bool {
	now, err := l.ReadBindPassword()
	return err == nil && now.Reveal() != l.BindPassword.Reveal()
}

// readSecret reads a file that holds nothing but a secret. It removes one line end (LF or CR LF) at
// the end of the file, which an editor may have added.
func readSecret(variable, path string, wrong *problems) (string, bool) {
	example := variable + "=/run/secrets/" + strings.ToLower(strings.TrimSuffix(variable, fileSuffix))
	if text := flaw(path); text != "" {
		wrong.note(variable, example, text)
		return "", false
	}
	content, err := readFile(path)
	if err != nil {
		wrong.note(variable, example, err.Error())
		return "", false
	}
	value, ended := strings.CutSuffix(string(content), "\n")
	if ended {
		value = strings.TrimSuffix(value, "\r")
	}
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
				wrong.add(variable, "%q %s", ldapurl.WithoutUser(sources[variable].value), notA(p))
			}
		}
	}
}

// tagOf returns the variable of a group's field.
func tagOf(group any, field string) string {
	f, _ := reflect.TypeOf(group).Elem().FieldByName(field)
	return f.Tag.Get("env")
}

// notA says why a value does not fit its field.
func notA(p env.ParseError) string {
	switch {
	case p.Type == reflect.TypeFor[time.Duration]():
		return "is not a duration with a unit, such as 5s or 2m"
	case p.Type.Kind() == reflect.Bool:
		return "must be true or false"
	case p.Type == reflect.TypeFor[List](), p.Type == reflect.TypeFor[DNList](), p.Type == reflect.TypeFor[PrefixList](),
		p.Type == reflect.TypeFor[HostList]():
		return p.Err.Error()
	case p.Type.Kind() == reflect.Int && p.Type.PkgPath() == "":
		return "is not a whole number"
	case p.Type == reflect.TypeFor[slog.Level]():
		return "must be debug, info, warn or error"
	}
	return "is not an allowed value"
}

// describe records every variable's effective value and source.
func (c *Config) describe(sources map[string]source) {
	for _, v := range variables() {
		s := Setting{v.name, v.def, "default"}
		if def, ok := presetDefaults(sources)[v.name]; ok {
			s.Value, s.Source = def, "preset "+c.LDAP.Preset
		}
		if given, ok := sources[v.name]; ok {
			s.Value, s.Source = given.value, given.origin
			if v.secret {
				s.Value = NewSecret(given.value).String()
			}
		}
		c.settings = append(c.settings, s)
	}
	for i, s := range c.settings {
		switch s.Name { // values that depend on other variables
		case "LDAP_POOL_MIN_IDLE_CONNS":
			c.settings[i].Value = itoa(c.Pool.MinIdleConns)
		case "LDAP_GROUP_BASE_DN":
			c.settings[i].Value = strings.Join(c.LDAP.GroupBaseDNs, ";")
		}
	}
}
