package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// pathFlush is where the cache of credentials is emptied.
const pathFlush = "/api/cache/flush"

// flush serves POST /api/cache/flush, or ?username=NAME for one user.
func flush(forget func(username string) (accounts int)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		names, one := query["username"]
		switch {
		case err != nil, len(query) > 1, len(query) == 1 && !one:
			http.Error(w, "query: only the parameter username is known", http.StatusBadRequest)
			return
		case one && (len(names) != 1 || names[0] == ""):
			http.Error(w, "username: must be one name", http.StatusBadRequest)
			return
		}
		username := ""
		if one {
			username = names[0]
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]int{"accounts": forget(username)}) // a client that left has no use for it
	})
}
