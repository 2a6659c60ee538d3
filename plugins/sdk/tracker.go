package sdk

import "sync"

// tracker counts goroutines, as a sync.WaitGroup does, but may be waited for
// while new ones begin.
type tracker struct {
	mu     sync.Mutex // guards all below
	active int
	closed bool
	waits  []chan struct{} // closed when active falls to 0
}

// run runs fn in a goroutine; false when the tracker is closed.
func (t *tracker) run(fn func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.active++
	go func() {
		fn()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.active--
		if t.active == 0 {
			for _, w := range t.waits {
				close(w)
			}
			t.waits = nil
		}
	}()
	return true
}

// idle gives a channel that is closed when nothing runs.
func (t *tracker) idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := make(chan struct{})
	if t.active == 0 {
		close(w)
	} else {
		t.waits = append(t.waits, w)
	}
	return w
}

// close lets nothing run any more; the channel is as idle's.
func (t *tracker) close() <-chan struct{} {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.idle()
}
