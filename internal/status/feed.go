package status

import "sync"

// maxWatchers bounds the number of open streams.
const maxWatchers = 128

// feed has the latest event for its watchers. Nothing is queued: a slow watcher continues with the
// latest event, and the publisher never waits.
type feed struct {
	mu       sync.Mutex // guards what follows
	watchers int
	latest   []byte
	next     chan struct{} // closed when there is a newer event
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

// current returns the latest event, nil before the first, and a channel that is closed when there
// is a newer one. last reports that there will be none.
func (f *feed) current() (event []byte, next <-chan struct{}, last bool) {
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

// finish publishes the last event.
func (f *feed) finish(event []byte) {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.publish(event)
}
