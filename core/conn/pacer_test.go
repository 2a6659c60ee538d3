package conn

import (
	"testing"
	"time"
)

// bottleneck is a link with a queue, seen from above: what is sent at a rate
// arrives at most at the link's, and the rest waits.
type bottleneck struct {
	rate  float64 // bytes a second
	base  time.Duration
	queue float64 // bytes that wait
	most  float64 // that fit
}

// step lets time pass while somebody sends as fast as the pacer allows.
func (b *bottleneck) step(p *pacer, now time.Time, dt time.Duration, eager float64) (sent float64, delay time.Duration) {
	rate := eager
	if p.rate > 0 {
		rate = min(rate, p.rate)
	}
	arrived := min(b.rate*dt.Seconds(), b.queue+rate*dt.Seconds())
	b.queue = min(max(b.queue+rate*dt.Seconds()-arrived, 0), b.most)
	delay = b.base + time.Duration(b.queue/b.rate*float64(time.Second))
	p.next(pacerSample{at: now, roundTrip: delay, shortest: b.base, delivered: arrived / dt.Seconds()})
	return arrived, delay - b.base
}

// run gives the share of the link that is used and the mean delay of the queue,
// after a start.
func (b *bottleneck) run(p *pacer, seconds int, eager float64) (used float64, queue time.Duration) {
	const dt = pacerEvery
	now := time.Unix(1, 0)
	var sent float64
	var delays time.Duration
	n := 0
	for i := range seconds * int(time.Second/dt) {
		now = now.Add(dt)
		s, d := b.step(p, now, dt, eager)
		if i > int(5*time.Second/dt) {
			sent += s
			delays += d
			n++
		}
	}
	return sent / (b.rate * float64(n) * dt.Seconds()), delays / time.Duration(n)
}

func TestPacer(t *testing.T) {
	const mbit = 1e6 / 8
	for name, b := range map[string]*bottleneck{
		"100 Mbit/s, short way":  {rate: 100 * mbit, base: 200 * time.Microsecond, most: 5e6},
		"100 Mbit/s, long way":   {rate: 100 * mbit, base: 50 * time.Millisecond, most: 5e6},
		"1 Mbit/s, a huge queue": {rate: 1 * mbit, base: 20 * time.Millisecond, most: 250e3},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pacer{}
			used, queue := b.run(p, 20, 1e9)
			if used < 0.95 || queue > 15*time.Millisecond {
				t.Errorf("uses %.0f%% of the link with a queue of %s", used*100, queue)
			}
			// The link becomes four times as fast, and that is found out.
			b.rate *= 4
			if used, queue = b.run(p, 30, 1e9); used < 0.9 || queue > 15*time.Millisecond {
				t.Errorf("uses %.0f%% of the faster link with a queue of %s", used*100, queue)
			}
			// And slower again.
			b.rate /= 8
			if used, queue = b.run(p, 30, 1e9); used < 0.9 || queue > 30*time.Millisecond {
				t.Errorf("uses %.0f%% of the slower link with a queue of %s", used*100, queue)
			}
		})
	}
	t.Run("nothing in the way", func(t *testing.T) {
		p := &pacer{}
		b := &bottleneck{rate: 1e9, base: 50 * time.Microsecond, most: 5e6}
		b.run(p, 10, 0.5e9)
		if p.rate != 0 {
			t.Errorf("a stream without a queue is held back to %.0f B/s", p.rate)
		}
	})
}
