package conn

import (
	"math/rand/v2"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
)

// backoff is how long to wait after so many failures: first, doubled with each
// up to most, and of that a random part of at least half, so that two devices,
// or many after a common outage, do not dial in step.
func backoff(failures int, first, most time.Duration) time.Duration {
	d := first
	for range failures {
		if d >= most {
			break
		}
		d *= 2
	}
	d = min(d, most)
	return d/2 + rand.N(d/2+1)
}

// penalty is what a user has coming for breaking the protocol.
type penalty struct {
	strikes int
	until   time.Time
}

// penalize makes user wait before it gets a link again; longer each time, until
// it behaved for an hour.
func (m *Manager) penalize(user packet.UserID) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	p := m.penalties[user]
	if now.Sub(p.until) > time.Hour {
		p.strikes = 0
	}
	wait := backoff(p.strikes, m.timing.penaltyFirst, m.timing.penaltyMost)
	p.strikes++
	p.until = now.Add(wait)
	m.penalties[user] = p
	return wait
}

// penaltyLocked is how long user has yet to wait.
func (m *Manager) penaltyLocked(user packet.UserID) time.Duration {
	return max(0, time.Until(m.penalties[user].until))
}
