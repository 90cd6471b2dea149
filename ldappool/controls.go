package ldappool

import (
	"slices"
	"sync"

	"authsvc/ldappool/ldapconn"
)

// serverFacts is what connections have found out about their server.
type serverFacts struct {
	controls   serverControls
	comparison comparison
}

// serverControls is what is known of a server's controls.
type serverControls struct {
	mu       sync.Mutex // guards what follows
	listed   []string   // object identifiers
	complete bool       // the service identity has read the list, or it is not empty
}

// asksForControls reports whether the dial should read the list of the server's controls.
func (c *conn) asksForControls() bool {
	if !c.cfg.OnlyListedControls {
		return false
	}
	known := &c.server.controls
	known.mu.Lock()
	defer known.mu.Unlock()
	return !known.complete
}

// record records an answer to rootDSEControls. Anonymous clients may not be allowed to read the
// list, so an empty list only counts if the service identity has read it.
func (k *serverControls) record(r *ldapconn.SearchResult, asService bool) {
	var listed []string
	for _, e := range r.Entries {
		listed = append(listed, e.GetEqualFoldAttributeValues(supportedControl)...)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(listed) > 0 || asService {
		k.listed, k.complete = listed, true
	}
}

// supported returns the controls of a bind that are sent to the server. It does not change
// controls.
func (k *serverControls) supported(controls []Control) []Control {
	k.mu.Lock()
	defer k.mu.Unlock()
	unsupported := func(c Control) bool { return !c.Critical && !slices.Contains(k.listed, c.OID) }
	if !slices.ContainsFunc(controls, unsupported) {
		return controls
	}
	return slices.DeleteFunc(slices.Clone(controls), unsupported)
}

// controlsFor returns the controls of a bind that are sent to the server of a connection.
func (p *Pool) controlsFor(c *conn, controls []Control) []Control {
	if len(controls) == 0 || !p.config().OnlyListedControls {
		return controls
	}
	return c.server.controls.supported(controls)
}
