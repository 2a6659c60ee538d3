package viewmodel

import "sync"

// Loop runs functions one after the other, on the one goroutine to which the
// models belong.
type Loop interface {
	// Post has f run soon, after all that was posted before. It may be called by
	// any goroutine and does not wait.
	Post(f func())
}

// Queue is a Loop of functions that its owner runs: by tests, and by the window,
// which is woken once for all that has gathered.
type Queue struct {
	wake func()

	mu   sync.Mutex // guards work
	work []func()
}

// NewQueue makes a queue. wake, which may be called by any goroutine, is called
// when the first function comes into an empty queue; the owner then calls Run.
func NewQueue(wake func()) *Queue { return &Queue{wake: wake} }

// Post implements Loop.
func (q *Queue) Post(f func()) {
	q.mu.Lock()
	first := len(q.work) == 0
	q.work = append(q.work, f)
	q.mu.Unlock()
	if first {
		q.wake()
	}
}

// Run runs what is there, and not what comes meanwhile: for that, wake is called
// again.
func (q *Queue) Run() {
	q.mu.Lock()
	work := q.work
	q.work = nil
	q.mu.Unlock()
	for _, f := range work {
		f()
	}
}
