package roster

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// stateEvent is one of what the states queue carries.
type stateEvent struct {
	presence  *bus.Presence
	directory *bus.DirectoryState
	up, down  *bus.Link
	group     packet.ChatID // whose members may have changed
}

func (r *Roster) subscribeStates() {
	b, q := r.cfg.Bus, r.states
	bus.Feed(b, bus.PresenceChanged, q, func(v bus.Presence) (stateEvent, bool) { return stateEvent{presence: &v}, true })
	bus.Feed(b, bus.DirectoryChanged, q, func(v bus.DirectoryState) (stateEvent, bool) { return stateEvent{directory: &v}, true })
	bus.Feed(b, bus.ChatChanged, q, func(v bus.ChatChange) (stateEvent, bool) {
		return stateEvent{group: v.Chat}, !v.Content && v.Chat.Kind() == packet.Group
	})
	bus.Feed(b, bus.LinkUp, q, func(v bus.Link) (stateEvent, bool) { return stateEvent{up: &v}, true })
	bus.Feed(b, bus.LinkDown, q, func(v bus.Link) (stateEvent, bool) { return stateEvent{down: &v}, true })
}

func (r *Roster) serveStates(ctx context.Context) error {
	r.reviewGroups(ctx)
	for {
		e, err := r.states.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			r.resync()
			r.reviewGroups(ctx)
			r.resyncPresence(ctx)
			continue
		case err != nil:
			return err
		}
		switch {
		case e.presence != nil:
			r.setPresence(ctx, *e.presence)
		case e.directory != nil:
			r.setDirectory(ctx, e.directory.Connected)
		case e.up != nil:
			r.linkUp(ctx, *e.up)
		case e.down != nil:
			r.linkDown(ctx, *e.down)
		default:
			r.reviewGroup(ctx, e.group)
		}
	}
}

// resync reads anew which links are up.
func (r *Roster) resync() {
	links := map[packet.UserID]map[uint64]bus.Link{}
	for _, l := range r.cfg.Links.Links() {
		if links[l.User] == nil {
			links[l.User] = map[uint64]bus.Link{}
		}
		links[l.User][l.ID] = l
	}
	r.mu.Lock()
	changed := slices.Collect(maps.Keys(r.links))
	changed = slices.AppendSeq(changed, maps.Keys(links))
	r.links = links
	r.mu.Unlock()
	for _, user := range changed {
		r.changed(user)
	}
}

func (r *Roster) resyncPresence(ctx context.Context) {
	r.mu.RLock()
	users := slices.Collect(maps.Keys(r.people))
	r.mu.RUnlock()
	for _, user := range users {
		p, ok := r.cfg.Directory.Locate(user)
		if !ok {
			p = bus.Presence{User: user}
		}
		r.setPresence(ctx, p)
	}
}

// changed tells that what is shown of a contact changed.
func (r *Roster) changed(user packet.UserID) {
	r.mu.RLock()
	p, ok := r.people[user]
	r.mu.RUnlock()
	if ok {
		bus.Publish(r.cfg.Bus, bus.ContactChanged, bus.ContactChange{User: user, Acquaintance: p.state == store.ContactAcquaintance})
	}
}

func (r *Roster) setPresence(ctx context.Context, p bus.Presence) {
	r.mu.Lock()
	c, known := r.people[p.User]
	watched := known && c.listed()
	before := r.visible(p.User)
	if watched && p.Online {
		r.online[p.User] = true
	} else {
		delete(r.online, p.User)
	}
	now := r.visible(p.User)
	r.mu.Unlock()
	if !watched {
		return
	}
	if before && !now {
		r.seen(ctx, p.User)
	}
	if err := r.update(ctx, store.Synced, p.User, func(s *step) error { return s.takePresence(p) }); err != nil && !ended(ctx, err) {
		r.cfg.Log.Error("presence cannot be stored", "user", p.User, "error", err)
	}
	if before != now {
		r.changed(p.User)
	}
}

// takePresence keeps what presence says of profile and keys. Of somebody who is
// offline it may say nothing.
func (s *step) takePresence(p bus.Presence) error {
	if s.c == nil || !s.r.listed(s.user) {
		return nil
	}
	if p.Online || p.DisplayName != "" {
		s.setProfile(&directorypb.Profile{DisplayName: p.DisplayName, Avatar: p.Avatar, AvatarHash: p.AvatarHash})
	}
	return s.observe(cleanKeys(p.Keys))
}

// seen keeps that a contact was there until now.
func (r *Roster) seen(ctx context.Context, user packet.UserID) {
	err := r.update(ctx, store.Lazy, user, func(s *step) error {
		if s.c != nil {
			s.c.LastSeen = s.now()
		}
		return nil
	})
	if err != nil && !ended(ctx, err) {
		r.cfg.Log.Error("time of last presence cannot be stored", "user", user, "error", err)
	}
}

// setDirectory: without a session nothing is known of who is online, but for
// those who are linked.
func (r *Roster) setDirectory(ctx context.Context, connected bool) {
	r.mu.Lock()
	r.connected = connected
	var gone []packet.UserID
	if !connected {
		for user := range r.online {
			if len(r.links[user]) == 0 {
				gone = append(gone, user)
			}
		}
		clear(r.online)
	}
	r.mu.Unlock()
	for _, user := range gone {
		r.seen(ctx, user)
		r.changed(user)
	}
	if connected {
		wake(r.kick)
		r.wantKeys()
	}
}

// visible says whether a contact is there. The caller holds mu.
func (r *Roster) visible(user packet.UserID) bool {
	return r.people[user].listed() && (r.online[user] || len(r.links[user]) > 0)
}

func (r *Roster) linkUp(ctx context.Context, l bus.Link) {
	if !r.cfg.Book.Person(l.User).Linkable {
		// Blocked, left or changed keys while the link came up.
		r.cfg.Links.Disconnect(l.User, packet.ByeRefused, "not available")
		return
	}
	r.mu.Lock()
	if r.links[l.User] == nil {
		r.links[l.User] = map[uint64]bus.Link{}
	}
	r.links[l.User][l.ID] = l
	_, departed := r.groups.departed[l.User]
	r.mu.Unlock()
	if departed {
		wake(r.depart)
	}
	r.changed(l.User)
	r.sendWaiting(ctx, l)
}

func (r *Roster) linkDown(ctx context.Context, l bus.Link) {
	r.mu.Lock()
	up, had := r.links[l.User][l.ID]
	if had {
		r.partedLocked(up)
	}
	before := r.visible(l.User)
	delete(r.links[l.User], l.ID)
	if len(r.links[l.User]) == 0 {
		delete(r.links, l.User)
	}
	now := r.visible(l.User)
	r.mu.Unlock()
	if before && !now {
		r.seen(ctx, l.User)
	}
	if had {
		r.changed(l.User)
		wake(r.depart)
	}
}
