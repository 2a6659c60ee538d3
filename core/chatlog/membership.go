package chatlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// maxVersions is how many versions of a member list are gone through for one
// entry.
const maxVersions = 1024

const noLimit = math.MaxInt64

// standing is what the member lists say of an entry.
type standing int

const (
	counts    standing = iota + 1 // its author was a member
	waiting                       // its member list is not known yet
	forbidden                     // it does not count, and becomes a stub, so that its author's later entries are no longer behind a gap
	excluded                      // it does not count, nor does anything that follows it
)

// chatState is what a run knows of a chat.
type chatState struct {
	store.Chat
	known    bool
	versions map[uint64]*store.Membership // nil: not known
	heads    map[packet.Log]*packet.LogVector
	authors  map[packet.Log]packet.UserID
}

func (r *run) chat(id packet.ChatID) (*chatState, error) {
	if c := r.chats[id]; c != nil {
		return c, nil
	}
	c := &chatState{versions: map[uint64]*store.Membership{}}
	chat, err := r.tx.Chat(id)
	switch {
	case err == nil:
		c.Chat, c.known = chat, true
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	r.chats[id] = c
	return c, nil
}

func (r *run) loadHeads(c *chatState) error {
	if c.heads != nil {
		return nil
	}
	heads, err := r.tx.Heads(c.ID)
	if err != nil {
		return err
	}
	c.heads, c.authors = map[packet.Log]*packet.LogVector{}, map[packet.Log]packet.UserID{}
	for i := range heads {
		log := packet.Log{Chat: c.ID, Device: heads[i].Device, Epoch: heads[i].Epoch}
		c.heads[log] = &heads[i].LogVector
		c.authors[log] = heads[i].Author
	}
	return nil
}

// head gives what is here of a log; nil when it would be one log too many.
func (r *run) head(c *chatState, log packet.Log, author packet.UserID) (*packet.LogVector, error) {
	if err := r.loadHeads(c); err != nil {
		return nil, err
	}
	if head := c.heads[log]; head != nil {
		return head, nil
	}
	epochs := 0
	for other := range c.heads {
		if other.Device == log.Device {
			epochs++
		}
	}
	if epochs >= maxEpochs {
		return nil, nil
	}
	head := &packet.LogVector{Device: log.Device, Epoch: log.Epoch}
	c.heads[log], c.authors[log] = head, author
	return head, nil
}

// version gives a version of a member list, nil when it is not known.
func (r *run) version(c *chatState, v uint64) (*store.Membership, error) {
	if m, ok := c.versions[v]; ok {
		return m, nil
	}
	m, err := r.tx.Membership(c.ID, v)
	switch {
	case err == nil:
		c.versions[v] = &m
	case errors.Is(err, store.ErrNotFound):
		c.versions[v] = nil
	default:
		return nil, err
	}
	return c.versions[v], nil
}

// standing judges an entry by the member list it was written under, and by the
// later ones: a list that no longer has the author says up to where he counts.
// Of lists from before this account's time the earliest known one stands in.
func (r *run) standing(c *chatState, h *packet.Header) (standing, error) {
	if c.Membership == 0 {
		return counts, nil // it opens the chat
	}
	member := slices.Contains(c.Members, h.Author)
	limit, err := r.limit(c, h.Key().Log, h.Author)
	if err != nil {
		return 0, err
	}
	against := excluded
	if h.Number <= limit {
		against = forbidden // others behind it may count
	}
	if h.Membership == 0 {
		return against, nil
	}
	if h.Membership > c.Membership {
		if member && r.s.cfg.Type(h.Type).OpensChat {
			return counts, nil // it tells of the new list
		}
		return waiting, nil
	}
	written := false // a list under which it may have been written was seen
	last := min(c.Membership, h.Membership+maxVersions)
	for v := h.Membership; v <= last; v++ {
		m, err := r.version(c, v)
		if err != nil {
			return 0, err
		}
		if m == nil {
			continue
		}
		in := slices.Contains(m.Members, h.Author)
		if !in && (v == h.Membership || h.Number > cutoff(m, h.Key().Log)) {
			return against, nil
		}
		written = true
	}
	if !written {
		return waiting, nil
	}
	return counts, nil
}

// cutoff is the last number of a log that counts under a list without its
// author.
func cutoff(m *store.Membership, log packet.Log) uint64 {
	for _, c := range m.Cutoffs {
		if c.Log == log {
			return c.Number
		}
	}
	return 0
}

// limit is the highest number of a log worth fetching.
func (r *run) limit(c *chatState, log packet.Log, author packet.UserID) (uint64, error) {
	if slices.Contains(c.Members, author) {
		return noLimit, nil
	}
	// All lists since he went name the same number, unless some are missing here.
	var limit uint64
	for v, n := c.Membership, 0; v > 0 && n < maxVersions; v, n = v-1, n+1 {
		m, err := r.version(c, v)
		if err != nil {
			return 0, err
		}
		if m != nil && slices.Contains(m.Members, author) {
			break
		}
		if m != nil {
			limit = max(limit, cutoff(m, log))
		}
	}
	return limit, nil
}

// judgedBy stands for the versions of a chat's member list that are here; the
// store keeps for which of them the entries were judged. It is not the number of
// the last one, because an older one may come after a newer one.
func judgedBy(tx store.ReadTx, chat packet.ChatID) (now, before uint64, err error) {
	versions, err := tx.Versions(chat)
	if err != nil || len(versions) == 0 {
		return 0, 0, err
	}
	h := fnv.New64a()
	for _, v := range versions {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, v)) // never fails
	}
	before, err = number(tx, keyMembership(chat))
	return h.Sum64(), before, err
}

// memberships judges anew what another member list may have changed: entries
// that waited for it, and those of removed members beyond what counts.
func (s *Service) memberships(ctx context.Context, chat packet.ChatID) error {
	var now, before uint64
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		now, before, err = judgedBy(tx, chat)
		return err
	})
	if err != nil || now == before {
		return err
	}
	var r *run
	// Lazy: the mark that it was done goes with it.
	err = s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		r = s.newRun(tx)
		c, err := r.chat(chat)
		if err != nil || !c.known {
			return err
		}
		if err := r.release(c); err != nil {
			return err
		}
		if err := r.cut(c); err != nil {
			return err
		}
		now, _, err := judgedBy(tx, chat)
		if err != nil {
			return err
		}
		return putNumber(tx, keyMembership(chat), now)
	})
	if err != nil {
		return fmt.Errorf("judge entries of chat %s by its new members: %w", chat, err)
	}
	s.conclude(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.shared[chat] != nil {
			l.retell(chat)
		}
	}
	return nil
}

// release judges the entries that wait.
func (r *run) release(c *chatState) error {
	entries, err := r.tx.Waiting(c.ID)
	if err != nil {
		return err
	}
	for i := range entries {
		h := &entries[i].Packet.Header
		st, err := r.standing(c, h)
		if err != nil {
			return err
		}
		switch st {
		case waiting:
			continue
		case counts:
			err = r.tx.SetEntryState(h.Key(), store.EntryNew, 0, "")
			r.stored(h.Type, h.Chat)
		default:
			err = r.tx.SetEntryState(h.Key(), store.EntryStub, packet.ReasonForbidden, textForbidden)
			r.refuse(h.Key(), packet.ReasonForbidden, textForbidden)
		}
		if err != nil {
			return err
		}
		if err := r.wakeAfter(c, h); err != nil {
			return err
		}
	}
	return nil
}

// wakeAfter wakes who handles the entries that stood behind a waiting one.
func (r *run) wakeAfter(c *chatState, h *packet.Header) error {
	head, err := r.head(c, h.Key().Log, h.Author)
	if err != nil || head == nil {
		return err
	}
	return r.wakeBeyond(h.Key().Log, h.Number+1, min(head.Upto, h.Number+turnEntries))
}

// cut makes stubs of entries that a removal says do not count, and deletes their
// messages, so that those who had them already end up like those who had not.
func (r *run) cut(c *chatState) error {
	if err := r.loadHeads(c); err != nil {
		return err
	}
	versions, err := r.tx.Versions(c.ID)
	if err != nil {
		return err
	}
	for _, log := range sortedLogs(c.heads) {
		if log.Device == r.s.device {
			continue // the user keeps what he wrote
		}
		from := uint64(math.MaxInt64) // the first that may not count
		for _, v := range versions {
			m, err := r.version(c, v)
			if err != nil {
				return err
			}
			if m != nil && !slices.Contains(m.Members, c.authors[log]) {
				from = min(from, cutoff(m, log)+1)
			}
		}
		if err := r.cutLog(c, log, from); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) cutLog(c *chatState, log packet.Log, first uint64) error {
	for {
		entries, err := r.tx.Entries(log, first, math.MaxInt64, turnEntries, turnBytes, false)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			h := &entries[i].Packet.Header
			first = h.Number + 1
			st, err := r.standing(c, h)
			if err != nil {
				return err
			}
			if st == counts || st == waiting {
				continue
			}
			if err := r.tx.SetEntryState(h.Key(), store.EntryStub, packet.ReasonForbidden, textForbidden); err != nil {
				return err
			}
			if err := r.deleteMessage(h); err != nil {
				return err
			}
		}
	}
}

func (r *run) deleteMessage(h *packet.Header) error {
	m, err := r.tx.Message(h.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && (m.Chat != h.Chat || m.Author != h.Author) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.tx.DeleteMessage(h.ID); err != nil {
		return err
	}
	r.publish(func(s *Service) {
		bus.Publish(s.cfg.Bus, bus.MessageRemoved, bus.MessageRef{Chat: h.Chat, ID: h.ID})
	})
	return nil
}
