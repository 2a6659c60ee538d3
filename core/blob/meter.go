package blob

import (
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Status is how far a blob is, beyond what the store knows.
type Status struct {
	Done    uint64                // bytes here, or given to the one who has got most
	Speed   uint64                // bytes a second
	Left    time.Duration         // at this speed; 0 when unknown
	Waiting string                // why nothing moves, for people
	Why     *errdetails.ErrorInfo // the same for programs; nil for none
	Peers   []packet.UserID
}

const (
	// tellEvery is how often progress is published.
	tellEvery = 500 * time.Millisecond
	// speedOver is over what time the speed is taken.
	speedOver = 3 * time.Second
)

// meter measures one blob. Guarded by Service.mu.
type meter struct {
	ref     bus.BlobRef
	size    uint64
	done    uint64
	waiting waiting
	peers   map[packet.UserID]uint64 // how far each is
	given   map[packet.UserID]uint64 // bytes to each in a group, of one's own
	samples []sample                 // of the last moments, oldest first
	moved   uint64                   // bytes since the meter was made
	told    time.Time
}

type sample struct {
	at    time.Time
	moved uint64
}

func (m *meter) speed(now time.Time) uint64 {
	for len(m.samples) > 1 && now.Sub(m.samples[0].at) > speedOver {
		m.samples = m.samples[1:]
	}
	if len(m.samples) == 0 {
		return 0
	}
	first := m.samples[0]
	took := now.Sub(first.at)
	if took < tellEvery/5 || now.Sub(m.samples[len(m.samples)-1].at) > speedOver {
		return 0
	}
	return uint64(float64(m.moved-first.moved) / took.Seconds())
}

// meterOf gives a blob's meter; the caller holds mu.
func (s *Service) meterOf(b *store.Blob) *meter {
	m := s.meters[b.ID]
	if m == nil {
		m = &meter{size: b.Size, peers: map[packet.UserID]uint64{}, given: map[packet.UserID]uint64{}}
		s.meters[b.ID] = m
	}
	m.ref = bus.BlobRef{ID: b.ID, Chat: b.Chat, Message: b.Message, Plugin: b.Plugin}
	return m
}

// progress notes that n bytes moved, and that a blob is at done. For one's own
// that is of one peer.
func (s *Service) progress(b *store.Blob, peer packet.UserID, n int, done uint64) {
	now := s.cfg.Now()
	s.mu.Lock()
	m := s.meterOf(b)
	m.waiting = waiting{}
	m.moved += uint64(n) //nolint:gosec // not negative
	m.peers[peer] = done
	if b.Own {
		m.done = max(m.done, done)
	} else {
		m.done = done
	}
	tell := now.Sub(m.told) >= tellEvery
	if tell {
		m.told = now
		m.samples = append(m.samples, sample{now, m.moved})
	}
	ref := m.ref
	s.mu.Unlock()
	if tell {
		bus.Publish(s.cfg.Bus, bus.BlobChanged, ref)
	}
}

// gave notes that n bytes of one's own blob went to a peer, up to an offset. One
// who fetches from the author alone does so in order; in a group nobody does.
func (s *Service) gave(b *store.Blob, peer packet.UserID, n int, upto uint64) {
	if _, direct := b.Chat.Peer(s.self); !direct {
		s.mu.Lock()
		m := s.meterOf(b)
		m.given[peer] = min(m.given[peer]+uint64(n), b.Size) //nolint:gosec // not negative
		upto = m.given[peer]
		s.mu.Unlock()
	}
	s.progress(b, peer, n, upto)
}

// waiting is why a blob does not move, for people and for programs.
type waiting struct {
	text   string
	reason *errdetails.ErrorInfo
}

// waits notes why a blob does not move.
func (s *Service) waits(b *store.Blob, why waiting, done uint64) {
	s.mu.Lock()
	m := s.meterOf(b)
	same := m.waiting.text == why.text && m.done == done
	m.waiting, m.done, m.samples = why, done, nil
	clear(m.peers)
	ref := m.ref
	s.mu.Unlock()
	if !same {
		bus.Publish(s.cfg.Bus, bus.BlobChanged, ref)
	}
}

// left notes that a peer gets no more for now.
func (s *Service) left(b *store.Blob, peer packet.UserID) {
	s.mu.Lock()
	m := s.meterOf(b)
	delete(m.peers, peer)
	if len(m.peers) == 0 {
		m.samples = nil
	}
	ref := m.ref
	s.mu.Unlock()
	bus.Publish(s.cfg.Bus, bus.BlobChanged, ref)
}

// forget drops the meter of a blob that is settled.
func (s *Service) forget(id packet.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.meters, id)
}

// Status says how far a blob is.
func (s *Service) Status(b *store.Blob) Status {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Done: b.Done}
	if b.State == store.BlobDone {
		st.Done = b.Size
	}
	m := s.meters[b.ID]
	if m == nil {
		return st
	}
	st.Done, st.Waiting, st.Why, st.Speed = m.done, m.waiting.text, m.waiting.reason, m.speed(now)
	for peer := range m.peers {
		st.Peers = append(st.Peers, peer)
	}
	slices.Sort(st.Peers)
	if st.Speed > 0 && m.size > m.done {
		st.Left = time.Duration(float64(m.size-m.done) / float64(st.Speed) * float64(time.Second))
	}
	return st
}
