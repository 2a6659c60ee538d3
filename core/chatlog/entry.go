package chatlog

import (
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
)

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
	twin := false
	if head.Has(h.Number) {
		if twin, err = r.twin(p); err != nil {
			return err
		}
		if !twin {
			return r.put(l, store.Entry{Packet: *p, State: store.EntryNew}, head)
		}
		repeated, err := r.copyOf(h)
		if err != nil {
			return err
		}
		if repeated == nil { // else a device was restored, and has begun a new epoch with both
			r.equivocates(h)
		}
	}
	standing, err := r.standing(c, h)
	if err != nil {
		return err
	}
	if standing == excluded {
		if l.Device == h.Device {
			r.refuse(h.Key(), packet.ReasonForbidden, textForbidden)
			r.reached(l, h, head, c.worth(log, h.Author))
		}
		return nil
	}
	full := standing == waiting && !twin && count(head.Waiting) >= maxWaiting
	if full {
		r.accuse(h.Author, fmt.Sprintf("%s wrote more than %d messages of which it is not known here whether they count. No more are taken until it is.", h.Author, maxWaiting))
	}
	if full || !roomFor(&head.LogVector, h.Number) {
		if l.Device == h.Device {
			r.reached(l, h, head, noLimit)
		}
		return nil
	}
	e, ok, err := r.judge(l, p, standing)
	if err != nil {
		return err
	}
	if !ok {
		number, bare := h.Number, len(p.Content) == 0
		r.then(func(s *Service) {
			if l := s.links[l.ID]; l != nil && l.claims[log] != nil {
				if bare {
					// This peer has no better, as long as the link lasts.
					l.claims[log].refused = union(l.claims[log].refused, []packet.Range{{First: number, Last: number}})
				} else {
					s.failed(l, log, s.cfg.Now())
				}
				if p := s.pulls[log]; p != nil && p.link == l.ID {
					p.link = 0
				}
				s.plan(log)
			}
		})
		return nil
	}
	if twin {
		return r.putTwin(l, e, head)
	}
	return r.put(l, e, head)
}

// reached notes that the author of an entry, whose link this is, gave it and that
// it could not be taken now.
func (r *run) reached(l bus.Link, h *packet.Header, head *store.Head, limit uint64) {
	have := head.LogVector
	r.then(func(s *Service) {
		if l := s.links[l.ID]; l != nil {
			s.reached(l, h.Key().Log, h.Number, have, limit)
		}
	})
}

// twin says whether an entry is another than those that are here with its number.
func (r *run) twin(p *packet.Packet) (bool, error) {
	h := &p.Header
	there, err := r.tx.Digests(h.Key().Log, h.Number, h.Number)
	if err != nil || len(there) == 0 || len(there) >= packet.MaxTwins {
		return false, err // none of a chat that was deleted and made again
	}
	is := store.EntryDigest{Number: h.Number, Digest: packet.DigestOf(p.Raw)}
	return !slices.Contains(there, is), nil
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
	change := r.s.kindOf(h.Type, h.Chat) == changes
	if r.s.cfg.Book.Person(h.Author).Blocked && !change { // who is blocked may still change who is a member
		return stub(packet.ReasonBlocked, textBlocked)
	}
	if change && p.CheckContent() != nil {
		// Nobody drops what is said of who is a member. Were it taken without its
		// content, those to whom it is given whole would have members that others never
		// hear of.
		return e, false, nil //nolint:nilerr // that is the answer
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
		if change {
			// All leave it out, and it is passed on: a stub would be a gap for ever to who
			// did not get it from its author.
			e.State = store.EntryHandled
			return e, true, nil
		}
		return stub(packet.ReasonTooLarge, fmt.Sprintf("It has %d bytes; at most %d are taken.", len(p.Content), limit))
	}
	if dropped {
		e.Dropped = true
		return r.judgeBare(l, e, st)
	}
	switch first, err := r.copyOf(h); {
	case err != nil:
		return e, false, err
	case first != nil:
		return r.again(e, first, st)
	}
	first, err := r.tx.EntryByID(h.ID)
	if err != nil && !isNotFound(err) {
		return e, false, err
	}
	if err == nil {
		r.copied(h.Author, first.Packet.Header.Author)
	}
	if st == waiting {
		e.State = store.EntryWaiting
	}
	return e, true, nil
}

// copyOf finds what says the same under the same id in another place: its author
// began a new epoch. Of several it is the one that is to be handled, if there is
// one. nil when there is none.
func (r *run) copyOf(h *packet.Header) (found *store.Entry, err error) {
	known, err := r.tx.EntriesByID(h.ID, store.MaxSameID)
	for i := range known {
		k := &known[i].Packet.Header
		if k.Device != h.Device || k.Chat != h.Chat || k.Type != h.Type || k.ContentHash != h.ContentHash {
			continue
		}
		if found == nil || unhandled(&known[i]) {
			found = &known[i]
		}
	}
	return found, err
}

func unhandled(e *store.Entry) bool {
	return e.State == store.EntryNew || e.State == store.EntryWaiting
}

// judgeBare judges an entry that came without content. It was deleted if who gives
// it could have had the content; else it is good for those to whom it was not
// written, and others must ask somebody else. As long as it is not known to whom it
// was written only its author is believed.
func (r *run) judgeBare(l bus.Link, e store.Entry, st standing) (store.Entry, bool, error) {
	h := &e.Packet.Header
	e.State = store.EntryHandled
	if st == waiting {
		e.State = store.EntryWaiting
	}
	if h.Chat.Kind() == packet.Direct || l.Device == h.Device {
		return e, true, nil
	}
	under, err := r.s.list(r.tx, h.Chat, h.Membership)
	return e, under != nil && !r.missing(under, l.User), err
}

// missing says whether this account may have what was written under a list, and
// giver may not.
func (r *run) missing(under *list, giver packet.UserID) bool {
	return !under.all && under.has(r.s.self) && !under.has(giver)
}

// again judges an entry whose packet is here already in another log: its author
// began a new epoch. Only one of them is to be handled; when the first has not
// been, it is the new one, because the first may stand behind a gap for ever.
func (r *run) again(e store.Entry, first *store.Entry, st standing) (store.Entry, bool, error) {
	switch {
	case st == waiting:
		e.State = store.EntryWaiting
		return e, true, nil
	case first.Dropped || !unhandled(first):
		e.State = store.EntryHandled
		return e, true, nil
	}
	err := r.tx.SetEntryState(first.Packet.Header.Key(), store.EntryHandled, 0, "")
	return e, true, err
}

// What authors are told of their refused entries.
const (
	textForbidden  = "You are not a member of this chat."
	textBlocked    = "This person does not take messages from you."
	textUnreadable = "It came damaged."
)

// put adds an entry and notes what follows from it.
func (r *run) put(l bus.Link, e store.Entry, head *store.Head) error {
	h := &e.Packet.Header
	added, err := r.tx.PutEntry(e)
	if err != nil {
		return fmt.Errorf("put entry %s: %w", h.Key(), err)
	}
	t := r.touch(h.Key().Log, &head.LogVector)
	t.from[l.ID] = struct{}{}
	if !added {
		return nil
	}
	head.LogVector = add(head.LogVector, h.Number)
	if e.State == store.EntryWaiting {
		head.Waiting = union(head.Waiting, []packet.Range{{First: h.Number, Last: h.Number}})
	}
	r.follow(&e)
	return nil
}

// putTwin adds an entry beside another of its author's with its number: all who
// have one come to have both, so that both count alike for all.
func (r *run) putTwin(l bus.Link, e store.Entry, head *store.Head) error {
	key := e.Packet.Header.Key()
	if _, err := r.tx.PutTwin(e); err != nil {
		return fmt.Errorf("put a twin of entry %s: %w", key, err)
	}
	if err := undoDigests(r.tx, key); err != nil {
		return err
	}
	t := r.touch(key.Log, &head.LogVector)
	t.from[l.ID], t.twins = struct{}{}, true
	r.follow(&e)
	if e.State == store.EntryWaiting || !contains(head.Waiting, key.Number) {
		return nil
	}
	// The first with this number that does not wait: what is behind it can be handled,
	// and others can be given the number.
	head.Waiting, t.opened = without(head.Waiting, key.Number), true
	return r.wakeBeyond(key.Log, key.Number+1, min(head.Upto, key.Number+maxWaiting))
}

// follow notes what follows from an entry that was added.
func (r *run) follow(e *store.Entry) {
	h := &e.Packet.Header
	switch e.State {
	case store.EntryNew:
		r.stored(h.Type, h.Chat)
	case store.EntryStub:
		r.refuse(h.Key(), e.Reason, e.Text)
	}
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
				Text: fmt.Sprintf("%s sent two different messages as one, so that some would see one and some the other. Both are kept, and passed on. "+
					"A device that was restored from a backup can do that, and so can one that lies.", author),
				Reason: failure.Because("TWO_MESSAGES", "user", author),
			})
		}
	})
}

// accuse names somebody who does what no honest core does, once.
func (r *run) accuse(user packet.UserID, text string) {
	r.publish(func(s *Service) {
		s.mu.Lock()
		_, known := s.accused[user]
		if !known && len(s.accused) < 1024 {
			s.accused[user] = struct{}{}
		}
		s.mu.Unlock()
		if known {
			return
		}
		s.log.Warn("a peer does what no honest one does", "user", user, "what", text)
		bus.Publish(s.cfg.Bus, bus.Noticed, bus.Notice{Level: "warning", Subject: "contact:" + string(user), Text: text})
	})
}

// copied tells that a message has the id of another, and is shown under one of its own
// (store.MessageID): who of the two authors took it from the other is not to be
// seen from here.
func (r *run) copied(later, earlier packet.UserID) {
	if later == earlier {
		return
	}
	r.accuse(later, fmt.Sprintf("A message of %s has the same id as one of %s, which came first. Both are shown. "+
		"That does not happen by chance: one of them has copied it from the other.", later, earlier))
}

// refuse has the author of a stub told, if there is a link.
func (r *run) refuse(key packet.EntryKey, reason packet.Reason, text string) {
	r.publish(func(s *Service) { s.Refused(key, reason, text) })
}
