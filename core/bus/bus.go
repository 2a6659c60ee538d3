// Package bus carries what happens inside the core from those who notice it to
// those who care, and is the only importer of asaskevich/EventBus.
//
// Promises:
//   - Publish never blocks and never calls a subscriber's code but for the
//     short filter given to Feed.
//   - Each queue gets the events of one publisher in the order in which they
//     were published, across all topics that feed it.
//   - Queues are bounded. One that is full loses the event, and its reader is
//     told so once (ErrLagged) at the place where events are missing; it then
//     reads the state anew from where the truth is kept. An event that holds
//     something of its publisher's is told that it was lost (Dropper).
//   - Topics are typed: a payload of a wrong type does not compile. All topics
//     are declared in topics.go.
//
// EventBus itself holds one lock while handlers run, so a handler that
// publishes would deadlock and a slow one would hold up every topic. Therefore
// it gets exactly one permanent handler a topic, which only enqueues.
package bus

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/asaskevich/EventBus"
)

// ErrLagged says that events were lost because the queue was full.
var ErrLagged = errors.New("events were lost: queue was full")

// ErrClosed says that the queue was closed.
var ErrClosed = errors.New("queue is closed")

// Dropper is implemented by a queue's events (what convert gives) that must be
// let go when nobody will read them. Dropped runs inside Publish or Drain: it must be quick, must not use the
// bus, and may come once for each queue that lost the event.
type Dropper interface{ Dropped() }

// Topic is a named kind of event with payload T.
type Topic[T any] struct{ name string }

// Name of the topic.
func (t Topic[T]) Name() string { return t.name }

// Bus connects publishers with queues. The zero Bus does not work, New does.
type Bus struct {
	events EventBus.Bus

	mu     sync.Mutex // guards topics; taken before any fan's
	topics map[string]any
}

// New makes a bus.
func New() *Bus {
	return &Bus{events: EventBus.New(), topics: map[string]any{}}
}

// fan is the one handler of a topic: it hands each payload to all feeds, in the
// order in which they came.
type fan[T any] struct {
	mu    sync.Mutex // guards feeds; held while they enqueue, taken before a queue's
	feeds []*feed[T]
}

type feed[T any] struct{ put func(T) }

func (f *fan[T]) handle(v T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, feed := range f.feeds {
		feed.put(v)
	}
}

func (f *fan[T]) add(feed *feed[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = append(f.feeds, feed)
}

func (f *fan[T]) remove(gone *feed[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feeds = slices.DeleteFunc(f.feeds, func(feed *feed[T]) bool { return feed == gone })
}

// Publish hands v to every queue that the topic feeds.
func Publish[T any](b *Bus, t Topic[T], v T) {
	b.events.Publish(t.name, v)
}

// Feed makes a topic feed a queue until the queue is closed. convert says what
// the queue gets, and false to leave an event out; it runs inside Publish, so
// it must be quick and must not use the bus.
func Feed[T, E any](b *Bus, t Topic[T], q *Queue[E], convert func(T) (E, bool)) {
	f := fanOf(b, t)
	fd := &feed[T]{put: func(v T) {
		if e, ok := convert(v); ok {
			q.put(e)
		}
	}}
	f.add(fd)
	q.onClose(func() { f.remove(fd) })
}

// Subscribe makes a queue that one topic feeds.
func Subscribe[T any](b *Bus, t Topic[T], capacity int) *Queue[T] {
	q := NewQueue[T](capacity)
	Feed(b, t, q, func(v T) (T, bool) { return v, true })
	return q
}

func fanOf[T any](b *Bus, t Topic[T]) *fan[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f, ok := b.topics[t.name].(*fan[T]); ok {
		return f
	}
	f := &fan[T]{}
	b.topics[t.name] = f
	// Cannot fail: handle is a function, all that Subscribe asks for.
	_ = b.events.Subscribe(t.name, f.handle)
	return f
}

// Queue is a bounded, ordered queue of events for one reader.
type Queue[E any] struct {
	mu       sync.Mutex // guards all below
	events   []E        // a ring
	head, n  int
	lagged   bool // events were lost after the last one in the ring
	closed   bool
	detach   []func()
	wake     chan struct{} // has room for one; filled when there is something to see
	capacity int
}

// NewQueue makes a queue of at most capacity events.
func NewQueue[E any](capacity int) *Queue[E] {
	return &Queue[E]{capacity: max(capacity, 1), wake: make(chan struct{}, 1)}
}

func (q *Queue[E]) onClose(f func()) {
	q.mu.Lock()
	closed := q.closed
	if !closed {
		q.detach = append(q.detach, f)
	}
	q.mu.Unlock()
	if closed {
		f()
	}
}

func (q *Queue[E]) put(e E) {
	if q.push(e) {
		q.signal()
	} else if d, ok := any(e).(Dropper); ok {
		d.Dropped()
	}
}

func (q *Queue[E]) push(e E) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.lagged {
		return false
	}
	if q.n == q.capacity {
		q.lagged = true
		return false
	}
	if q.n == len(q.events) {
		q.grow()
	}
	q.events[(q.head+q.n)%len(q.events)] = e
	q.n++
	return true
}

func (q *Queue[E]) grow() {
	bigger := make([]E, min(max(2*len(q.events), 16), q.capacity))
	for i := range q.n {
		bigger[i] = q.events[(q.head+i)%len(q.events)]
	}
	q.events, q.head = bigger, 0
}

func (q *Queue[E]) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next event. Its errors are ErrLagged (once, where events
// are missing; the queue goes on afterwards), ErrClosed, and ctx's.
func (q *Queue[E]) Next(ctx context.Context) (E, error) {
	for {
		if e, ok, err := q.take(); ok || err != nil {
			return e, err
		}
		select {
		case <-ctx.Done():
			var none E
			return none, ctx.Err()
		case <-q.wake:
		}
	}
}

// TryNext gives the next event if there is one now; for batches. It gives
// nothing where Next would give an error.
func (q *Queue[E]) TryNext() (e E, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pop()
}

func (q *Queue[E]) take() (e E, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok = q.pop(); ok {
		return e, true, nil
	}
	switch {
	case q.lagged:
		q.lagged = false
		return e, false, ErrLagged
	case q.closed:
		q.signal() // for other waiters
		return e, false, ErrClosed
	}
	return e, false, nil
}

func (q *Queue[E]) pop() (e E, ok bool) {
	if q.n == 0 {
		return e, false
	}
	var none E
	e = q.events[q.head]
	q.events[q.head] = none
	q.head = (q.head + 1) % len(q.events)
	q.n--
	return e, true
}

// Close detaches the queue from its topics. What is in it can still be read; a
// reader that goes without doing so calls Drain. Idempotent.
func (q *Queue[E]) Close() {
	q.mu.Lock()
	detach := q.detach
	q.detach, q.closed = nil, true
	q.mu.Unlock()
	for _, f := range detach {
		f()
	}
	q.signal()
}

// Drain closes the queue and drops what is in it.
func (q *Queue[E]) Drain() {
	q.Close()
	for {
		e, ok := q.TryNext()
		if !ok {
			return
		}
		if d, ok := any(e).(Dropper); ok {
			d.Dropped()
		}
	}
}
