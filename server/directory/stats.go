package directory

import (
	"errors"
	"sync/atomic"
)

// counters are of what has happened since the directory was opened.
type counters struct {
	presenceChanges, requestsKept atomic.Uint64
}

// Stats are numbers of a directory, now and since it was opened.
type Stats struct {
	Accounts, Invites, Sessions, Online int
	Requests                            int // that wait
	PresenceChanges, RequestsKept       uint64
}

// Stats gives the numbers.
func (d *Directory) Stats() Stats {
	s := Stats{PresenceChanges: d.counters.presenceChanges.Load(), RequestsKept: d.counters.requestsKept.Load()}
	v := &d.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	s.Accounts, s.Invites, s.Sessions, s.Online = len(v.accounts), len(v.invites), d.Sessions(), len(v.online)
	for _, kept := range v.kept {
		s.Requests += len(kept)
	}
	return s
}

// Ready says whether the directory serves all that it should: nil, ErrClosed, or
// ErrState. It only looks.
func (d *Directory) Ready() error {
	select {
	case <-d.failed:
		return ErrState
	default:
	}
	if d.isClosing() {
		return ErrClosed
	}
	for _, b := range []*bucket{&d.accounts, &d.avatars, &d.requests, &d.presence} {
		if b.broken.Load() {
			return errors.Join(ErrState, errors.New("bucket "+b.Bucket()+" cannot be written"))
		}
	}
	return nil
}
