package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"authsvc/internal/secrettest"
)

// everything is the evidence of the whole run of this package's tests; TestMain searches it when
// they are through.
var everything = secrettest.New()

// inspect notes what a service says of itself on its admin listener: the status page, metrics,
// health and all of the profiler that takes no time.
func (p *process) inspect() {
	c := http.Client{Timeout: 5 * time.Second}
	for _, path := range []string{
		"/", "/api/status", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1",
	} {
		p.inspectAt(&c, path)
	}
}

func (p *process) inspectAt(c *http.Client, path string) {
	if resp, err := c.Get(p.admin + path); err == nil { // else it has ended
		defer resp.Body.Close()
		everything.Wrote("admin "+path, answered(resp))
	}
}

// answered is an answer as text, with its headers.
func answered(resp *http.Response) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, resp.Status)
	_ = resp.Header.Write(&b)
	_, _ = io.Copy(&b, resp.Body)
	b.WriteByte('\n')
	return b.Bytes()
}
