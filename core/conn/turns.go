package conn

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/parley-chat/parley/protocol/packet"
)

// The members of a large group must not dial each other all at one moment: when
// somebody comes, when a directory is back, when the network is another. Contacts
// are few and waited for, and are dialed at once.
// Each of two members could dial, and a link needs one of them: where both wait
// for random times, one of them nearly always comes while the other waits.

// delayLocked is how long to wait before somebody is dialed who is dialed for
// common groups alone, and with whom nothing failed yet: many others are dialed
// beside, here and by others.
func (m *Manager) delayLocked() time.Duration {
	spread := min(time.Duration(len(m.peers))*m.timing.spread, m.timing.spreadMost)
	return rand.N(spread + 1)
}

// awaitTurn waits for delay and then for a turn, or until ctx ends.
func (m *Manager) awaitTurn(ctx context.Context, delay time.Duration) error {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	if err := m.turns.Wait(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// dialsOf bounds the dials of a user's kind: contacts do not wait for others.
func (m *Manager) dialsOf(user packet.UserID) *semaphore.Weighted {
	if m.config.Book.Person(user).GroupsOnly {
		return m.distant
	}
	return m.dials
}
