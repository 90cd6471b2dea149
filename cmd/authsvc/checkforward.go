package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"strings"

	"authsvc/config"
	"authsvc/internal/doctor"
	"authsvc/internal/loginclient"
)

// forwardOptions are the flags of check that are about forward authentication.
type forwardOptions struct{ url, echo, denied, caFile string }

// forwardFlags adds them to the command.
func forwardFlags(f *flag.FlagSet) *forwardOptions {
	o := &forwardOptions{}
	f.StringVar(&o.url, "forward", "", "check forward authentication instead, at the `URL` of a location behind the reverse proxy")
	f.StringVar(&o.echo, "echo", "", "with -forward, the `URL` of a location whose application answers with the headers that it got")
	f.StringVar(&o.denied, "denied", "", "with -forward, the `URL` of a location that requires a group which -user is not in")
	f.StringVar(&o.caFile, "ca-file", "", "with -forward, a `FILE` with the authorities to trust, in PEM, instead of the system's")
	return o
}

// wrong says which flags do not go together.
func (o *forwardOptions) wrong(f *flag.FlagSet) error {
	user, withPassword := f.Lookup("user").Value.String(), isSet(f, "password-stdin")
	switch {
	case !isSet(f, "forward"):
		for _, name := range []string{"echo", "denied", "ca-file"} {
			if isSet(f, name) {
				return fmt.Errorf("-%s needs -forward", name)
			}
		}
		return nil
	case o.url == "":
		return errors.New("-forward must not be empty")
	case isSet(f, "idle"):
		return errors.New("-idle is about the directory, and -forward is not")
	case isSet(f, "replicas"):
		return errors.New("-replicas is about the directory, and -forward is not")
	case isSet(f, "user") && !withPassword:
		return errors.New("-user needs -password-stdin with -forward")
	case (isSet(f, "echo") || isSet(f, "denied")) && !withPassword:
		return errors.New("-echo and -denied need -user and -password-stdin")
	case strings.Contains(user, ":"):
		return errors.New("-user must not have a colon, which HTTP Basic has no way to send")
	case o.caFile != "" && !strings.HasPrefix(strings.ToLower(o.url), "https:"):
		return errors.New("-ca-file needs a -forward that begins with https://")
	}
	return nil
}

// urls reads the URLs. The errors do not repeat them.
func (o *forwardOptions) urls() (at, echo, denied *url.URL, err error) {
	for _, one := range []struct {
		flag, text string
		to         **url.URL
	}{{"-forward", o.url, &at}, {"-echo", o.echo, &echo}, {"-denied", o.denied, &denied}} {
		if one.text == "" && one.flag != "-forward" {
			continue
		}
		u, err := loginclient.ParseURL(one.text)
		if err == nil && at != nil && at.Scheme != u.Scheme {
			err = errors.New("must begin as -forward does, with http:// or with https://")
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("check: %s: %w", one.flag, err)
		}
		*one.to = u
	}
	return at, echo, denied, nil
}

// variableURL is set where the environment is the service's.
const variableURL = "LDAP_URL"

// forwardEnviron is the environment to load. Where it is not the service's, it has a directory that
// nobody asks: AUTH_BASIC_HEADERS counts there too.
func forwardEnviron(environ []string) []string {
	if _, ok := variable(environ, variableURL); ok {
		return environ
	}
	return append([]string{variableURL + "=ldap://localhost", "LDAP_BASE_DN=dc=example,dc=org"}, environ...)
}

// checkForward examines forward authentication.
func (p *program) checkForward(ctx context.Context, cfg *config.Config, f *forwardOptions, user string, password func() (string, error), w *checkWriter) error {
	o := doctor.ForwardOptions{User: user, Tell: w.tell}
	var err error
	if o.URL, o.Echo, o.Denied, err = f.urls(); err != nil {
		return &usageError{err}
	}
	if o.Roots, err = config.ReadRoots(f.caFile); err != nil {
		return &usageError{fmt.Errorf("check: -ca-file: %w", err)}
	}
	for _, h := range cfg.Auth.IdentityHeaders {
		o.Headers = append(o.Headers, h.Name)
	}
	if _, ok := variable(p.environ, variableURL); ok {
		o.Service = &doctor.ForwardService{Realm: cfg.Auth.BasicRealm, TrustedProxies: cfg.HTTP.TrustedProxies}
		if cfg.Admin.Addr != "" {
			if o.Service.Admin, err = localAddr(cfg.Admin.Addr); err != nil {
				return err
			}
		}
	}
	if o.Password, err = password(); err != nil {
		return err
	}
	// net/http writes there what a server sends unasked, which can be the password of an earlier
	// connection.
	log.SetOutput(io.Discard)
	return doctor.ExamineForward(ctx, o)
}
