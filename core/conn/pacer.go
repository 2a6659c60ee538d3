package conn

import (
	"math"
	"slices"
	"time"
)

// A bulk stream fills whatever queue the bottleneck has, and a chat line that
// goes through the same queue waits behind it. So a stream that sees its round
// trip grow is paced: the kernel is told how fast to send at most, which is what
// arrives, a little more while the queue is short and less while it is long. So
// some queue stays, and the link is never idle. A stream that meets no queue, as
// on a fast network or on this host, is never held back; neither is one for some
// time that finds out that a queue is filled by others, who would have the link
// for themselves.

const (
	// pacerQueue is how long the queue of a paced stream is to be.
	pacerQueue = 8 * time.Millisecond
	// pacerEvery is how often a stream is looked at while it sends, and
	// pacerWindow, or the shortest round trip if that is longer, for how long before
	// something is decided: the shortest of several looks has the least noise.
	pacerEvery, pacerWindow = 10 * time.Millisecond, 50 * time.Millisecond
	// pacerDrain is in what time a queue is let change to what it is to be, unless
	// that is less than pacerWindows windows, in which it would swing.
	pacerDrain, pacerWindows = 200 * time.Millisecond, 4
	// pacerFair is what streams get beyond what arrives, times the root of that,
	// in bytes a second: more the slower they are, so that none starves.
	pacerFair = 8
	// pacerHurry is how much faster the rate grows with each window, up to ten,
	// in which there was no queue.
	pacerHurry = 0.01
	// pacerFree: a rate so far above what is delivered holds nothing back.
	pacerFree = 2
	// pacerLeast is the lowest rate, in bytes a second.
	pacerLeast = 16 << 10
	// pacerGiveUp is how long half the speed may leave a queue as it is that would
	// be shorter if it was of one's own streams. Then it is others' for pacerYield.
	pacerGiveUp, pacerYield = 3 * time.Second, 15 * time.Second
)

// pacerSample is what the kernel knows of a connection.
type pacerSample struct {
	at        time.Time
	roundTrip time.Duration // smoothed
	shortest  time.Duration // of the last minutes
	acked     uint64        // bytes that arrived since the beginning
}

// pacer decides how fast a bulk stream may send.
type pacer struct {
	rate float64 // bytes a second; 0: as fast as it goes

	began     pacerSample   // of the window
	roundTrip time.Duration // the shortest in it
	empty     int           // windows without a queue, one after the other
	delivered [5]float64    // bytes a second that arrived in the last ones

	queued time.Time     // since when there is too much of a queue, or has not become less; zero: there is not
	most   time.Duration // how long it was then
	floor  float64       // the lowest rate that is tried against it
	freed  time.Time     // when the queue was found to be others'
}

// rest has the next sample begin a window: nothing was sent before.
func (p *pacer) rest() { p.began = pacerSample{} }

// next takes a sample and gives the rate from now on, 0 for none, and whether it
// is another one than before.
func (p *pacer) next(s pacerSample) (rate float64, changed bool) {
	if p.began.at.IsZero() {
		p.began, p.roundTrip = s, s.roundTrip
	}
	p.roundTrip = min(p.roundTrip, s.roundTrip)
	window := s.at.Sub(p.began.at)
	if window < max(pacerWindow, s.shortest) {
		return math.Round(p.rate), false
	}
	before := p.rate
	if s.acked > p.began.acked && s.shortest > 0 {
		copy(p.delivered[1:], p.delivered[:])
		p.delivered[0] = float64(s.acked-p.began.acked) / window.Seconds()
		p.decide(s.at, window, p.roundTrip-s.shortest, p.speed())
	}
	p.began, p.roundTrip = s, s.roundTrip
	return math.Round(p.rate), p.rate != before
}

// speed is how many bytes a second arrive. Acknowledgements come late and then
// in clumps when a machine is busy, so that it is the middle of the last windows.
func (p *pacer) speed() float64 {
	known := slices.Clone(p.delivered[:])
	slices.Sort(known)
	known = slices.DeleteFunc(known, func(d float64) bool { return d == 0 })
	return known[len(known)/2]
}

// decide chooses the rate after a window in which the queue was never shorter.
func (p *pacer) decide(now time.Time, window, queue time.Duration, delivered float64) {
	yields := now.Sub(p.freed) < pacerYield
	if yields || queue <= 2*pacerQueue {
		p.queued = time.Time{}
	}
	if p.rate == 0 && (yields || queue <= pacerQueue) {
		return
	}
	drain := max(pacerDrain, pacerWindows*window)
	base, share := delivered, 1+float64(pacerQueue-queue)/float64(drain)
	if p.empty++; queue < pacerQueue/2 {
		base = max(p.rate, delivered) // it may be that there was not more to send
		share += min(float64(p.empty)*pacerHurry, 10*pacerHurry)
	} else {
		p.empty = 0
	}
	fair := pacerFair * math.Sqrt(base) * float64(pacerDrain) / float64(drain)
	next := max(base*max(share, 0.5)+fair, pacerLeast)
	if queue <= pacerQueue && next > pacerFree*delivered {
		next = 0
	}
	if queue > 2*pacerQueue {
		switch {
		case p.queued.IsZero(), delivered < p.rate*3/4: // the link became slower, and that is all
			p.queued, p.most, p.floor = now, queue, delivered/2
		case queue < p.most*3/4:
			p.queued, p.most = now, queue
		case next <= p.floor && now.Sub(p.queued) > pacerGiveUp:
			p.freed, p.rate = now, 0
			return
		}
		next = max(next, p.floor)
	}
	p.rate = next
}
