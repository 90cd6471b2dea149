// Command echo is an application to protect: it answers with the request that it got.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:3000", "listen on `HOST:PORT`")
	flag.Parse()
	log.Printf("listening on http://%s", *addr)
	server := &http.Server{Addr: *addr, Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// echo writes the request's line and headers.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err := w.Write([]byte(r.Method + " " + r.RequestURI + "\n")) //nolint:gosec // it is plain text
	if err == nil {
		_ = r.Header.Write(w) // an error is a client that has gone away
	}
}
