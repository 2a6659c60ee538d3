package directory

import (
	"encoding/json"
	"net/netip"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// presence is the record of a user who is online.
type presence struct {
	// Session tells apart the sessions that a user may have at once while one
	// replaces the other.
	Session   uint64           `json:"session"`
	Endpoints []netip.AddrPort `json:"endpoints,omitempty"`
	Contacts  []packet.UserID  `json:"contacts,omitempty"` // sorted
	Blocked   []packet.UserID  `json:"blocked,omitempty"`  // sorted
}

func (p *presence) lists(user packet.UserID) bool {
	_, ok := slices.BinarySearch(p.Contacts, user)
	return ok
}

func (p *presence) blocks(user packet.UserID) bool {
	_, ok := slices.BinarySearch(p.Blocked, user)
	return ok
}

func mutual(a packet.UserID, pa *presence, b packet.UserID, pb *presence) bool {
	return pa != nil && pb != nil && pa.lists(b) && pb.lists(a) && !pa.blocks(b) && !pb.blocks(a)
}

// applyPresence follows the presence bucket.
func (d *Directory) applyPresence(entry jetstream.KeyValueEntry) {
	user, err := userOf(entry.Key())
	if err != nil {
		d.log.Error("record with a bad key", "bucket", "presence", "record", entry.Revision())
		return
	}
	var now *presence
	if entry.Operation() == jetstream.KeyValuePut {
		now = &presence{}
		if err := json.Unmarshal(entry.Value(), now); err != nil {
			d.log.Error("presence cannot be read; the user counts as offline", "record", entry.Revision())
			now = nil
		}
	}
	d.counters.presenceChanges.Add(1)
	for _, s := range d.view.setPresence(user, now, entry.Revision()) {
		s.end(ErrReplaced)
	}
}

// setPresence replaces a user's presence; nil means offline. It gives the
// sessions that a newer one has replaced.
func (v *view) setPresence(user packet.UserID, now *presence, revision uint64) (replaced []*Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.presenceAt = revision
	old := v.online[user]
	if now != nil {
		v.intern(now)
		v.online[user] = now
		replaced = v.begun(user, now.Session)
	} else {
		delete(v.online, user)
	}

	moved := old == nil || now == nil || old.Session != now.Session || !slices.Equal(old.Endpoints, now.Endpoints)
	tell := func(other packet.UserID) {
		there := v.online[other]
		before, after := mutual(user, old, other, there), mutual(user, now, other, there)
		if before != after || after && moved {
			v.mark(other, user)
		}
		// Who has just added somebody waits to hear how that one is.
		added := now != nil && old != nil && now.lists(other) && !old.lists(other)
		if before != after && now != nil || added {
			v.mark(user, other)
		}
	}
	if old != nil {
		for _, other := range old.Contacts {
			tell(other)
		}
	}
	if now != nil {
		for _, other := range now.Contacts {
			if old == nil || !old.lists(other) {
				tell(other)
			}
		}
	}
	return replaced
}

// begun notes that the session's record is in the view, and gives the older
// sessions of the user. To be called with mu held.
func (v *view) begun(user packet.UserID, session uint64) (older []*Session) {
	for _, s := range v.sessions[user] {
		switch {
		case s.id == session:
			s.begun = true
		case s.begun:
			older = append(older, s)
		}
	}
	return older
}

// intern lets lists share the names that accounts have. To be called with mu
// held.
func (v *view) intern(p *presence) {
	for _, list := range [][]packet.UserID{p.Contacts, p.Blocked} {
		for i, user := range list {
			if a := v.accounts[user]; a != nil {
				list[i] = a.User
			}
		}
	}
}

// presenceFor says how user is, as far as watcher may know.
func (d *Directory) presenceFor(watcher, user packet.UserID) *directorypb.Presence {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	// All presences have the revision at which the view is now: of two for a
	// user the later is the higher, and it tells nothing of users unseen.
	pb := &directorypb.Presence{User: string(user), Revision: d.base + d.view.presenceAt}
	a := d.view.accounts[user]
	if a == nil || !d.view.visible(user, watcher) {
		return pb
	}
	pb.Online = true
	pb.Profile = &directorypb.Profile{DisplayName: a.DisplayName, AvatarHash: a.AvatarHash}
	pb.Devices = devicesOf(a)
	for _, e := range d.view.online[user].Endpoints {
		pb.Endpoints = append(pb.Endpoints, &directorypb.Endpoint{Host: e.Addr().String(), Port: uint32(e.Port())})
	}
	return pb
}

func devicesOf(a *Account) []*directorypb.Device {
	pb := make([]*directorypb.Device, len(a.Devices))
	for i, d := range a.Devices {
		pb[i] = &directorypb.Device{Key: d.Key, BoundAt: d.BoundAt}
	}
	return pb
}
