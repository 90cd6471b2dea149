package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Redis says where several instances keep the counts of their throttles together. The zero value is
// nowhere.
type Redis struct {
	Addrs   []string // host:port; or the path of a Unix socket
	Master  string   // with Sentinel: the name of the group, and Addrs are the Sentinels
	Cluster bool     // Addrs are nodes of a Cluster
	TLS     bool

	Username, SentinelUsername string
	Password, SentinelPassword Secret
	DB                         int
}

// The variables of the shared throttle.
const (
	redisURL    = "AUTH_THROTTLE_REDIS_URL"
	redisCA     = "AUTH_THROTTLE_REDIS_CA_FILE"
	redisCert   = "AUTH_THROTTLE_REDIS_CERT_FILE"
	redisKey    = "AUTH_THROTTLE_REDIS_KEY_FILE"
	redisPrefix = "AUTH_THROTTLE_REDIS_PREFIX"
)

// redisExample is the example of a URL that holds no secret.
const redisExample = redisURL + "=redis://redis.example.org:6379"

// maxRedisPrefix is the longest prefix of keys, in bytes. It is a part of each key.
const maxRedisPrefix = 64

// validateRedis checks where the throttle's counts are shared, and parses the URL. A problem of the
// URL shows nothing of it but names of parameters: it may hold a password anywhere.
func (a *Auth) validateRedis(sources map[string]source, wrong *problems) {
	source, set := sources[redisURL]
	if set {
		variable := redisURL
		if source.file != "" {
			variable += fileSuffix
		}
		var err error
		if a.Redis, err = parseRedisURL(a.ThrottleRedisURL.Reveal()); err != nil {
			wrong.note(variable, redisExample, err.Error())
		} else if a.ThrottleFailures == 0 && a.ThrottleAccountFailures == 0 && a.ThrottleClientFailures == 0 {
			wrong.note(variable, "", "has nothing to share, because all limits of the throttle are 0: set AUTH_THROTTLE_FAILURES, or remove this variable")
		}
	}
	if p := a.ThrottleRedisPrefix; len(p) > maxRedisPrefix || strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:") != "" {
		wrong.add(redisPrefix, "%q must be at most %d letters, digits, '-', '_', '.' and ':'", p, maxRedisPrefix)
	}
	a.validateRedisFiles(sources, wrong)
}

// validateRedisFiles checks the files of TLS.
func (a *Auth) validateRedisFiles(sources map[string]source, wrong *problems) {
	if _, err := roots(a.ThrottleRedisCAFile); err != nil {
		wrong.add(redisCA, "%v", err)
	}
	if (a.ThrottleRedisCertFile == "") != (a.ThrottleRedisKeyFile == "") {
		missing, set := redisKey, redisCert
		if a.ThrottleRedisCertFile == "" {
			missing, set = set, missing
		}
		wrong.add(missing, "is required with %s", set)
	} else if _, err := keyPair(a.ThrottleRedisCertFile, a.ThrottleRedisKeyFile); err != nil {
		wrong.add(redisCert, "%v", err)
	}
	_, set := sources[redisURL]
	set = set || wrong.has(redisURL+fileSuffix) // then it is not known
	for _, f := range []struct{ variable, value string }{
		{redisCA, a.ThrottleRedisCAFile}, {redisCert, a.ThrottleRedisCertFile}, // a key needs its certificate
	} {
		switch {
		case f.value == "":
		case !set:
			wrong.note(f.variable, "", "is used only with "+redisURL+": set that, or remove this variable")
		case len(a.Redis.Addrs) > 0 && !a.Redis.TLS:
			wrong.note(f.variable, "", "is used only with TLS: begin "+redisURL+" with rediss://, or remove this variable")
		}
	}
}

// RedisTLSConfig returns the configuration of TLS connections to the shared throttle, or nil
// without TLS. The client certificate is read again for each connection.
func (a *Auth) RedisTLSConfig() (*tls.Config, error) {
	if !a.Redis.TLS {
		return nil, nil
	}
	pool, err := roots(a.ThrottleRedisCAFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", redisCA, err)
	}
	c := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if a.ThrottleRedisCertFile != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certs, err := keyPair(a.ThrottleRedisCertFile, a.ThrottleRedisKeyFile)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", redisCert, err)
			}
			return &certs[0], nil
		}
	}
	return c, nil
}

// parseRedisURL parses a URL of Redis. Its error repeats nothing of a value.
func parseRedisURL(raw string) (Redis, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Redis{}, errors.New("is not a URL; a password in it must be escaped (%40 for @, %2F for /)")
	}
	if !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return Redis{}, errors.New("must begin with redis://, rediss:// or unix://")
	}
	var r Redis
	r.Username = u.User.Username()
	password, _ := u.User.Password()
	r.Password = NewSecret(password)
	query, err := url.ParseQuery(u.RawQuery)
	switch {
	case err != nil:
		return Redis{}, errors.New("has a query that cannot be read")
	case u.Fragment != "" || u.Opaque != "":
		return Redis{}, errors.New("is not a URL of redis://, rediss:// or unix://; a # in a password must be escaped (%23)")
	}
	for name, values := range query {
		switch {
		case !slices.Contains([]string{"addr", "master_name", "sentinel_username", "sentinel_password", "db"}, name):
			return Redis{}, errors.New("has a parameter that is not addr, master_name, sentinel_username, sentinel_password or db")
		case name != "addr" && len(values) > 1:
			return Redis{}, fmt.Errorf("has the parameter %s twice", name)
		}
	}
	if r.DB, err = redisDB(u, query); err != nil {
		return Redis{}, err
	}
	if u.Scheme == "unix" {
		return r.atSocket(u, query)
	}
	r.TLS = u.Scheme == "rediss"
	return r.atAddrs(u, query)
}

// redisDB returns the number of the database: the path, or the parameter db.
func redisDB(u *url.URL, query url.Values) (int, error) {
	text := query.Get("db")
	if path := strings.Trim(u.Path, "/"); u.Scheme != "unix" && path != "" {
		if query.Has("db") {
			return 0, errors.New("has a database in its path and in its parameter db: keep one")
		}
		text = path
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return 0, errors.New("has a database that is not a number")
	}
	return n, nil
}

// atSocket is a server at a Unix socket.
func (r Redis) atSocket(u *url.URL, query url.Values) (Redis, error) {
	switch {
	case u.Host != "" || !strings.HasPrefix(u.Path, "/"):
		return Redis{}, errors.New("must have the socket's absolute path, as in unix:///run/redis/redis.sock")
	case query.Has("addr") || query.Has("master_name"):
		return Redis{}, errors.New("has a parameter that does not fit a Unix socket: addr or master_name")
	}
	r.Addrs = []string{u.Path}
	return r, nil
}

// atAddrs is a server, Sentinels or a Cluster at addresses.
func (r Redis) atAddrs(u *url.URL, query url.Values) (Redis, error) {
	r.Master = query.Get("master_name")
	port := "6379"
	if r.Master != "" {
		port = "26379"
	}
	for _, addr := range append([]string{u.Host}, query["addr"]...) {
		host, err := redisAddr(addr, port)
		if err != nil {
			return Redis{}, err
		}
		if !slices.Contains(r.Addrs, host) {
			r.Addrs = append(r.Addrs, host)
		}
	}
	r.SentinelUsername, r.SentinelPassword = query.Get("sentinel_username"), NewSecret(query.Get("sentinel_password"))
	r.Cluster = query.Has("addr") && r.Master == ""
	switch {
	case query.Has("master_name") && r.Master == "":
		return Redis{}, errors.New("has an empty master_name")
	case r.Master == "" && (query.Has("sentinel_username") || query.Has("sentinel_password")):
		return Redis{}, errors.New("has a user or a password of Sentinel, but no master_name")
	case r.Cluster && r.DB != 0:
		return Redis{}, errors.New("has a database, but a Cluster has only database 0")
	}
	return r, nil
}

// redisAddr returns an address with its port.
func redisAddr(addr, port string) (string, error) {
	u, err := url.Parse("redis://" + addr)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" {
		return "", errors.New("must have a host, as in redis://redis.example.org:6379; each addr is host:port")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return "", errors.New("has a port that is not from 1 to 65535")
		}
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// warnRedis notes what weakens the shared throttle.
func (a *Auth) warnRedis() (warnings []string) {
	if len(a.Redis.Addrs) == 0 || strings.HasPrefix(a.Redis.Addrs[0], "/") {
		return nil
	}
	for _, addr := range a.Redis.Addrs {
		if !a.Redis.TLS && !loopback(addr) {
			warnings = append(warnings, redisURL+": counts and the password are sent to "+addr+" without TLS; use rediss://")
			break
		}
	}
	if a.Redis.Password.Reveal() == "" {
		warnings = append(warnings, redisURL+": has no password, so everybody who reaches the server can free accounts, and can guess whose each count is")
	}
	return warnings
}
