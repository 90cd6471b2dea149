package status

import "sync"

// maxWatchers bounds the streams that are open at one time.
const maxWatchers = 128

// feed has the latest event for its watchers. Nothing is queued: a watcher that was busy with one
// event finds the latest next, and the publisher never waits.
type feed struct {
	mu       sync.Mutex // guards what follows
	watchers int
	latest   []byte
	next     chan struct{} // closed when there is a later event
	ended    bool
}

// join adds a watcher if there is room and the feed has not ended. A watcher that was added must
// leave.
func (f *feed) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.watchers == maxWatchers {
		return false
	}
	f.watchers++
	return true
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
}

func (f *feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.watchers > 0
}

// now is the latest event, nil before the first, and what is closed when there is a later one; last
// where there never is.
func (f *feed) now() (event []byte, next <-chan struct{}, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.latest, f.next, f.ended
}

func (f *feed) publish(event []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = event
	close(f.next)
	f.next = make(chan struct{})
}

// end publishes the last event.
func (f *feed) end(event []byte) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.publish(event)
}
