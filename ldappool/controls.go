package ldappool

import (
	"slices"
	"sync"

	"authsvc/ldappool/ldapconn"
)

// knowledge is what has been learned of a server's controls.
type knowledge struct {
	mu       sync.Mutex // guards what follows
	listed   []string   // object identifiers
	complete bool       // the service identity has read the list, or it is not empty
}

// asksForControls reports whether the dial should ask what controls the server has.
func (c *conn) asksForControls() bool {
	if !c.with.OnlyListedControls {
		return false
	}
	c.known.mu.Lock()
	defer c.known.mu.Unlock()
	return !c.known.complete
}

// read takes in an answer to rootDSEControls. What nobody may read, the service identity may: an
// empty list is only believed if that has read it.
func (k *knowledge) read(r *ldapconn.SearchResult, asService bool) {
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

// fits returns those of the controls of a bind that the server is sent. controls is not changed.
func (k *knowledge) fits(controls []Control) []Control {
	k.mu.Lock()
	defer k.mu.Unlock()
	unfit := func(c Control) bool { return !c.Critical && !slices.Contains(k.listed, c.OID) }
	if !slices.ContainsFunc(controls, unfit) {
		return controls
	}
	return slices.DeleteFunc(slices.Clone(controls), unfit)
}

// controlsFor returns those of the controls of a bind that the server of a connection is sent.
func (p *Pool) controlsFor(c *conn, controls []Control) []Control {
	if len(controls) == 0 || !p.config().OnlyListedControls {
		return controls
	}
	return c.known.fits(controls)
}
