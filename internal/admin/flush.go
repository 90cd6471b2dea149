package admin

import (
	"net/http"
	"net/url"
	"strconv"
)

// pathFlush is where remembered credentials are forgotten.
const pathFlush = "/api/cache/flush"

// flush serves POST /api/cache/flush, and ?username=NAME for one user.
func flush(forget func(username string) (accounts int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		names, one := query["username"]
		switch {
		case r.ContentLength != 0: // the name may be in it
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "body: must be absent: the parameter username is one of the query\n")
			return
		case err != nil, len(query) > 1, len(query) == 1 && !one:
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "query: only the parameter username is known\n")
			return
		case one && (len(names) != 1 || names[0] == ""):
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "username: must be one name\n")
			return
		}
		username := ""
		if one {
			username = names[0]
		}
		reply(w, http.StatusOK, "application/json", `{"accounts":`+strconv.Itoa(forget(username))+"}\n")
	})
}

// reply writes a whole answer.
func reply(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client may have disconnected
}
