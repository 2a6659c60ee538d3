package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/parley-chat/parley/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Topics of the tests.
var (
	words   = Topic[string]{"test.words"}
	numbers = Topic[int]{"test.numbers"}
	failure = Topic[error]{"test.failure"}
)

func text[T any](v T) (string, bool) { return fmt.Sprint(v), true }

// drain gives what is in q now.
func drain[E any](q *Queue[E]) []E {
	var all []E
	for {
		e, ok := q.TryNext()
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

func TestOneTopic(t *testing.T) {
	b := New()
	Publish(b, words, "nobody listens")
	q := Subscribe(b, words, 10)
	Publish(b, words, "one")
	Publish(b, numbers, 2)
	Publish(b, words, "three")
	if got := drain(q); !slices.Equal(got, []string{"one", "three"}) {
		t.Errorf("got %q", got)
	}
}

func TestNilOfAnInterface(t *testing.T) {
	b := New()
	q := Subscribe(b, failure, 10)
	Publish(b, failure, nil)
	Publish(b, failure, ErrLagged)
	if got := drain(q); len(got) != 2 || got[0] != nil || !errors.Is(got[1], ErrLagged) {
		t.Errorf("got %v", got)
	}
}

func TestOrderAcrossTopics(t *testing.T) {
	b := New()
	q := NewQueue[string](100)
	Feed(b, words, q, text[string])
	Feed(b, numbers, q, text[int])
	var want []string
	for i := range 40 {
		if i%3 == 0 {
			Publish(b, words, fmt.Sprintf("w%d", i))
			want = append(want, fmt.Sprintf("w%d", i))
		} else {
			Publish(b, numbers, i)
			want = append(want, fmt.Sprint(i))
		}
	}
	if got := drain(q); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestOrderPerPublisher: publishers run at once, and each one's events come in
// its order, whatever topic they were on.
func TestOrderPerPublisher(t *testing.T) {
	const publishers, each = 8, 500
	b := New()
	type event struct{ publisher, n int }
	even, odd := Topic[event]{"test.even"}, Topic[event]{"test.odd"}
	var queues []*Queue[event]
	same := func(e event) (event, bool) { return e, true }
	for range 3 {
		q := NewQueue[event](publishers * each)
		Feed(b, even, q, same)
		Feed(b, odd, q, same)
		queues = append(queues, q)
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for n := range each {
				Publish(b, []Topic[event]{even, odd}[n%2], event{p, n})
			}
		})
	}
	wg.Wait()
	for i, q := range queues {
		var next [publishers]int
		for _, e := range drain(q) {
			if e.n != next[e.publisher] {
				t.Fatalf("queue %d: event %d of publisher %d came where %d should", i, e.n, e.publisher, next[e.publisher])
			}
			next[e.publisher]++
		}
		for p, n := range next {
			if n != each {
				t.Errorf("queue %d: %d of %d events of publisher %d", i, n, each, p)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	b := New()
	q := NewQueue[int](10)
	Feed(b, numbers, q, func(n int) (int, bool) { return n * n, n%2 == 0 })
	for n := range 7 {
		Publish(b, numbers, n)
	}
	if got := drain(q); !slices.Equal(got, []int{0, 4, 16, 36}) {
		t.Errorf("got %v", got)
	}
}

// TestReadersMayPublish: with EventBus alone this deadlocks.
func TestReadersMayPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		in, out := Subscribe(b, numbers, 10), Subscribe(b, words, 10)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				n, err := in.Next(ctx)
				if err != nil {
					return
				}
				Publish(b, words, fmt.Sprint(n))
				Subscribe(b, numbers, 1).Close()
			}
		}()
		for n := range 5 {
			Publish(b, numbers, n)
		}
		synctest.Wait()
		if got := drain(out); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
			t.Errorf("got %q", got)
		}
		cancel()
		<-done
	})
}

// TestSlowReaderHoldsUpNobody: with EventBus alone one slow handler stops every
// topic.
func TestSlowReaderHoldsUpNobody(t *testing.T) {
	b := New()
	slow, quick := Subscribe(b, numbers, 1), Subscribe(b, numbers, 1000)
	for n := range 1000 {
		Publish(b, numbers, n)
	}
	if got := drain(quick); len(got) != 1000 {
		t.Errorf("the quick one got %d of 1000", len(got))
	}
	if got := drain(slow); !slices.Equal(got, []int{0}) {
		t.Errorf("the slow one got %v", got)
	}
}

// TestClosingOneLeavesTheOthers: EventBus's Unsubscribe of a method value may
// remove another object's handler.
func TestClosingOneLeavesTheOthers(t *testing.T) {
	for gone := range 3 {
		b := New()
		queues := []*Queue[int]{Subscribe(b, numbers, 10), Subscribe(b, numbers, 10), Subscribe(b, numbers, 10)}
		Publish(b, numbers, 1)
		queues[gone].Close()
		queues[gone].Close()
		Publish(b, numbers, 2)
		for i, q := range queues {
			want := []int{1, 2}
			if i == gone {
				want = []int{1}
			}
			if got := drain(q); !slices.Equal(got, want) {
				t.Errorf("%d closed: queue %d got %v, want %v", gone, i, got, want)
			}
		}
	}
}

// TestComingAndGoingLeavesNothing: front ends come and go for months.
func TestComingAndGoingLeavesNothing(t *testing.T) {
	b := New()
	last := Subscribe(b, numbers, 1)
	for range 100 {
		next := Subscribe(b, numbers, 1)
		last.Close() // so that there is always one
		last = next
	}
	if n := len(fanOf(b, numbers).feeds); n != 1 {
		t.Errorf("%d feeds for one queue", n)
	}
}

func TestOneQueueFedTwiceByATopic(t *testing.T) {
	b := New()
	q := NewQueue[string](10)
	Feed(b, numbers, q, func(n int) (string, bool) { return fmt.Sprint("first ", n), true })
	Feed(b, numbers, q, func(n int) (string, bool) { return fmt.Sprint("second ", n), true })
	Publish(b, numbers, 1)
	if got := drain(q); !slices.Equal(got, []string{"first 1", "second 1"}) {
		t.Errorf("got %q", got)
	}
	q.Close()
	Publish(b, numbers, 2)
	if got := drain(q); got != nil {
		t.Errorf("after closing it got %q", got)
	}
}

// TestPeersCannotHitATopic: a packet's type is chosen by its author, and must not
// lead to a topic of another payload, which would panic.
func TestPeersCannotHitATopic(t *testing.T) {
	b := New()
	received := Subscribe(b, PacketReceived, 10)
	stored := Subscribe(b, PacketStored("received"), 10)
	Publish(b, PacketStored("received"), Stored{Chat: "a-b"})
	Publish(b, PacketReceived, Received{})
	if got := drain(stored); len(got) != 1 || got[0].Chat != "a-b" {
		t.Errorf("stored: %v", got)
	}
	if got := drain(received); len(got) != 1 {
		t.Errorf("received: %d", len(got))
	}
}

// TestTopicsHaveNamesOfTheirOwn: two topics of one name would mix payloads.
func TestTopicsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{
		LinkUp.Name(), LinkDown.Name(), PacketReceived.Name(), SyncReceived.Name(), EntryAppended.Name(), DirectoryChanged.Name(),
		PresenceChanged.Name(), DirectoryDelivered.Name(), ContactChanged.Name(), ChatChanged.Name(), MessageAdded.Name(),
		MessageChanged.Name(), MessageRemoved.Name(), PluginChanged.Name(), PluginPublished.Name(), Noticed.Name(), SettingsChanged.Name(), ProfileChanged.Name(),
	} {
		if seen[name] || name == "" {
			t.Errorf("topic %q twice", name)
		}
		seen[name] = true
		if strings.Contains(name, ":") {
			t.Errorf("topic %q may be that of a packet's type", name)
		}
	}
	for _, typ := range []packet.Type{"received", "text", "org.example.poll/vote"} {
		if name := PacketStored(typ).Name(); seen[name] || !strings.Contains(name, ":") {
			t.Errorf("packets of type %q are on topic %q", typ, name)
		}
	}
}

// TestEverythingAtOnce is for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	b := New()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var publishers, readers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			for n := range 300 {
				Publish(b, numbers, n)
				Publish(b, words, fmt.Sprint(p))
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				q := NewQueue[string](3)
				Feed(b, numbers, q, text[int])
				Feed(b, words, q, text[string])
				for range 5 {
					if _, err := q.Next(ctx); err != nil && !errors.Is(err, ErrLagged) {
						break
					}
				}
				q.Close()
				if _, err := q.Next(context.Background()); err == nil {
					drain(q)
				}
			}
		})
	}
	publishers.Wait()
	cancel()
	readers.Wait()
	if n := len(fanOf(b, numbers).feeds) + len(fanOf(b, words).feeds); n != 0 {
		t.Errorf("%d feeds are left", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1, 10} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			bus := New()
			for range subscribers {
				Subscribe(bus, numbers, 1) // full at once: the cost of the bus alone
			}
			b.ReportAllocs()
			for n := range b.N {
				Publish(bus, numbers, n)
			}
		})
	}
	b.Run("read", func(b *testing.B) {
		bus := New()
		q := Subscribe(bus, numbers, 1024)
		b.ReportAllocs()
		for n := range b.N {
			Publish(bus, numbers, n)
			if _, err := q.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
