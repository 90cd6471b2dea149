package config

import (
	"strings"
	"unicode"

	"authsvc/internal/dialect"
	"authsvc/internal/identity"
)

// validateForward checks what reverse proxies are answered.
func (c *Config) validateForward(wrong *problems) {
	if addr := c.HTTP.ForwardAddr; addr != "" {
		address(wrong, "HTTP_FORWARD_ADDR", addr)
		for _, other := range []struct{ variable, addr string }{{"HTTP_ADDR", c.HTTP.Addr}, {"ADMIN_ADDR", c.Admin.Addr}} {
			if unmapped(addr) == unmapped(other.addr) && !strings.HasSuffix(addr, ":0") {
				wrong.add("HTTP_FORWARD_ADDR", "%q must differ from %s", addr, other.variable)
			}
		}
	}
	if realm := c.Auth.BasicRealm; strings.ContainsFunc(realm, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) || r == '"' || r == '\\' }) {
		wrong.add("AUTH_BASIC_REALM", "%q must be ASCII without quotes, backslashes and control characters", realm)
	}
	between(wrong, "AUTH_BASIC_CACHE_SIZE", c.Auth.BasicCacheSize, 1, 1_000_000)
	attributes := make([]string, len(c.LDAP.Attributes))
	for i, item := range c.LDAP.Attributes {
		attributes[i], _, _ = dialect.CutForm(item)
	}
	var err error
	if c.Auth.IdentityHeaders, err = identity.Parse(c.Auth.BasicHeaders, attributes); err != nil {
		wrong.add("AUTH_BASIC_HEADERS", "%v", err)
	}
}
