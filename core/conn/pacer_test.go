package conn

import (
	"testing"
	"time"
)

// bottleneck is a link with a queue of bytes that streams share, seen from above:
// what is sent at a rate arrives, after the way, at most at the link's, and the
// rest waits or is lost.
type bottleneck struct {
	rate   float64 // bytes a second
	base   time.Duration
	most   float64 // bytes that fit into the queue
	others float64 // bytes a second of somebody who fills whatever is left

	now   time.Time
	flows []*flow
	queue float64
}

// flow is a stream.
type flow struct {
	pacer
	eager float64 // bytes a second that it sends when nothing holds it back

	queued float64 // bytes of it that wait
	acked  float64
	sent   []float64 // by step, for what is on the way
	noise  int
}

const step = time.Millisecond

// step lets a moment pass.
func (b *bottleneck) step() {
	b.now = b.now.Add(step)
	way := max(int(b.base/step), 1)
	arriving := b.others * step.Seconds()
	for _, f := range b.flows {
		rate := f.eager
		if f.rate > 0 {
			rate = min(rate, f.rate)
		}
		// No more is on the way than the link and the queue hold, which is what
		// TCP's window sees to.
		f.sent = append(f.sent, rate*step.Seconds())
		arrive := 0.0
		if len(f.sent) > way {
			arrive = f.sent[len(f.sent)-1-way]
			f.sent = f.sent[1:]
		}
		f.queued += arrive
		b.queue += arrive
	}
	b.queue += arriving
	if over := b.queue - b.most; over > 0 { // lost, of each in proportion
		for _, f := range b.flows {
			f.queued *= b.most / b.queue
		}
		b.queue = b.most
	}
	if b.queue > 0 {
		leave := min(b.rate*step.Seconds()/b.queue, 1)
		for _, f := range b.flows {
			f.acked += f.queued * leave
			f.queued -= f.queued * leave
		}
		b.queue -= b.queue * leave
	}
	if b.now.UnixMilli()%pacerEvery.Milliseconds() != 0 {
		return
	}
	for _, f := range b.flows {
		f.noise++
		jitter := time.Duration(f.noise%3) * time.Millisecond
		f.next(pacerSample{at: b.now, roundTrip: b.base + b.delay() + jitter, shortest: b.base, acked: uint64(f.acked)})
	}
}

func (b *bottleneck) delay() time.Duration {
	return time.Duration(b.queue / b.rate * float64(time.Second))
}

// run gives the share of the link that is used, and the mean delay of the queue.
func (b *bottleneck) run(d time.Duration) (used float64, queue time.Duration) {
	before := 0.0
	for _, f := range b.flows {
		before += f.acked
	}
	n := int(d / step)
	for range n {
		b.step()
		queue += b.delay() / time.Duration(n)
	}
	for _, f := range b.flows {
		used += f.acked
	}
	return (used - before) / (b.rate * d.Seconds()), queue
}

const mbit = 1e6 / 8

func newBottleneck(rate float64, base, room time.Duration, flows int) *bottleneck {
	b := &bottleneck{rate: rate, base: base, most: rate * room.Seconds(), now: time.Unix(1, 0)}
	for range flows {
		b.flows = append(b.flows, &flow{eager: 10 * rate})
	}
	return b
}

func TestPacer(t *testing.T) {
	for name, b := range map[string]*bottleneck{
		"short way":     newBottleneck(100*mbit, 200*time.Microsecond, 400*time.Millisecond, 1),
		"long way":      newBottleneck(100*mbit, 50*time.Millisecond, 400*time.Millisecond, 1),
		"very long way": newBottleneck(20*mbit, 250*time.Millisecond, 400*time.Millisecond, 1),
		"short queue":   newBottleneck(100*mbit, 20*time.Millisecond, 50*time.Millisecond, 1),
		"slow":          newBottleneck(1*mbit, 20*time.Millisecond, 2*time.Second, 1),
		"two streams":   newBottleneck(100*mbit, 20*time.Millisecond, 200*time.Millisecond, 2),
		"eight streams": newBottleneck(100*mbit, 20*time.Millisecond, 200*time.Millisecond, 8),
	} {
		t.Run(name, func(t *testing.T) {
			check := func(when string, least float64) {
				t.Helper()
				b.run(5*time.Second + 3*time.Duration(b.most/b.rate*float64(time.Second))) // until a full queue is drained
				if used, queue := b.run(20 * time.Second); used < least || queue > 16*time.Millisecond {
					t.Errorf("%s: uses %.1f%% of the link with a queue of %s", when, used*100, queue)
				}
			}
			check("at first", 0.97)
			b.rate *= 4
			check("on a link that became faster", 0.95)
			b.rate /= 8
			check("on a link that became slower", 0.95)
			least, most := b.flows[0].acked, b.flows[0].acked
			for _, f := range b.flows {
				least, most = min(least, f.acked), max(most, f.acked)
			}
			if least < most/2 {
				t.Errorf("one stream got %.0f bytes, another one %.0f", least, most)
			}
		})
	}
}

// TestPacerUnqueued has a stream that is bounded by something else.
func TestPacerUnqueued(t *testing.T) {
	b := newBottleneck(1000*mbit, 20*time.Millisecond, 100*time.Millisecond, 1)
	f := b.flows[0]
	f.eager = b.rate / 2
	b.run(10 * time.Second)
	if f.rate != 0 {
		t.Fatalf("a stream without a queue is held back to %.0f B/s", f.rate)
	}
	// For a while there is a queue, and when it is gone nothing is left of that.
	f.eager = 2 * b.rate
	b.run(5 * time.Second)
	if f.rate == 0 {
		t.Fatal("a stream with a queue is not held back")
	}
	f.eager = b.rate / 4
	b.run(5 * time.Second)
	if f.rate != 0 {
		t.Fatalf("a stream that does not send more is held back to %.0f B/s", f.rate)
	}
}

// TestPacerOthers has somebody else keep the queue full: a stream that gives way
// would get nothing, and help nobody.
func TestPacerOthers(t *testing.T) {
	b := newBottleneck(100*mbit, 20*time.Millisecond, 100*time.Millisecond, 1)
	f := b.flows[0]
	b.others, f.eager = b.rate, b.rate // so half is a fair share
	b.run(5 * time.Second)
	if used, _ := b.run(60 * time.Second); used < 0.4 {
		t.Errorf("gets %.0f%% of a link that another one fills", used*100)
	}
	b.others = 0
	b.run(pacerYield)
	if used, queue := b.run(20 * time.Second); used < 0.97 || queue > 16*time.Millisecond {
		t.Errorf("afterwards uses %.1f%% of the link with a queue of %s", used*100, queue)
	}
}
