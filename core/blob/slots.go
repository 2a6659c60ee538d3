package blob

import (
	"context"
	"sync"

	"github.com/parley-chat/parley/protocol/packet"
)

// slots bounds what moves at once, in all and with one person; the first to come
// is the first to go.
type slots struct {
	most, mostOfUser int

	mu    sync.Mutex // guards all below
	total int
	users map[packet.UserID]int
	queue []*waiter
}

type waiter struct {
	user  packet.UserID
	ready chan struct{}
}

func newSlots(most, mostOfUser int) *slots {
	return &slots{most: most, mostOfUser: mostOfUser, users: map[packet.UserID]int{}}
}

// enter waits for a slot; queued is called once if there is none at once.
func (s *slots) enter(ctx context.Context, user packet.UserID, queued func()) error {
	w := &waiter{user: user, ready: make(chan struct{})}
	s.mu.Lock()
	s.queue = append(s.queue, w)
	s.admitLocked()
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	default:
	}
	queued()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.queue {
		if other == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return ctx.Err()
		}
	}
	s.leaveLocked(user) // it was admitted just now
	return ctx.Err()
}

func (s *slots) leave(user packet.UserID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveLocked(user)
}

func (s *slots) leaveLocked(user packet.UserID) {
	s.total--
	if s.users[user]--; s.users[user] == 0 {
		delete(s.users, user)
	}
	s.admitLocked()
}

func (s *slots) admitLocked() {
	rest := s.queue[:0]
	for _, w := range s.queue {
		if s.total < s.most && s.users[w.user] < s.mostOfUser {
			s.total++
			s.users[w.user]++
			close(w.ready)
		} else {
			rest = append(rest, w)
		}
	}
	clear(s.queue[len(rest):])
	s.queue = rest
}
