package roster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Who shares no group any more stays listed until a link with him was up for
// partingTalk, in which the chat log says what is left to say, or for
// partingMost when he does not come. The other side began to count at another
// moment, so that a link that it ended after half of the time was long enough.
const (
	partingTalk = 30 * time.Second
	partingMost = 30 * 24 * time.Hour
)

// maxVouched bounds the people of one chat for whom somebody vouches.
const maxVouched = 4_000

// groups is with whom this account shares chats of kind group. Roster.mu guards
// it.
type groups struct {
	members  map[packet.ChatID][]packet.UserID // of those this account is in, without itself
	shared   map[packet.UserID]int             // in how many of them a user is; never 0
	departed map[packet.UserID]int64           // since when who shared one shares none
}

func newGroups() groups {
	return groups{
		members: map[packet.ChatID][]packet.UserID{}, shared: map[packet.UserID]int{},
		departed: map[packet.UserID]int64{},
	}
}

// near says whether a user shares a group, or did until a while ago.
func (g *groups) near(user packet.UserID) bool {
	_, departed := g.departed[user]
	return departed || g.shared[user] > 0
}

// set takes the members of one chat, and says who shares a group now and did
// not before, and the other way round.
func (g *groups) set(chat packet.ChatID, members []packet.UserID, now int64) (came, went []packet.UserID) {
	before := g.members[chat]
	for _, user := range members {
		if g.shared[user]++; g.shared[user] == 1 && !slices.Contains(before, user) {
			came = append(came, user)
			delete(g.departed, user)
		}
	}
	for _, user := range before {
		if g.shared[user]--; g.shared[user] > 0 {
			continue
		}
		delete(g.shared, user)
		went = append(went, user)
		g.departed[user] = now
	}
	if len(members) > 0 {
		g.members[chat] = members
	} else {
		delete(g.members, chat)
	}
	return came, went
}

// others gives the other members of a group, if this account is in it.
func (r *Roster) others(c *store.Chat) []packet.UserID {
	if c.ID.Kind() != packet.Group || !slices.Contains(c.Members, r.self) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(c.Members), func(u packet.UserID) bool { return u == r.self })
}

// readGroups fills groups, and gives the keys that were trusted once.
func (r *Roster) readGroups(tx store.ReadTx) (past map[packet.UserID][]ed25519.PublicKey, err error) {
	chats, err := tx.Chats()
	if err != nil {
		return nil, err
	}
	for i := range chats {
		r.groups.set(chats[i].ID, r.others(&chats[i]), 0)
		if err := r.readVouched(tx, chats[i].ID); err != nil {
			return nil, err
		}
	}
	departed, err := tx.Values(namespace, keyDeparted, 0)
	if err != nil {
		return nil, err
	}
	for _, v := range departed {
		if user := packet.UserID(strings.TrimPrefix(v.Key, keyDeparted)); r.groups.shared[user] == 0 {
			r.groups.departed[user] = decodeTime(v.Bytes)
		}
	}
	values, err := tx.Values(namespace, keyPast, 0)
	past = map[packet.UserID][]ed25519.PublicKey{}
	for _, v := range values {
		past[packet.UserID(strings.TrimPrefix(v.Key, keyPast))] = splitKeys(v.Bytes)
	}
	return past, err
}

// reviewGroups looks at all groups, for the beginning and after events were
// lost, and does what a crash left undone.
func (r *Roster) reviewGroups(ctx context.Context) {
	var chats []store.Chat
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		chats, err = tx.Chats()
		return err
	})
	if err != nil {
		if !ended(ctx, err) {
			r.cfg.Log.Error("groups cannot be read", "error", err)
		}
		return
	}
	groups := map[packet.ChatID]bool{}
	for i := range chats {
		groups[chats[i].ID] = chats[i].ID.Kind() == packet.Group
	}
	r.mu.RLock()
	for chat := range r.groups.members {
		groups[chat] = true
	}
	r.mu.RUnlock()
	for chat, is := range groups {
		if is {
			r.reviewGroup(ctx, chat)
		}
	}
	var came, went []packet.UserID
	r.mu.Lock()
	for user := range r.groups.shared {
		if p, ok := r.people[user]; !ok || len(p.pinned) == 0 {
			came = append(came, user)
		}
	}
	now := r.clock().UnixMicro()
	for user, p := range r.people {
		if p.state == store.ContactAcquaintance && !r.groups.near(user) {
			r.groups.departed[user] = now
			went = append(went, user)
		}
	}
	r.mu.Unlock()
	r.meet(ctx, came)
	r.part(ctx, went)
}

// reviewGroup looks at the members of one group.
func (r *Roster) reviewGroup(ctx context.Context, id packet.ChatID) {
	var members []packet.UserID
	gone := false
	err := r.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		chat, err := tx.Chat(id)
		if gone = notFound(err); err != nil && !gone {
			return err
		}
		members = r.others(&chat)
		return r.readVouched(tx, id)
	})
	if err != nil {
		if !ended(ctx, err) {
			r.cfg.Log.Error("group cannot be read", "chat", id, "error", err)
		}
		return
	}
	r.mu.Lock()
	came, went := r.groups.set(id, members, r.clock().UnixMicro())
	r.mu.Unlock()
	r.meet(ctx, came)
	r.part(ctx, went)
	if gone {
		r.forgetGroup(ctx, id)
	}
}

// meet begins with people who share a group now.
func (r *Roster) meet(ctx context.Context, users []packet.UserID) {
	for _, user := range users {
		// Lazy: at the start those who are missing are found.
		r.bring(ctx, user, func(s *step) error {
			s.touched, s.refresh = true, true
			if s.c == nil && s.r.count(func(p person) bool { return p.state == store.ContactAcquaintance }) < maxNear {
				s.c = &store.Contact{User: user, State: store.ContactAcquaintance, CreatedAt: s.now()}
			}
			if len(pinnedKeysOf(s.c)) == 0 {
				s.fetch = wantKeys
			}
			return s.put(keyDeparted, nil)
		})
	}
}

// part begins to end with people who share no group any more.
func (r *Roster) part(ctx context.Context, users []packet.UserID) {
	for _, user := range users {
		r.mu.RLock()
		since := r.groups.departed[user]
		r.mu.RUnlock()
		r.bring(ctx, user, func(s *step) error {
			s.touched = true
			if err := s.remember(pinnedKeysOf(s.c)); err != nil {
				return err
			}
			return s.put(keyDeparted, encodeTime(since))
		})
	}
	if len(users) > 0 {
		wake(r.depart)
	}
}

func (r *Roster) bring(ctx context.Context, user packet.UserID, fn func(*step) error) {
	if err := r.update(ctx, store.Lazy, user, fn); err != nil && !ended(ctx, err) {
		r.cfg.Log.Error("member of a group cannot be stored", "user", user, "error", err)
	}
}

// acquaintance is what is kept of somebody who is no contact.
func acquaintance(c *store.Contact) *store.Contact {
	return &store.Contact{
		User: c.User, State: store.ContactAcquaintance, DisplayName: c.DisplayName, Avatar: c.Avatar,
		Devices: c.Devices, Verified: c.Verified, CreatedAt: c.CreatedAt, LastSeen: c.LastSeen,
	}
}

// acquainted says whether c is no contact, nor a request or blocked.
func acquainted(c *store.Contact) bool { return c == nil || c.State == store.ContactAcquaintance }

// acquaint has who would be forgotten be an acquaintance while he shares a
// group, and not longer.
func (s *step) acquaint() {
	s.r.mu.RLock()
	near := s.r.groups.near(s.user)
	s.r.mu.RUnlock()
	switch {
	case s.c == nil && s.before != nil && near:
		s.c = acquaintance(s.before)
	case s.c != nil && s.c.State == store.ContactAcquaintance && !near:
		s.c = nil
	}
}

func (r *Roster) listed(user packet.UserID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.people[user].listed()
}

// wantKeys has the keys of those looked up who share a group and have none here:
// what they say may come from others before they are there themselves.
func (r *Roster) wantKeys() {
	r.mu.Lock()
	for user, p := range r.people {
		if p.listed() && len(p.pinned) == 0 {
			r.wanted[user] = max(r.wanted[user], wantKeys)
		}
	}
	r.mu.Unlock()
	wake(r.fetch)
}

// serveDepartures ends what is over with those who share no group any more.
func (r *Roster) serveDepartures(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.depart:
		case <-timer.C:
		}
		over, next := r.departures()
		for _, user := range over {
			r.bring(ctx, user, func(s *step) error {
				s.touched, s.refresh = true, true
				return s.put(keyDeparted, nil)
			})
		}
		timer.Reset(next)
	}
}

// departures takes out those with whom it is over, and says when to look again.
func (r *Roster) departures() (over []packet.UserID, next time.Duration) {
	next = time.Hour
	now := r.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, micro := range r.groups.departed {
		since := time.UnixMicro(micro)
		left := since.Add(partingMost).Sub(now)
		for _, l := range r.links[user] {
			left = min(left, partingTalk-talked(l, since, now))
		}
		if left <= 0 {
			delete(r.groups.departed, user)
			over = append(over, user)
			continue
		}
		next = min(next, left)
	}
	return over, next
}

// talked says how long a link was up since somebody shares no group any more.
func talked(l bus.Link, since, now time.Time) time.Duration {
	if l.Since.After(since) {
		since = l.Since
	}
	return now.Sub(since)
}

// partedLocked ends a departure with a link that was up for long enough. The
// caller holds mu, and wakes serveDepartures.
func (r *Roster) partedLocked(l bus.Link) {
	micro, departed := r.groups.departed[l.User]
	if departed && talked(l, time.UnixMicro(micro), r.clock()) >= partingTalk/2 {
		r.groups.departed[l.User] = 0 // long ago: it is over
	}
}

// remember keeps keys for the signatures of what a member of a group said, when
// they are no longer trusted or he may be forgotten.
func (s *step) remember(keys []ed25519.PublicKey) error {
	b, err := s.value(keyPast)
	if err != nil {
		return err
	}
	s.r.mu.RLock()
	near := s.r.groups.near(s.user)
	s.r.mu.RUnlock()
	past := splitKeys(b)
	if !near && len(past) == 0 || len(keys) == 0 {
		return nil
	}
	s.touched = true
	return s.put(keyPast, encodeKeys(mergeKeys(past, keys)))
}

// mergeKeys adds keys that are not there yet; of too many the oldest go.
func mergeKeys(old, keys []ed25519.PublicKey) []ed25519.PublicKey {
	for _, k := range keys {
		if !has(old, k) {
			old = append(old, k)
		}
	}
	return old[max(len(old)-maxDevices, 0):]
}

// splitKeys is the opposite of encodeKeys that keeps the order.
func splitKeys(b []byte) []ed25519.PublicKey {
	var keys []ed25519.PublicKey
	for k := range slices.Chunk(b, ed25519.PublicKeySize) {
		if len(k) == ed25519.PublicKeySize {
			keys = append(keys, bytes.Clone(k))
		}
	}
	return keys
}

func vouchedPrefix(chat packet.ChatID) string { return keyVouched + string(chat) + "/" }

// Vouch keeps, in a transaction of the caller's, that members of a chat say that
// these are keys of a user's devices: signatures of these count in that chat.
// They never lead to links, nor take a key away from whom it is known to
// belong to. The caller publishes bus.ChatChanged when the transaction is
// committed. Keys of another length are left out; of too many the oldest go, and
// of too many people the last are not kept.
func (r *Roster) Vouch(tx store.Tx, chat packet.ChatID, user packet.UserID, keys []ed25519.PublicKey) error {
	if user == r.self || chat.Kind() != packet.Group {
		return nil
	}
	key := vouchedPrefix(chat) + string(user)
	b, err := readValue(tx, key)
	if err != nil {
		return err
	}
	if b == nil {
		others, err := tx.Values(namespace, vouchedPrefix(chat), maxVouched)
		if err != nil || len(others) == maxVouched {
			return err
		}
	}
	merged := mergeKeys(splitKeys(b), cleanKeys(keys))
	if now := encodeKeys(merged); !bytes.Equal(now, b) {
		if err := tx.PutValue(namespace, key, now); err != nil {
			return fmt.Errorf("store keys of a member: %w", err)
		}
	}
	return nil
}

// readVouched gives the book the keys for which a chat's members vouch.
func (r *Roster) readVouched(tx store.ReadTx, chat packet.ChatID) error {
	if chat.Kind() != packet.Group {
		return nil
	}
	prefix := vouchedPrefix(chat)
	values, err := tx.Values(namespace, prefix, 0)
	if err != nil {
		return err
	}
	keys := map[packet.UserID][]ed25519.PublicKey{}
	for _, v := range values {
		keys[packet.UserID(strings.TrimPrefix(v.Key, prefix))] = splitKeys(v.Bytes)
	}
	if r.cfg.Book.Vouch(chat, keys) {
		// Who waited for a key looks again.
		bus.Publish(r.cfg.Bus, bus.ContactChanged, bus.ContactChange{Acquaintance: true})
	}
	return nil
}

// forgetGroup drops what was kept for the signatures in a chat that is gone, and
// of people whom no other group names.
func (r *Roster) forgetGroup(ctx context.Context, chat packet.ChatID) {
	var forgotten []packet.UserID
	err := r.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		vouched, err := tx.Values(namespace, vouchedPrefix(chat), 0)
		if err != nil {
			return err
		}
		for _, v := range vouched {
			if err := tx.PutValue(namespace, v.Key, nil); err != nil {
				return err
			}
		}
		past, err := tx.Values(namespace, keyPast, 0)
		if err != nil || len(past) == 0 {
			return err
		}
		named, err := namedInGroups(tx)
		if err != nil {
			return err
		}
		for _, v := range past {
			user := packet.UserID(strings.TrimPrefix(v.Key, keyPast))
			if named[user] {
				continue
			}
			if err := tx.PutValue(namespace, v.Key, nil); err != nil {
				return err
			}
			forgotten = append(forgotten, user)
		}
		return nil
	})
	if err != nil && !ended(ctx, err) {
		r.cfg.Log.Error("keys of a group's members cannot be forgotten", "chat", chat, "error", err)
	}
	if err != nil {
		return
	}
	r.cfg.Book.Vouch(chat, nil)
	for _, user := range forgotten {
		r.bring(ctx, user, func(s *step) error { s.touched = true; return nil })
	}
}

// namedInGroups gives everybody who is or was a member of a group that is here.
func namedInGroups(tx store.ReadTx) (map[packet.UserID]bool, error) {
	named := map[packet.UserID]bool{}
	chats, err := tx.Chats()
	if err != nil {
		return nil, err
	}
	for i := range chats {
		if chats[i].ID.Kind() != packet.Group {
			continue
		}
		versions, err := tx.Versions(chats[i].ID)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			m, err := tx.Membership(chats[i].ID, v)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			for _, user := range m.Members {
				named[user] = true
			}
		}
	}
	return named, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
