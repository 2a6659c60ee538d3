package directory

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of what waits for a client that is slow to read.
const (
	maxReplies    = 256
	maxRelayBytes = 256 << 10
)

// Lists says who may see a user, and whose packets are dropped.
type Lists struct {
	Contacts []packet.UserID
	Blocked  []packet.UserID
}

// Start is what a session begins with.
type Start struct {
	Key       ed25519.PublicKey
	Endpoints []netip.AddrPort
	Lists     Lists
	Observed  string // the client's address
	// Wake is called when Next has something to give, and Over once when the
	// session has ended, with why; possibly before Begin returns. Both must be
	// quick and must not call the session.
	Wake func()
	Over func(cause error)
}

// Session is a device's presence. Begin, Publish, Endpoints, SetLists, Took, Relay
// and Close are for one goroutine; the rest is safe for concurrent use.
type Session struct {
	dir  *Directory
	id   uint64
	user packet.UserID
	key  ed25519.PublicKey
	wake func()
	over func(error)

	// Owned by the goroutine that calls Begin and the others.
	record   presence
	revision uint64 // of the record in the bucket
	unsure   bool   // a write failed, and the bucket may have it or not

	begun bool // the view has the record; guarded by view.mu

	mu         sync.Mutex // guards all below; taken under view.mu
	cause      error
	ready      bool // Begun is queued: the rest may follow
	keepAlive  bool
	replies    []*directorypb.SessionResponse
	relayBytes int // in replies
	dirty      map[packet.UserID]struct{}
	deliveries []uint64
}

// Begin makes a session of the device with start.Key, which replaces the user's
// older ones. Errors: ErrNotBound, ErrDisabled, ErrClosed, ErrState, and those of a session
// that was ended meanwhile.
func (d *Directory) Begin(ctx context.Context, start Start) (*Session, error) {
	s := &Session{dir: d, id: rand.Uint64(), key: start.Key, wake: start.Wake, over: start.Over}
	if err := s.enter(); err != nil {
		return nil, err
	}
	s.record = presence{Session: s.id, Endpoints: start.Endpoints}
	s.setLists(start.Lists)
	if err := s.begin(ctx, start.Observed); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// enter puts the session where changes are told.
func (s *Session) enter() error {
	v := &s.dir.view
	v.mu.Lock()
	defer v.mu.Unlock()
	// Under the lock, so that a device revoked later finds its session.
	a := v.owner(s.key)
	if a == nil {
		return ErrNotBound
	}
	if a.Disabled {
		return ErrDisabled
	}
	if s.dir.isClosing() {
		return ErrClosed
	}
	s.user = a.User
	v.sessions[s.user] = append(v.sessions[s.user], s)
	v.held.Add(1)
	return nil
}

func (s *Session) begin(ctx context.Context, observed string) error {
	if err := s.store(ctx); err != nil {
		return err
	}
	if err := s.dropBlocked(ctx); err != nil {
		return err
	}
	v := &s.dir.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return s.cause
	}
	s.dirty = make(map[packet.UserID]struct{}, len(s.record.Contacts))
	for _, contact := range s.record.Contacts {
		if !v.settling || v.visible(contact, s.user) {
			s.dirty[contact] = struct{}{}
		}
	}
	s.dir.returned()
	s.deliveries = v.waiting(s.user)
	s.replies = slices.Insert(s.replies, 0, &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Begun{
		Begun: &directorypb.Begun{
			Revision: s.dir.base + s.revision, ObservedHost: observed, Time: time.Now().UnixMicro(), SpreadMs: s.dir.spreadMs(),
		},
	}})
	s.ready = true
	s.wake()
	return nil
}

// store writes the record and waits until the view has it.
func (s *Session) store(ctx context.Context) error {
	value, err := json.Marshal(&s.record)
	if err != nil {
		return fmt.Errorf("encode presence: %w", err)
	}
	s.unsure = true
	// Not cut short when the client goes: what is written is then known.
	revision, err := s.dir.presence.write(context.WithoutCancel(ctx), func(ctx context.Context) (uint64, error) {
		if s.revision == 0 {
			return s.dir.presence.Put(ctx, keyOf(s.user), value)
		}
		return s.dir.presence.Update(ctx, keyOf(s.user), value, s.revision)
	})
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		s.unsure = false
		return ErrReplaced
	}
	if revision != 0 {
		s.revision, s.unsure = revision, false
	}
	if err != nil {
		return err
	}
	if !s.share() {
		return ErrReplaced
	}
	return nil
}

// share takes the record of the view, so that its lists are in memory once. Not ok
// when a newer session's is there: of two that are written at one moment the bucket
// may tell of the last one only, and then nobody else notices.
func (s *Session) share() bool {
	s.dir.view.mu.RLock()
	defer s.dir.view.mu.RUnlock()
	p := s.dir.view.online[s.user]
	if p == nil || p.Session != s.id {
		return false
	}
	s.record = *p
	return true
}

func (s *Session) setLists(lists Lists) {
	tidy := func(users []packet.UserID) []packet.UserID {
		slices.Sort(users)
		return slices.DeleteFunc(slices.Compact(users), func(u packet.UserID) bool { return u == s.user })
	}
	s.record.Contacts, s.record.Blocked = tidy(lists.Contacts), tidy(lists.Blocked)
}

// Endpoints are those published last. For the goroutine that publishes.
func (s *Session) Endpoints() []netip.AddrPort { return s.record.Endpoints }

// User whose session it is.
func (s *Session) User() packet.UserID { return s.user }

// Publish replaces the endpoints.
func (s *Session) Publish(ctx context.Context, endpoints []netip.AddrPort) error {
	s.record.Endpoints = endpoints
	return s.store(ctx)
}

// SetLists replaces contacts and blocked users.
func (s *Session) SetLists(ctx context.Context, lists Lists) error {
	s.setLists(lists)
	if err := s.store(ctx); err != nil {
		return err
	}
	return s.dropBlocked(ctx)
}

// dropBlocked removes the requests of users who are blocked now.
func (s *Session) dropBlocked(ctx context.Context) error {
	if len(s.record.Blocked) == 0 {
		return nil
	}
	v := &s.dir.view
	v.mu.RLock()
	var drop []uint64
	for key, r := range v.kept[s.user] {
		if s.record.blocks(key.from) {
			drop = append(drop, r.revision)
		}
	}
	v.mu.RUnlock()
	for _, revision := range drop {
		if err := s.dir.forget(ctx, s.user, revision); err != nil {
			return err
		}
	}
	return nil
}

// Took removes a delivered request. Idempotent.
func (s *Session) Took(ctx context.Context, delivery uint64) error {
	return s.dir.forget(ctx, s.user, delivery)
}

// Close ends the session and its presence, unless a newer session has replaced
// it. Idempotent.
func (s *Session) Close() {
	s.end(ErrClosed)
	v := &s.dir.view
	v.mu.Lock()
	before := len(v.sessions[s.user])
	v.sessions[s.user] = slices.DeleteFunc(v.sessions[s.user], func(o *Session) bool { return o == s })
	v.held.Add(int64(len(v.sessions[s.user]) - before))
	if len(v.sessions[s.user]) == 0 {
		delete(v.sessions, s.user)
	}
	v.mu.Unlock()
	for range removeTries {
		err := s.remove()
		if err == nil {
			return
		}
		s.dir.log.Warn("presence was not removed", "error", err)
	}
}

// removeTries bounds how often the removal of a presence is tried: a server
// that cannot write has failed as a whole, and says so elsewhere.
const removeTries = 3

// remove takes the session's record out of the bucket, if it is still there.
func (s *Session) remove() error {
	// Not the context of the stream, which is over.
	ctx := context.Background()
	if s.unsure {
		entry, err := s.dir.presence.get(ctx, keyOf(s.user))
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
		var record presence
		if err == nil && json.Unmarshal(entry.Value(), &record) == nil && record.Session == s.id {
			s.revision = entry.Revision()
		}
		s.unsure = false
	}
	if s.revision == 0 {
		return nil
	}
	err := s.dir.presence.remove(ctx, keyOf(s.user), s.revision)
	if err != nil && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return err
	}
	s.revision = 0
	return nil
}

// end marks the session as over; the first cause stays.
func (s *Session) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(cause)
}

func (s *Session) endLocked(cause error) {
	if s.cause == nil {
		s.cause = cause
		s.over(cause)
	}
}
