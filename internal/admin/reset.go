package admin

import (
	"net/http"
	"net/url"
	"strconv"

	"authsvc/internal/logsafe"
)

// pathReset is where an account is freed from the throttle.
const pathReset = "/api/throttle/reset"

// Reset frees the accounts that a name leads to, and returns how many of them had failures. invalid
// is what is wrong with the name; fault is why they are not freed, or not everywhere.
type Reset func(r *http.Request, username string) (accounts int, invalid, fault error)

// resetThrottle serves POST /api/throttle/reset?username=NAME.
func resetThrottle(reset Reset) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		names := query["username"]
		if r.ContentLength != 0 { // the name may be in it
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "body: must be absent: the parameter username is one of the query\n")
			return
		}
		if err != nil || len(query) != 1 || len(names) != 1 || names[0] == "" {
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "query: must be username=NAME, for one user\n")
			return
		}
		accounts, invalid, fault := reset(r, names[0])
		switch {
		case invalid != nil:
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", invalid.Error()+"\n")
		case fault != nil:
			w.Header().Set("Retry-After", "1")
			reply(w, http.StatusServiceUnavailable, "text/plain; charset=utf-8", logsafe.Printable(fault.Error(), logsafe.MaxShown)+"\n")
		default:
			reply(w, http.StatusOK, "application/json", `{"accounts":`+strconv.Itoa(accounts)+"}\n")
		}
	})
}
