package chatlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

// maxEpochs bounds the logs of one device in one chat.
const maxEpochs = 256

// run handles a batch of events in one transaction. What is to be done outside
// the store is collected, and done when the commit is there.
type run struct {
	s  *Service
	tx store.Tx

	chats   map[packet.ChatID]*chatState
	touched map[packet.Log]*touch
	order   []packet.Log // of touched
	wakes   map[wake]struct{}
	changes map[bus.MessageRef]struct{}
	met     map[meeting]struct{}
	audits  map[auditing]struct{} // that begin with this run
	locked  []func(*Service)      // under mu
	open    []func(*Service)      // afterwards
}

// meeting is a peer's first vector of a chat on a link.
type meeting struct {
	link uint64
	chat packet.ChatID
}

type auditing struct {
	link uint64
	log  packet.Log
}

type wake struct {
	chat packet.ChatID
	typ  packet.Type
}

// touch is a log that entries came to.
type touch struct {
	before packet.LogVector
	after  *packet.LogVector
	from   map[uint64]struct{} // links
	twins  bool                // some came
	opened bool                // others can be offered a number that could not be before
}

func (s *Service) newRun(tx store.Tx) *run {
	return &run{
		s: s, tx: tx, chats: map[packet.ChatID]*chatState{}, touched: map[packet.Log]*touch{},
		wakes: map[wake]struct{}{}, changes: map[bus.MessageRef]struct{}{},
		met: map[meeting]struct{}{}, audits: map[auditing]struct{}{},
	}
}

func (r *run) then(f func(*Service))    { r.locked = append(r.locked, f) }
func (r *run) publish(f func(*Service)) { r.open = append(r.open, f) }

// stored wakes who handles a type.
func (r *run) stored(t packet.Type, chat packet.ChatID) {
	w := wake{chat, t}
	if _, ok := r.wakes[w]; ok {
		return
	}
	r.wakes[w] = struct{}{}
	r.publish(func(s *Service) { bus.Publish(s.cfg.Bus, bus.PacketStored(t), bus.Stored{Chat: chat}) })
}

// changed tells front ends of a message whose delivery moved.
func (r *run) changed(chat packet.ChatID, id packet.PacketID) {
	ref := bus.MessageRef{Chat: chat, ID: id}
	if _, ok := r.changes[ref]; ok {
		return
	}
	r.changes[ref] = struct{}{}
	r.publish(func(s *Service) { bus.Publish(s.cfg.Bus, bus.MessageChanged, ref) })
}

func (r *run) appended(chat packet.ChatID) {
	r.publish(func(s *Service) { s.appended(chat) })
}

// receive commits a batch and answers it. When the store has no room it holds
// the batch, and with it the credit of its links, until there is some.
func (s *Service) receive(ctx context.Context, events []event) {
	defer func() {
		for _, e := range events {
			e.Dropped()
		}
	}()
	if s.commit(ctx, events) == nil {
		return
	}
	for _, e := range events {
		s.commitAlone(ctx, e)
	}
}

// commitAlone commits one event, waiting for room if need be. Another failure is
// the event's own: what it brought is asked for again.
func (s *Service) commitAlone(ctx context.Context, e event) {
	for told := false; ; told = true {
		err := s.commit(ctx, []event{e})
		if err == nil || ctx.Err() != nil {
			return
		}
		room := !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrReadOnly) && !errors.Is(err, store.ErrBusy)
		if !told {
			s.log.Error("chat log: an event could not be stored", "peer", e.link.User, "error", err)
		}
		if room {
			return
		}
		if !told {
			bus.Publish(s.cfg.Bus, bus.Noticed, bus.Notice{
				Level: "error", Subject: "disk",
				Text:   fmt.Sprintf("Messages cannot be stored: %v. They are kept by their senders until there is room.", err),
				Reason: failure.Because("CANNOT_STORE", "why", err),
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * retryAfter):
		}
	}
}

func (s *Service) commit(ctx context.Context, events []event) error {
	durability := store.Lazy // vectors and the like are told again
	for _, e := range events {
		if e.packet != nil && e.packet.Header.Delivery == packet.Reliable {
			durability = store.Synced
		}
	}
	var r *run
	err := s.cfg.Store.Update(ctx, durability, func(tx store.Tx) error {
		r = s.newRun(tx)
		for _, e := range events {
			if err := r.event(e); err != nil {
				return err
			}
		}
		return r.finish()
	})
	if err != nil {
		return err
	}
	s.conclude(r)
	return nil
}

// conclude does what a committed run left to do.
func (s *Service) conclude(r *run) {
	r.tx = nil
	s.mu.Lock()
	for _, f := range r.locked {
		f(s)
	}
	s.mu.Unlock()
	for _, f := range r.open {
		f(s)
	}
}

func (r *run) event(e event) error {
	r.s.mu.Lock()
	up := r.s.links[e.link.ID] != nil
	r.s.mu.Unlock()
	if !up && e.packet == nil {
		return nil // the link is gone; what it says is out of date
	}
	if e.packet != nil {
		return r.packet(e.link, e.packet)
	}
	switch f := e.frame.(type) {
	case *packet.Vectors:
		return r.vectors(e.link, f)
	case *packet.Want:
		r.publish(func(s *Service) { s.wanted(e.link.ID, f) })
	case *packet.Refusals:
		return r.refusals(e.link, f)
	case *packet.Compare:
		return r.compared(e.link, f)
	case *packet.Registers:
		return r.registers(e.link, f)
	}
	return nil
}

// packet takes one packet.
func (r *run) packet(l bus.Link, p *packet.Packet) error {
	h := &p.Header
	if rosters(h.Type) || h.Chat.Kind() == packet.Net2019 {
		return nil
	}
	c, err := r.chat(h.Chat)
	if err != nil {
		return err
	}
	from, err := r.role(c, l.User)
	if err != nil {
		return err
	}
	opening := h.Delivery == packet.Reliable && r.s.kindOf(h.Type, h.Chat) == changes
	member := c.known && isMember(&c.Chat, r.s.self)
	if from == outsider && !opening {
		return nil
	}
	if !r.authentic(l, p) {
		r.s.log.Debug("packet is not its author's", "peer", l.User, "author", h.Author, "chat", h.Chat)
		switch _, key, known := r.s.cfg.Book.Signer(h.Chat, h.Device); {
		case known && p.Verify(key) != nil:
			r.accuse(l.User, fmt.Sprintf("%s passed on a message as if %s had written it, who has not. It was not taken.", l.User, h.Author))
		case from != outsider && h.Delivery == packet.Reliable:
			r.unknown(l, h)
		}
		return nil
	}
	switch {
	case h.Delivery == packet.Ephemeral:
		return r.ephemeral(c, p)
	case h.Device == r.s.device:
		if !c.known {
			return nil
		}
		return r.ownEntry(l, p)
	}
	if from == outsider && (!member || !isMember(&c.Chat, h.Author)) {
		// The chat opens, or was opened by another and its opening is not handled yet; or he
		// who gives it is a member by what is not known here.
		if ok, err := r.opens(c, l, h, opening); err != nil || !ok {
			return err
		}
	}
	return r.entry(l, c, p)
}

// unknown has the key of an entry's author looked for, if none is known of the
// device.
func (r *run) unknown(l bus.Link, h *packet.Header) {
	if _, _, known := r.s.cfg.Book.Signer(h.Chat, h.Device); known || h.Chat.Kind() != packet.Group || h.Author == r.s.self {
		return
	}
	r.then(func(s *Service) { s.strange(h.Key().Log, l.ID) })
	r.publish(func(s *Service) {
		bus.Publish(s.cfg.Bus, bus.AuthorUnknown, bus.Author{Chat: h.Chat, User: h.Author, Device: h.Device})
	})
}

// authentic says whether the packet is its author's. What came over the author's
// own link is, by TLS; but in a group it is passed on, so that its signature
// must be good in any case.
func (r *run) authentic(l bus.Link, p *packet.Packet) bool {
	h := &p.Header
	if h.Device == r.s.device {
		return h.Author == r.s.self && p.Verify(r.s.cfg.Identity.Key()) == nil
	}
	if l.Device == h.Device && l.User == h.Author {
		if h.Delivery == packet.Ephemeral {
			return true
		}
		if h.Chat.Kind() == packet.Direct {
			return len(p.Signature) > 0
		}
		return p.Verify(l.Key) == nil
	}
	user, key, ok := r.s.cfg.Book.Signer(h.Chat, h.Device)
	return ok && user == h.Author && p.Verify(key) == nil
}

func (r *run) ephemeral(c *chatState, p *packet.Packet) error {
	h := &p.Header
	if !isMember(&c.Chat, h.Author) || !isMember(&c.Chat, r.s.self) || h.Author == r.s.self && h.Device == r.s.device || r.s.cfg.Book.Person(h.Author).Blocked ||
		len(p.Content) > r.s.maxContent(h.Type) || p.CheckContent() != nil {
		return nil //nolint:nilerr // nobody waits for it
	}
	r.publish(func(s *Service) {
		bus.Publish(s.cfg.Bus, bus.PacketStored(h.Type), bus.Stored{Chat: h.Chat, Ephemeral: p})
	})
	return nil
}

// Bounds of chats that were opened.
const (
	maxOpened = 64 // that have no members yet
	maxGuests = 16 // who told of one chat
)

// opens opens a chat for a packet that a contact gave, if it may, and has it
// exchanged with him: he has what else must be known.
func (r *run) opens(c *chatState, l bus.Link, h *packet.Header, opening bool) (bool, error) {
	if !opening || r.s.cfg.Book.Person(l.User).Blocked {
		return false, nil
	}
	contact, err := r.tx.Contact(l.User)
	if errors.Is(err, store.ErrNotFound) || err == nil && contact.State != store.ContactAccepted {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if c.known {
		guests, err := r.tx.Values(namespace, prefixOpened(h.Chat), maxGuests)
		if err != nil || len(guests) >= maxGuests {
			return false, err
		}
		return true, r.welcome(c, l)
	}
	chats, err := r.tx.Chats()
	if err != nil {
		return false, err
	}
	empty := 0
	for i := range chats {
		if chats[i].Membership == 0 {
			empty++
		}
	}
	if empty >= maxOpened {
		return false, nil
	}
	if err := r.tx.PutChat(store.Chat{ID: h.Chat, CreatedAt: r.s.cfg.Now().UnixMicro()}); err != nil {
		return false, fmt.Errorf("open chat %s: %w", h.Chat, err)
	}
	c.known = true
	return true, r.welcome(c, l)
}

// welcome makes the peer of a link a guest of a chat.
func (r *run) welcome(c *chatState, l bus.Link) error {
	c.roles[l.User] = guest
	chat := c.ID
	r.then(func(s *Service) {
		if l := s.links[l.ID]; l != nil && l.shared[chat] == nil {
			l.share(chat, peerIs{role: guest})
		}
	})
	return r.tx.PutValue(namespace, keyOpened(chat, l.User), []byte{1})
}

// finish works out what the touched logs mean to others.
func (r *run) finish() error {
	for _, log := range r.order {
		t := r.touched[log]
		if len(t.before.Beyond) > 0 && t.after.Upto > t.before.Upto {
			if err := r.wakeBeyond(log, t.before.Upto+1, t.after.Upto); err != nil {
				return err
			}
		}
		if log.Device == r.s.device && t.after.Upto > t.before.Upto {
			if err := r.restored(log, t.after.Upto); err != nil {
				return err
			}
		}
		after, grew := *t.after, t.after.Upto != t.before.Upto || highest(*t.after) != highest(t.before) || len(t.after.Beyond) != len(t.before.Beyond)
		for id := range t.from {
			r.then(func(s *Service) { s.progress(log, after, id) })
		}
		r.then(func(s *Service) {
			if grew || t.opened {
				s.rumour(log, after)
			}
			if grew || t.twins {
				s.grew(log)
			}
			for id, l := range s.links {
				if _, came := t.from[id]; (came || l.Device == log.Device) && l.shared[log.Chat] != nil {
					l.tell[log] = struct{}{}
					s.rumours.told(log, id)
					l.signal()
				}
			}
		})
	}
	return nil
}

// wakeBeyond wakes who handles entries that a closed gap made reachable.
func (r *run) wakeBeyond(log packet.Log, first, last uint64) error {
	wake := func(e *store.Entry) error {
		if e.State == store.EntryNew {
			r.stored(e.Packet.Header.Type, log.Chat)
		}
		return nil
	}
	if err := r.eachTwin(log, first, last, wake); err != nil {
		return err
	}
	for first <= last {
		entries, err := r.tx.Entries(log, first, last, turnEntries, turnBytes, false)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if err := wake(&entries[i]); err != nil {
				return err
			}
		}
		first = entries[len(entries)-1].Packet.Header.Number + 1
	}
	return nil
}

// eachTwin looks at the twins of a log with numbers in [first, last].
func (r *run) eachTwin(log packet.Log, first, last uint64, look func(*store.Entry) error) error {
	for after := (packet.EntryKey{Log: log, Number: first}); ; {
		twins, err := r.tx.Twins(after, last, turnEntries, turnBytes)
		if err != nil || len(twins) == 0 {
			return err
		}
		for i := range twins {
			after = twins[i].Packet.Header.Key()
			if err := look(&twins[i]); err != nil {
				return err
			}
		}
	}
}
