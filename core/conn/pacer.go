package conn

import (
	"math"
	"time"
)

// A bulk stream fills whatever queue the bottleneck has, and a chat line that
// goes through the same queue waits behind it. So a stream that sees its round
// trip grow is paced: the kernel is told how fast to send at most, which is kept
// just below what arrives while there is a queue, and raised while there is none.
// A stream that meets no queue, as on a fast network or on this host, is never
// held back.

const (
	// pacerQueue is how much longer than the shortest a round trip may be.
	pacerQueue = 8 * time.Millisecond
	// pacerEvery is how often a stream is looked at while it sends.
	pacerEvery = 10 * time.Millisecond
	// pacerDrain is in what time a queue is let drain, and pacerProbe by how much
	// the rate grows at a time while there is none.
	pacerDrain, pacerProbe = 200 * time.Millisecond, 1.02
	// pacerFree: a rate so far above what is delivered holds nothing back.
	pacerFree = 2
	// pacerLeast is the lowest rate, in bytes a second.
	pacerLeast = 16 << 10
)

// pacerSample is what the kernel knows of a connection.
type pacerSample struct {
	at        time.Time
	roundTrip time.Duration // smoothed
	shortest  time.Duration // of the last minutes
	delivered float64       // bytes a second that arrived of late
}

// pacer decides how fast a bulk stream may send.
type pacer struct {
	rate float64 // bytes a second; 0: as fast as it goes
	last time.Time
}

// due says whether it is time for a sample.
func (p *pacer) due(now time.Time) bool { return now.Sub(p.last) >= pacerEvery }

// next takes a sample and gives the rate from now on, 0 for none, and whether it
// is another one than before.
func (p *pacer) next(s pacerSample) (rate float64, changed bool) {
	before := p.rate
	p.last = s.at
	queue := s.roundTrip - s.shortest
	switch {
	case s.delivered <= 0 || s.shortest <= 0:
		// Nothing is known yet.
	case queue > pacerQueue:
		share := 1 - min(float64(queue)/float64(pacerDrain), 0.5)
		p.rate = max(s.delivered*share, pacerLeast)
	case p.rate == 0:
	case queue < pacerQueue/2:
		if p.rate *= pacerProbe; p.rate > pacerFree*s.delivered {
			p.rate = 0
		}
	}
	return math.Round(p.rate), p.rate != before
}
