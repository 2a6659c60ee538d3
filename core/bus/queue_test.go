package bus

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

func next[E any](t *testing.T, q *Queue[E]) (E, error) {
	t.Helper()
	return q.Next(t.Context())
}

// TestLagIsToldOnceAndWhere: what came before the gap, then the gap, then what
// came after it was told.
func TestLagIsToldOnceAndWhere(t *testing.T) {
	b := New()
	q := Subscribe(b, numbers, 3)
	for n := range 10 {
		Publish(b, numbers, n)
	}
	if n, err := next(t, q); n != 0 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	// There is room again, but what comes now stands behind the gap.
	Publish(b, numbers, 10)
	for want := 1; want < 3; want++ {
		if n, err := next(t, q); n != want || err != nil {
			t.Fatalf("got %d, %v; want %d", n, err, want)
		}
	}
	if n, ok := q.TryNext(); ok {
		t.Fatalf("TryNext went over the gap to %d", n)
	}
	if n, err := next(t, q); !errors.Is(err, ErrLagged) {
		t.Fatalf("got %d, %v; want ErrLagged", n, err)
	}
	Publish(b, numbers, 11)
	if n, err := next(t, q); n != 11 || err != nil {
		t.Fatalf("after the gap: got %d, %v; want 11", n, err)
	}
	for n := range 4 { // and again
		Publish(b, numbers, n)
	}
	drain(q)
	if _, err := next(t, q); !errors.Is(err, ErrLagged) {
		t.Fatalf("second time: %v; want ErrLagged", err)
	}
}

func TestClosedQueue(t *testing.T) {
	b := New()
	q := Subscribe(b, numbers, 2)
	for n := range 3 {
		Publish(b, numbers, n)
	}
	q.Close()
	Publish(b, numbers, 9)
	var got []int
	var errs []error
	for range 5 {
		n, err := next(t, q)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{0, 1}) || !slices.Equal(errs, []error{ErrLagged, ErrClosed, ErrClosed}) {
		t.Errorf("got %v and %v; want what was in it, that it lagged, and that it is closed", got, errs)
	}
	Feed(b, numbers, q, func(n int) (int, bool) { return n, true })
	if n := len(fanOf(b, numbers).feeds); n != 0 {
		t.Errorf("a closed queue is fed by %d topics", n)
	}
}

func TestNextWaits(t *testing.T) {
	tests := []struct {
		name string
		act  func(b *Bus, q *Queue[int], cancel func())
		want int
		err  error
	}{
		{"for an event", func(b *Bus, _ *Queue[int], _ func()) { Publish(b, numbers, 7) }, 7, nil},
		{"for its end", func(_ *Bus, q *Queue[int], _ func()) { q.Close() }, 0, ErrClosed},
		{"for its context", func(_ *Bus, _ *Queue[int], cancel func()) { cancel() }, 0, context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New()
				q := Subscribe(b, numbers, 4)
				Publish(b, numbers, 1) // leaves a stale wake-up behind
				drain(q)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				type result struct {
					n   int
					err error
				}
				results := make(chan result, 1)
				go func() {
					n, err := q.Next(ctx)
					results <- result{n, err}
				}()
				synctest.Wait()
				select {
				case r := <-results:
					t.Fatalf("did not wait: %v", r)
				default:
				}
				test.act(b, q, cancel)
				if r := <-results; r.n != test.want || !errors.Is(r.err, test.err) {
					t.Errorf("got %d, %v; want %d, %v", r.n, r.err, test.want, test.err)
				}
			})
		})
	}
}

func TestCloseWakesAllWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue[int](1)
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() {
				_, err := q.Next(t.Context())
				errs <- err
			}()
		}
		synctest.Wait()
		q.Close()
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("got %v", err)
			}
		}
	})
}

// TestLostEventsGiveBackWhatTheyHold: a link takes a credit for each packet it
// publishes; a lost one must not keep it, or the link would stand still.
func TestLostEventsGiveBackWhatTheyHold(t *testing.T) {
	b := New()
	q := Subscribe(b, PacketReceived, 2)
	syncs := Subscribe(b, SyncReceived, 1)
	credits := 0
	for range 5 {
		credits--
		Publish(b, PacketReceived, Received{Release: func() { credits++ }})
	}
	if credits != -2 {
		t.Errorf("%d credits are out for 2 events in the queue", -credits)
	}
	q.Drain()
	if credits != 0 {
		t.Errorf("%d credits are out for an empty queue", -credits)
	}
	for range 2 {
		credits--
		Publish(b, SyncReceived, SyncFrame{Release: func() { credits++ }})
	}
	if credits != -1 {
		t.Errorf("%d credits are out for 1 frame in the queue", -credits)
	}
	syncs.Drain()
	Publish(b, SyncReceived, SyncFrame{}) // holds nothing, goes nowhere
}

// TestQueueIsWhatItSays compares the ring with a plain slice.
func TestQueueIsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(-1, 40).Draw(t, "capacity")
		q := NewQueue[int](capacity)
		capacity = max(capacity, 1)
		var model []int
		lagged := false
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // Next does not wait
		for n := range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "step") > 0 {
				q.put(n)
				switch {
				case lagged:
				case len(model) == capacity:
					lagged = true
				default:
					model = append(model, n)
				}
				continue
			}
			got, err := q.Next(ctx)
			switch {
			case len(model) > 0:
				if err != nil || got != model[0] {
					t.Fatalf("got %d, %v; want %d", got, err, model[0])
				}
				model = model[1:]
			case lagged:
				if !errors.Is(err, ErrLagged) {
					t.Fatalf("got %d, %v; want ErrLagged", got, err)
				}
				lagged = false
			default:
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("got %d, %v; want nothing", got, err)
				}
			}
		}
	})
}
