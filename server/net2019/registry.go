package net2019

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/parley-chat/parley/protocol/packet"
	"github.com/parley-chat/parley/protocol/packet/net2019"
)

// MaxWatched is how many ids a Member watches at most.
const MaxWatched = 1000

// ErrTaken says that somebody else is online with an id.
var ErrTaken = errors.New("id is taken")

// Registry is who is online in net2019, and where: clients of the original, and
// native users who have switched it on. It is kept in memory only, as all presence
// is. It is safe for concurrent use.
type Registry struct {
	mu       sync.RWMutex // guards all below; nothing under it waits
	records  map[net2019.ID]*record
	watchers map[net2019.ID]map[*Member]struct{}
	members  map[packet.UserID]*Member // who have a record
	// revision grows with every change, over restarts too.
	revision uint64
}

// record is where an id is. It is changed with the registry's mu held.
type record struct {
	id     net2019.ID
	where  netip.AddrPort
	member *Member // nil for a client of the original
}

// NewRegistry makes a registry in which nobody is online.
func NewRegistry() *Registry {
	return &Registry{
		records: map[net2019.ID]*record{}, watchers: map[net2019.ID]map[*Member]struct{}{}, members: map[packet.UserID]*Member{},
		revision: uint64(time.Now().UnixMicro()),
	}
}

// Find says where an id is online.
func (r *Registry) Find(id net2019.ID) (where netip.AddrPort, online bool) {
	where, _, online = r.look(id)
	return where, online
}

func (r *Registry) look(id net2019.ID) (where netip.AddrPort, revision uint64, online bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rec := r.records[id]
	if rec == nil {
		return netip.AddrPort{}, r.revision, false
	}
	return rec.where, r.revision, true
}

// Has says whether a native user is online here.
func (r *Registry) Has(user packet.UserID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.members[user] != nil
}

// counts says how many are online.
func (r *Registry) counts() (originals, natives int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.records) - len(r.members), len(r.members)
}

// logIn puts a client of the original online, whose record was old, which may be
// nil. Among originals the last one counts, since none can show that an id is its
// own; one that a native user has is kept from them: ErrTaken, and old stays.
func (r *Registry) logIn(old *record, id net2019.ID, where netip.AddrPort) (*record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.records[id]
	if now != nil && now.member != nil {
		return old, ErrTaken
	}
	if old != nil && old.id != id {
		r.drop(old)
	}
	r.put(&record{id: id, where: where})
	return r.records[id], nil
}

// logOut takes a record out, if no later log-in has replaced it; nil is none.
func (r *Registry) logOut(rec *record) {
	if rec == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(rec)
}

// put must be called with mu held.
func (r *Registry) put(rec *record) {
	old := r.records[rec.id]
	r.records[rec.id] = rec
	if old == nil || old.where != rec.where {
		r.tell(rec.id)
	}
}

// drop must be called with mu held.
func (r *Registry) drop(rec *record) {
	if r.records[rec.id] == rec {
		delete(r.records, rec.id)
		r.tell(rec.id)
	}
}

// tell must be called with mu held.
func (r *Registry) tell(id net2019.ID) {
	r.revision++
	for m := range r.watchers[id] {
		m.changed(id)
	}
}

// Member is a session of a native user who may switch net2019 on. Its methods are
// for one goroutine.
type Member struct {
	registry *Registry
	user     packet.UserID
	changed  func(net2019.ID)
	record   *record // nil while it is off; guarded by the registry's mu
	watched  []net2019.ID
}

// Join makes a Member that is off. changed is called when a watched id has come,
// gone or moved, and once for each when it is first watched; it must be quick and
// must not call the registry.
func (r *Registry) Join(user packet.UserID, changed func(net2019.ID)) *Member {
	return &Member{registry: r, user: user, changed: changed}
}

// Set puts the user online with an id, and watches others instead of those that
// were watched. ErrTaken leaves it off. A session of the same user is replaced.
func (m *Member) Set(id net2019.ID, where netip.AddrPort, watched []net2019.ID) error {
	r := m.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.records[id]; now != nil && (now.member == nil || now.member.user != m.user) {
		m.leave()
		return ErrTaken
	}
	if other := r.members[m.user]; other != nil && (other != m || m.record.id != id) {
		r.dropMember(other, id)
	}
	m.record = &record{id: id, where: where, member: m}
	r.members[m.user] = m
	r.put(m.record)
	m.watch(watched)
	return nil
}

// dropMember takes out a member's record for one with that id, which takes its place.
// To be called with mu held.
func (r *Registry) dropMember(m *Member, id net2019.ID) {
	if m.record.id != id {
		r.drop(m.record)
	}
	m.record = nil
	delete(r.members, m.user)
}

// watch must be called with the registry's mu held.
func (m *Member) watch(ids []net2019.ID) {
	r := m.registry
	ids = slices.Clone(ids)
	slices.Sort(ids)
	for _, id := range m.watched {
		if _, still := slices.BinarySearch(ids, id); still {
			continue
		}
		delete(r.watchers[id], m)
		if len(r.watchers[id]) == 0 {
			delete(r.watchers, id)
		}
	}
	m.watched = ids
	for _, id := range ids {
		if r.watchers[id] == nil {
			r.watchers[id] = map[*Member]struct{}{}
		}
		if _, known := r.watchers[id][m]; !known {
			r.watchers[id][m] = struct{}{}
			m.changed(id)
		}
	}
}

// Leave switches it off. Idempotent.
func (m *Member) Leave() {
	m.registry.mu.Lock()
	defer m.registry.mu.Unlock()
	m.leave()
}

// leave must be called with the registry's mu held.
func (m *Member) leave() {
	m.watch(nil)
	if m.record == nil {
		return
	}
	if m.registry.members[m.user] == m {
		delete(m.registry.members, m.user)
	}
	m.registry.drop(m.record)
	m.record = nil
}

// Watched says where an id is that the member watches, if it is online, and the
// revision of that answer: of two for an id the one with the higher counts.
func (m *Member) Watched(id net2019.ID) (where netip.AddrPort, revision uint64, online bool) {
	return m.registry.look(id)
}
