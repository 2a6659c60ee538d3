package directory

import (
	"errors"
	"math/rand/v2"
	"time"
)

// timing holds the durations that the protocol and the requirements ask for.
type timing struct {
	keepAlive time.Duration
	silence   time.Duration // how long a directory may say nothing: it answers keep-alives
	dial      time.Duration // connecting and TLS
	begin     time.Duration // for the first answer of a session
	probe     time.Duration // for an answer after the network changed
	coalesce  time.Duration // in which changes of contacts and endpoints are gathered

	// returning is how long at most, half of it in the mean, a device waits before
	// it tries again, unless a directory with many of them asks for more.
	returning time.Duration
	// outage is how long it goes on so; then waits grow with the time that the
	// directory has been away, up to rare.
	outage time.Duration
	rare   time.Duration
	// failing is the first wait after a directory refused, which doubles up to rare.
	failing time.Duration
	// loggedOut is for a device that the directory does not know any more: only a
	// log-in changes that, and it makes another client.
	loggedOut time.Duration
	// settled is how long a session must have lived for the waits to start anew,
	// so that two processes with one key do not take turns at once.
	settled time.Duration
}

func defaultTiming() timing {
	return timing{
		keepAlive: 20 * time.Second, silence: 30 * time.Second, dial: 10 * time.Second, begin: 15 * time.Second,
		probe: 5 * time.Second, coalesce: 50 * time.Millisecond,
		returning: 1500 * time.Millisecond, outage: 20 * time.Second, rare: 30 * time.Second,
		failing: 500 * time.Millisecond, loggedOut: 5 * time.Minute, settled: 30 * time.Second,
	}
}

// maxSpread bounds what a directory may ask for, see returns.
const maxSpread = time.Minute

// returns decides when a device without a session tries again.
//
// When a directory restarts, all its clients lose their sessions at one moment,
// and must not come back at one moment: each waits a random part of a time that
// grows with their number. The directory tells it while it can, in its answers to
// keep-alives and when it says good-bye, because who has lost the connection
// cannot ask. For a directory of a thousand people the time is short enough for
// presence to be right within two seconds.
type returns struct {
	timing
	random func(n int64) int64 // in [0, n)

	spread   time.Duration // what the directory asked for last
	failures int           // since a session settled
	since    time.Time     // when the first of them was
}

func newReturns(t timing) returns { return returns{timing: t, random: rand.Int64N} }

// advise takes over what the directory asks for.
func (r *returns) advise(spread time.Duration) { r.spread = min(max(spread, 0), maxSpread) }

// next is how long to wait after a session, or a try to have one, that began at
// began and ended now with err.
func (r *returns) next(began, now time.Time, err error) time.Duration {
	if r.failures == 0 || now.Sub(began) >= r.settled {
		r.failures, r.since = 0, now
	}
	r.failures++
	var away *goAwayError
	if errors.As(err, &away) {
		return r.upTo(r.spread)
	}
	var wait time.Duration
	switch {
	case errors.Is(err, ErrNotLoggedIn):
		wait = r.half(r.loggedOut)
	case errors.Is(err, ErrUnreachable):
		// That somebody has to be reached again costs a directory that is down
		// nothing, and one that is up a handshake.
		wait = r.upTo(r.window(now.Sub(r.since)))
	default:
		wait = r.half(doubled(r.failing, r.failures-1, r.rare))
	}
	var e *Error
	if errors.As(err, &e) {
		wait = max(wait, e.Retry)
	}
	return wait
}

// window is the time of which a device waits a part, for so long into an outage.
func (r *returns) window(outage time.Duration) time.Duration {
	window := max(r.returning, r.spread)
	grown := time.Duration(float64(window) * outage.Seconds() / r.outage.Seconds())
	return max(window, min(grown, r.rare))
}

func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	for range times {
		if d >= most {
			break
		}
		d *= 2
	}
	return min(d, most)
}

// upTo is a random part of d.
func (r *returns) upTo(d time.Duration) time.Duration { return time.Duration(r.random(int64(d) + 1)) }

// half is half of d and a random part of the other half.
func (r *returns) half(d time.Duration) time.Duration { return d/2 + r.upTo(d/2) }
