package admin

import (
	"encoding/json"
	"net/http"
	"net/url"

	"authsvc/internal/probe"
)

// showProbe serves GET /api/forward/probe?username=NAME: how a request of authsvc check arrived.
func showProbe(m *probe.Memory) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		names := query["username"]
		if err != nil || len(query) != 1 || len(names) != 1 || !probe.IsName(names[0]) {
			reply(w, http.StatusBadRequest, "text/plain; charset=utf-8", "query: must be username=NAME, with a name of authsvc check\n")
			return
		}
		arrival, ok := m.Find(names[0])
		if !ok {
			reply(w, http.StatusNotFound, "text/plain; charset=utf-8", "username: no request with this name has arrived, or others have since\n")
			return
		}
		body, err := json.Marshal(arrival)
		if err != nil {
			panic(err) // the type can be encoded
		}
		reply(w, http.StatusOK, "application/json", string(body)+"\n")
	})
}
