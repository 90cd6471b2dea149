package main

import (
	"io"
	"log/slog"
	"strings"

	"authsvc/config"
)

// newLogger makes the log that LOG_LEVEL and LOG_FORMAT ask for.
func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// deservesALook is the message of each warning of the configuration.
const deservesALook = "configuration warning"

// announce logs what the service is, what it connects to, and how; and what in that an operator
// should know.
func (s *service) announce() {
	b, ldap := thisBuild(), s.cfg.LDAP
	bind := ldap.BindDN
	if bind == "" {
		bind = "anonymous"
	}
	attrs := []any{
		"version", b.version, "commit", b.commit, "go", b.goVersion,
		"listen", s.main.Addr().String(), "directory", strings.Join(ldap.URLs, ","), "start_tls", ldap.StartTLS, "bind_dn", bind,
	}
	if ldap.UserDNTemplate != "" {
		attrs = append(attrs, "user_dn_template", ldap.UserDNTemplate)
	} else {
		attrs = append(attrs, "base_dn", strings.Join(ldap.BaseDNs, ";"), "user_filter", ldap.UserFilter)
	}
	if s.cfg.HTTP.TLSCertFile != "" {
		attrs = append(attrs, "https", true)
	}
	var callers []string
	if s.cfg.Auth.APIKeysFile != "" {
		callers = append(callers, "key")
	}
	if s.cfg.HTTP.TLSClientCAFile != "" {
		callers = append(callers, "certificate")
	}
	if callers != nil {
		attrs = append(attrs, "callers_need", strings.Join(callers, " or "))
	}
	if s.admin.Listener != nil {
		attrs = append(attrs, "admin", s.admin.Addr().String(), "status_page", pageURL(s.admin.Addr()))
	}
	s.log.Info("starting", attrs...)
	for _, warning := range s.cfg.Warnings {
		s.log.Warn(deservesALook, "warning", warning)
	}
}
