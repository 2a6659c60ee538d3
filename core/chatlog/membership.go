package chatlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of entries that do not count, or not yet.
const (
	// maxPast is how far beyond the last number that counts entries are taken, to
	// wait: another list may let them count. Those that may open chats are handed
	// in, because it is they that change the lists.
	maxPast = 256
	// maxWaiting is how many entries of one log wait.
	maxWaiting = 4096
)

// standing is what the member lists say of an entry.
type standing int

const (
	counts    standing = iota + 1 // its author was a member
	waiting                       // its member list is not known, or by the present one it does not count
	forbidden                     // it never counts, and becomes a stub, so that its author's later entries are not behind a gap
	excluded                      // it does not count, nor does anything that follows it
)

// chatState is what a run knows of a chat.
type chatState struct {
	store.Chat
	known bool
	now   *list // the present one, nil before the first
	roles map[packet.UserID]role
	heads map[packet.Log]*store.Head
}

func (r *run) chat(id packet.ChatID) (*chatState, error) {
	if c := r.chats[id]; c != nil {
		return c, nil
	}
	c := &chatState{Chat: store.Chat{ID: id}, roles: map[packet.UserID]role{}}
	chat, err := r.tx.Chat(id)
	switch {
	case err == nil:
		c.Chat, c.known = chat, true
		if c.now, err = r.s.list(r.tx, id, chat.Membership); err != nil {
			return nil, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	r.chats[id] = c
	return c, nil
}

// role gives what user is in a chat.
func (r *run) role(c *chatState, user packet.UserID) (role, error) {
	if !c.known {
		return outsider, nil
	}
	is, known := c.roles[user]
	if known {
		return is, nil
	}
	is, err := r.s.role(r.tx, &c.Chat, user)
	c.roles[user] = is
	return is, err
}

func (r *run) loadHeads(c *chatState) error {
	if c.heads != nil {
		return nil
	}
	heads, err := r.tx.Heads(c.ID)
	if err != nil {
		return err
	}
	c.heads = map[packet.Log]*store.Head{}
	for i := range heads {
		c.heads[packet.Log{Chat: c.ID, Device: heads[i].Device, Epoch: heads[i].Epoch}] = &heads[i]
	}
	return nil
}

// head gives what is here of a log; nil when it would be one log too many.
func (r *run) head(c *chatState, log packet.Log, author packet.UserID) (*store.Head, error) {
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
	head := &store.Head{Author: author, LogVector: packet.LogVector{Device: log.Device, Epoch: log.Epoch}}
	c.heads[log] = head
	return head, nil
}

// limit is the last number of a log that counts under the present list.
func (c *chatState) limit(log packet.Log, author packet.UserID) uint64 {
	if c.now == nil {
		return noLimit
	}
	return c.now.limit(log, author)
}

// worth is the last number of a log that is worth fetching.
func (c *chatState) worth(log packet.Log, author packet.UserID) uint64 {
	return min(c.limit(log, author), noLimit-maxPast) + maxPast
}

// standing judges an entry by the list it was written under, which must have its
// author, and by the present one, which says up to where he counts. What may
// open a chat changes the lists, so that it is not judged by them: it must reach
// all, whoever removed whom meanwhile.
func (r *run) standing(c *chatState, h *packet.Header) (standing, error) {
	log := h.Key().Log
	if h.Number > c.worth(log, h.Author) {
		return excluded, nil
	}
	if r.s.kindOf(h.Type, c.ID) == changes {
		return counts, nil
	}
	if h.Membership == 0 {
		return forbidden, nil
	}
	under, err := r.s.list(r.tx, c.ID, h.Membership)
	switch {
	case err != nil:
		return 0, err
	case under != nil && (under.merged || !under.has(h.Author)):
		return forbidden, nil
	case under == nil || h.Number > c.limit(log, h.Author):
		return waiting, nil
	case c.now != nil && !c.now.has(r.s.self):
		return waiting, nil // this account left, or was removed
	}
	return counts, nil
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
// that wait, and those beyond what counts.
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
		if err := r.s.review(tx, &c.Chat); err != nil {
			return err
		}
		if err := r.rejudge(c); err != nil {
			return err
		}
		r.relimit(c)
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
	return nil
}

// relimit has what peers said they have judged anew.
func (r *run) relimit(c *chatState) {
	limits := map[packet.Log]uint64{}
	r.s.mu.Lock()
	for log := range r.s.pulls {
		if log.Chat != c.ID {
			continue
		}
		var author *bus.Link
		for _, l := range r.s.links {
			if l.Device == log.Device {
				author = &l.Link
			}
		}
		limits[log] = r.worth(c, log, author)
	}
	r.s.mu.Unlock()
	r.then(func(s *Service) { s.limited(limits) })
}

// rejudge brings the entries of a chat to the states that its lists give them
// now, so that those who had them before a list end up like those who had not.
func (r *run) rejudge(c *chatState) error {
	if err := r.loadHeads(c); err != nil {
		return err
	}
	for _, log := range sortedLogs(c.heads) {
		head := c.heads[log]
		moved, err := r.release(c, log, head)
		if err != nil {
			return err
		}
		// What the user wrote he keeps.
		if limit := c.limit(log, head.Author); log.Device != r.s.device && limit < highest(head.LogVector) {
			cut, err := r.cut(c, log, limit+1)
			if err != nil {
				return err
			}
			moved = moved || cut
		}
		if moved {
			have := head.LogVector
			r.then(func(s *Service) {
				s.rumour(log, have) // what others are offered of it is another
				s.grew(log)         // and what could not be given may be now
			})
		}
	}
	return nil
}

// release judges the entries of a log that wait; moved says that some do no more.
func (r *run) release(c *chatState, log packet.Log, head *store.Head) (moved bool, err error) {
	freed, twins := uint64(0), false
	judge := func(e *store.Entry) error {
		number := e.Packet.Header.Number
		if e.State != store.EntryWaiting {
			return nil
		}
		is, err := r.releaseOne(c, e)
		if is && (freed == 0 || number < freed) {
			freed = number
		}
		return err
	}
	err = r.eachTwin(log, 1, noLimit, func(e *store.Entry) error {
		twins = true
		return judge(e)
	})
	if err != nil || len(head.Waiting) == 0 && !twins {
		return false, err
	}
	for first := uint64(1); ; {
		entries, err := r.tx.Waiting(log, first, noLimit, turnEntries, turnBytes)
		if err != nil {
			return false, err
		}
		if len(entries) == 0 {
			break
		}
		for i := range entries {
			first = entries[i].Packet.Header.Number + 1
			if err := judge(&entries[i]); err != nil {
				return false, err
			}
		}
	}
	if freed == 0 {
		return false, nil
	}
	// Wake who handles the entries that stood behind.
	return true, r.wakeBeyond(log, freed+1, min(head.Upto, freed+maxWaiting))
}

// releaseOne judges an entry that waits, and says whether it still does.
func (r *run) releaseOne(c *chatState, e *store.Entry) (freed bool, err error) {
	h := &e.Packet.Header
	st, err := r.standing(c, h)
	if err != nil {
		return false, err
	}
	switch {
	case st == counts && e.Dropped:
		err = r.tx.SetEntryState(h.Key(), store.EntryHandled, 0, "")
	case st == counts:
		err = r.tx.SetEntryState(h.Key(), store.EntryNew, 0, "")
		r.stored(h.Type, h.Chat)
	case st == forbidden:
		err = r.tx.SetEntryState(h.Key(), store.EntryStub, packet.ReasonForbidden, textForbidden)
		r.refuse(h.Key(), packet.ReasonForbidden, textForbidden)
	default:
		return false, nil
	}
	return true, err
}

// cut has the entries of a log from first on wait again, and withdraws their
// messages: they do not count, as long as no other list says that they do. It says
// whether there were any.
func (r *run) cut(c *chatState, log packet.Log, first uint64) (some bool, err error) {
	err = r.eachTwin(log, first, noLimit, func(e *store.Entry) error {
		is, err := r.cutOne(c, e)
		some = some || is
		return err
	})
	if err != nil {
		return some, err
	}
	for {
		entries, err := r.tx.Entries(log, first, noLimit, turnEntries, turnBytes, false)
		if err != nil || len(entries) == 0 {
			return some, err
		}
		for i := range entries {
			first = entries[i].Packet.Header.Number + 1
			is, err := r.cutOne(c, &entries[i])
			some = some || is
			if err != nil {
				return some, err
			}
		}
	}
}

func (r *run) cutOne(c *chatState, e *store.Entry) (is bool, err error) {
	h := &e.Packet.Header
	if e.State == store.EntryWaiting || e.State == store.EntryStub || r.s.kindOf(h.Type, c.ID) == changes {
		return false, nil
	}
	if err := r.tx.SetEntryState(h.Key(), store.EntryWaiting, 0, ""); err != nil {
		return false, err
	}
	return true, r.withdraw(h)
}

// withdraw takes the message of an entry out of sight.
func (r *run) withdraw(h *packet.Header) error {
	m, err := store.MessageOf(r.tx, h.Author, h.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && m.Entry != h.Key() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.tx.WithdrawMessage(m.ID); err != nil {
		return err
	}
	r.publish(func(s *Service) {
		bus.Publish(s.cfg.Bus, bus.MessageRemoved, bus.MessageRef{Chat: h.Chat, ID: m.ID})
	})
	return nil
}
