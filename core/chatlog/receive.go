package chatlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
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
				Text: fmt.Sprintf("Messages cannot be stored: %v. They are kept by their senders until there is room.", err),
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
	opening := h.Delivery == packet.Reliable && r.s.cfg.Type(h.Type).OpensChat
	if !r.admits(c, l.User) && (!opening || c.known && c.Membership > 0) {
		return nil
	}
	if !r.authentic(l, p) {
		r.s.log.Debug("packet is not its author's", "peer", l.User, "author", h.Author, "chat", h.Chat)
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
	if !c.known || c.Membership == 0 {
		// The chat opens, or was opened and its opening is not handled yet.
		if ok, err := r.opens(c, l, h, opening); err != nil || !ok {
			return err
		}
	}
	return r.entry(l, c, p)
}

// admits says whether user may give packets of a chat.
func (r *run) admits(c *chatState, user packet.UserID) bool {
	return c.known && r.s.sharedWith(&c.Chat, user)
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
	user, key, ok := r.s.cfg.Book.Device(h.Device)
	return ok && user == h.Author && p.Verify(key) == nil
}

func (r *run) ephemeral(c *chatState, p *packet.Packet) error {
	h := &p.Header
	if !r.admits(c, h.Author) || h.Author == r.s.self && h.Device == r.s.device || r.s.cfg.Book.Person(h.Author).Blocked ||
		len(p.Content) > r.s.maxContent(h.Type) || p.CheckContent() != nil {
		return nil
	}
	r.publish(func(s *Service) {
		bus.Publish(s.cfg.Bus, bus.PacketStored(h.Type), bus.Stored{Chat: h.Chat, Ephemeral: p})
	})
	return nil
}

// maxOpened bounds the chats that were opened and have no members yet.
const maxOpened = 64

// opens opens a chat for a contact's packet, if it may.
func (r *run) opens(c *chatState, l bus.Link, h *packet.Header, opening bool) (bool, error) {
	if !opening || l.User != h.Author || h.Chat.Kind() != packet.Group || r.s.cfg.Book.Person(h.Author).Blocked {
		return false, nil
	}
	contact, err := r.tx.Contact(h.Author)
	if errors.Is(err, store.ErrNotFound) || err == nil && contact.State != store.ContactAccepted {
		return false, nil
	}
	if err != nil || c.known {
		return err == nil, err
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
	c.known, c.Chat = true, store.Chat{ID: h.Chat}
	return true, nil
}

// entry takes an authentic entry of another's log.
func (r *run) entry(l bus.Link, c *chatState, p *packet.Packet) error {
	h := &p.Header
	log := h.Key().Log
	head, err := r.head(c, log, h.Author)
	if err != nil {
		return err
	}
	if head == nil {
		return nil // too many logs
	}
	if head.Has(h.Number) {
		return r.put(l, c, store.Entry{Packet: *p, State: store.EntryNew}, head)
	}
	standing, err := r.standing(c, h)
	if err != nil {
		return err
	}
	if standing == excluded {
		if l.Device == h.Device {
			r.refuse(h.Key(), packet.ReasonForbidden, textForbidden)
		}
		return nil
	}
	if !roomFor(head, h.Number) {
		if l.Device == h.Device {
			have := *head
			r.then(func(s *Service) {
				if l := s.links[l.ID]; l != nil {
					s.reached(l, log, h.Number, have, noLimit)
				}
			})
		}
		return nil
	}
	e, ok, err := r.judge(l, p, standing)
	if err != nil {
		return err
	}
	if !ok {
		r.then(func(s *Service) {
			if l := s.links[l.ID]; l != nil && l.claims[log] != nil {
				s.failed(l, log, s.cfg.Now())
				if p := s.pulls[log]; p != nil && p.link == l.ID {
					p.link = 0
				}
				s.plan(log)
			}
		})
		return nil
	}
	return r.put(l, c, e, head)
}

// roomFor says whether number can be taken now: not absurdly far ahead, and not
// making more gaps than a vector can tell.
func roomFor(head *packet.LogVector, number uint64) bool {
	if number > head.Upto+maxAhead {
		return false
	}
	return len(head.Beyond) < packet.MaxRanges || len(add(*head, number).Beyond) <= packet.MaxRanges
}

// judge says what becomes of an entry; not ok means that this copy of it is
// spoilt and another must be asked for.
func (r *run) judge(l bus.Link, p *packet.Packet, st standing) (e store.Entry, ok bool, err error) {
	h := &p.Header
	e = store.Entry{Packet: *p, State: store.EntryNew}
	stub := func(reason packet.Reason, text string) (store.Entry, bool, error) {
		e.State, e.Reason, e.Text, e.Packet.Content = store.EntryStub, reason, text, nil
		return e, true, nil
	}
	if st == forbidden {
		return stub(packet.ReasonForbidden, textForbidden)
	}
	if r.s.cfg.Book.Person(h.Author).Blocked {
		return stub(packet.ReasonBlocked, textBlocked)
	}
	dropped := false
	if p.CheckContent() != nil {
		switch {
		case len(p.Content) == 0:
			dropped = true
		case l.Device == h.Device:
			return stub(packet.ReasonUnreadable, textUnreadable)
		default:
			return e, false, nil
		}
	}
	if limit := r.s.maxContent(h.Type); len(p.Content) > limit {
		return stub(packet.ReasonTooLarge, fmt.Sprintf("It has %d bytes; at most %d are taken.", len(p.Content), limit))
	}
	first, err := r.tx.EntryByID(h.ID)
	switch {
	case err == nil && (first.Packet.Header.Device != h.Device || first.Packet.Header.Chat != h.Chat):
		return stub(packet.ReasonUnreadable, textTaken)
	case err == nil:
		return r.again(e, &first, dropped, st)
	case !errors.Is(err, store.ErrNotFound):
		return e, false, err
	}
	switch {
	case dropped:
		e.State, e.Dropped = store.EntryHandled, true
	case st == waiting:
		e.State = store.EntryWaiting
	}
	return e, true, nil
}

// again judges an entry whose packet is here already in another log: its author
// began a new epoch. Only one of them is to be handled; when the first has not
// been, it is the new one, because the first may stand behind a gap for ever.
func (r *run) again(e store.Entry, first *store.Entry, dropped bool, st standing) (store.Entry, bool, error) {
	if dropped || first.Dropped || first.State != store.EntryNew && first.State != store.EntryWaiting {
		e.State, e.Dropped = store.EntryHandled, dropped
		return e, true, nil
	}
	if st == waiting {
		e.State = store.EntryWaiting
	}
	err := r.tx.SetEntryState(first.Packet.Header.Key(), store.EntryHandled, 0, "")
	return e, true, err
}

// What authors are told of their refused entries.
const (
	textForbidden  = "You are not a member of this chat."
	textBlocked    = "This person does not take messages from you."
	textUnreadable = "It came damaged."
	textTaken      = "Another message has its id."
)

// put adds an entry and notes what follows from it.
func (r *run) put(l bus.Link, c *chatState, e store.Entry, head *packet.LogVector) error {
	h := &e.Packet.Header
	added, err := r.tx.PutEntry(e)
	if errors.Is(err, store.ErrConflict) {
		r.equivocates(h)
		return nil
	}
	if err != nil {
		return fmt.Errorf("put entry %s: %w", h.Key(), err)
	}
	t := r.touch(h.Key().Log, head)
	t.from[l.ID] = struct{}{}
	if !added {
		return nil
	}
	*head = add(*head, h.Number)
	switch e.State {
	case store.EntryNew:
		r.stored(h.Type, h.Chat)
	case store.EntryStub:
		r.refuse(h.Key(), e.Reason, e.Text)
	}
	return nil
}

func (r *run) touch(log packet.Log, head *packet.LogVector) *touch {
	t := r.touched[log]
	if t == nil {
		t = &touch{before: *head, after: head, from: map[uint64]struct{}{}}
		r.touched[log] = t
		r.order = append(r.order, log)
	}
	return t
}

// equivocates names an author who signed two entries with one number.
func (r *run) equivocates(h *packet.Header) {
	key := h.Key()
	author := h.Author
	r.publish(func(s *Service) {
		s.mu.Lock()
		_, known := s.named[key.Log]
		if !known && len(s.named) < 1024 {
			s.named[key.Log] = struct{}{}
		}
		s.mu.Unlock()
		s.log.Warn("two entries are signed with one number", "author", author, "entry", key.String())
		if !known {
			bus.Publish(s.cfg.Bus, bus.Noticed, bus.Notice{
				Level: "warning", Subject: "contact:" + string(author),
				Text: fmt.Sprintf("%s sent two different messages as one; the first is kept. Others may see the second. "+
					"A device that was restored from a backup can do that, and so can one that lies.", author),
			})
		}
	})
}

// refuse has the author of a stub told, if there is a link.
func (r *run) refuse(key packet.EntryKey, reason packet.Reason, text string) {
	r.publish(func(s *Service) { s.Refused(key, reason, text) })
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
		after, grew := *t.after, t.after.Upto != t.before.Upto || highest(*t.after) != highest(t.before) || len(t.after.Beyond) != len(t.before.Beyond)
		for id := range t.from {
			r.then(func(s *Service) { s.progress(log, after, id) })
		}
		r.then(func(s *Service) {
			for id, l := range s.links {
				if _, came := t.from[id]; (came || l.Device == log.Device) && l.shared[log.Chat] != nil {
					l.tell[log] = struct{}{}
					l.signal()
				}
			}
			if grew {
				s.rumour(log)
			}
		})
	}
	return nil
}

// wakeBeyond wakes who handles entries that a closed gap made reachable.
func (r *run) wakeBeyond(log packet.Log, first, last uint64) error {
	for first <= last {
		entries, err := r.tx.Entries(log, first, last, turnEntries, turnBytes, false)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if entries[i].State == store.EntryNew {
				r.stored(entries[i].Packet.Header.Type, log.Chat)
			}
		}
		first = entries[len(entries)-1].Packet.Header.Number + 1
	}
	return nil
}
