package chatlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of what a pump takes in one turn.
const (
	turnEntries = 64
	turnBytes   = 256 << 10
	turnWants   = 64
	// pumpsAtOnce is how many pumps read at once. In a large group all have something
	// to say at one moment: to read side by side takes them no less time and, of the
	// store, a connection each, while who waits has more to say in one turn.
	pumpsAtOnce = 2
	// tellSent is how many entries a turn may have for front ends to hear that
	// they were sent; of more at once they hear when they are delivered.
	tellSent = 16
)

// pump says on a link what is to be said, until ctx ends or the link is gone.
func (s *Service) pump(ctx context.Context, l *link) {
	for {
		frames, err := s.next(ctx, l)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("chat log: reading what to send", "peer", l.User, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryAfter):
			}
			s.restart(l)
			continue
		case len(frames) == 0:
			select {
			case <-ctx.Done():
				return
			case <-l.wake:
			}
			continue
		}
		for _, f := range frames {
			if err := s.cfg.Sender.Send(ctx, l.ID, f); err != nil {
				return // LinkDown follows
			}
			s.sent(l, f)
		}
		s.publishSent(frames)
	}
}

// sent notes that a frame was given to the link.
func (s *Service) sent(l *link, f packet.Frame) {
	p, ok := f.(*packet.Packet)
	if !ok || p.Header.Device != s.device || p.Header.Delivery != packet.Reliable {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := l.push[p.Header.Key().Log]; c != nil {
		c.sent = max(c.sent, p.Header.Number)
		if c.retry.IsZero() && !c.opening && p.Header.Number > c.report.Upto {
			c.retry = s.cfg.Now().Add(pushAgainAfter << c.tries)
		}
	}
}

// tickPushes gives again what nothing came back for. The caller holds mu.
func (s *Service) tickPushes(now time.Time) {
	for _, id := range sortedLinks(s.links) {
		l := s.links[id]
		var due []packet.Log
		for log, c := range l.push {
			if !c.retry.IsZero() && !now.Before(c.retry) {
				due = append(due, log)
			}
		}
		slices.SortFunc(due, compareLogs)
		for _, log := range due {
			c := l.push[log]
			c.retry = time.Time{}
			if c.tries++; c.tries <= pushTries {
				c.next, c.skip = c.report.Upto+1, c.report.Beyond
				l.queue(task{log: log})
			}
		}
	}
}

func (s *Service) publishSent(frames []packet.Frame) {
	var refs []bus.MessageRef
	for _, f := range frames {
		if p, ok := f.(*packet.Packet); ok && p.Header.Device == s.device && p.Header.Delivery == packet.Reliable {
			refs = append(refs, bus.MessageRef{Chat: p.Header.Chat, ID: p.Header.ID})
		}
	}
	if len(refs) > tellSent {
		return
	}
	for _, ref := range refs {
		bus.Publish(s.cfg.Bus, bus.MessageChanged, ref)
	}
}

// restart has everything said again after the store could not be read.
func (s *Service) restart(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for chat := range l.shared {
		l.retell(chat)
		l.fresh[chat] = struct{}{}
	}
	for log := range l.push {
		l.queue(task{log: log})
	}
	for log := range l.serve {
		l.queue(task{log: log, serve: true})
	}
	l.signal()
}

// appended wakes the links of a chat in which entries of one's own were
// committed; of all chats when it is empty.
func (s *Service) appended(chat packet.ChatID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		s.freshen(l, chat)
	}
}

func (s *Service) freshen(l *link, chat packet.ChatID) {
	if chat != "" && l.shared[chat] != nil {
		l.fresh[chat] = struct{}{}
		l.signal()
	}
	if chat != "" {
		return
	}
	for id := range l.shared {
		l.fresh[id] = struct{}{}
		l.signal()
	}
}

// next gives the frames of one turn, nothing when there is nothing to say: what
// is small first, then one batch of one log. It is called by one goroutine a
// link.
func (s *Service) next(ctx context.Context, l *link) ([]packet.Frame, error) {
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	turn := s.take(l)
	frames := turn.frames
	if !turn.reads() {
		return frames, nil
	}
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		frames = turn.frames
		more, err := s.read(tx, l, turn)
		frames = append(frames, more...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read for %s: %w", l.User, err)
	}
	return frames, nil
}

// turn is what a pump took to say.
type turn struct {
	frames   []packet.Frame // ready
	tell     []packet.Log
	exchange []packet.ChatID
	extras   []packet.ChatID
	fresh    []packet.ChatID
	task     *task
}

func (t *turn) reads() bool {
	return len(t.tell)+len(t.exchange)+len(t.extras)+len(t.fresh) > 0 || t.task != nil
}

// exchangeChats is how many chats are looked at in one turn.
const exchangeChats = 32

func (s *Service) take(l *link) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &turn{}
	for _, p := range l.ephemeral {
		t.frames = append(t.frames, p)
	}
	l.ephemeral, l.ephemeralBytes = nil, 0
	t.frames = append(t.frames, l.comparing...)
	l.comparing = nil
	for _, log := range sortedLogs(l.wants) {
		if len(t.frames) >= maxEphemeral+turnWants {
			break
		}
		t.frames = append(t.frames, &packet.Want{Log: log, Ranges: l.wants[log]})
		delete(l.wants, log)
	}
	t.frames = append(t.frames, refusalFrames(l.refusals)...)
	l.refusals = nil
	t.frames = append(t.frames, registerFrames(takeRegisters(l))...)
	s.rumoursWith(l)
	for _, log := range sortedLogs(l.tell) {
		// The first vector of a chat must have all its logs.
		if sh := l.shared[log.Chat]; sh != nil && sh.told {
			t.tell = append(t.tell, log)
		}
	}
	clear(l.tell)
	n := min(len(l.exchange), exchangeChats)
	t.exchange, l.exchange = l.exchange[:n:n], l.exchange[n:]
	for _, chat := range t.exchange {
		if sh := l.shared[chat]; sh != nil {
			sh.told = true
		}
	}
	if n == 0 && l.complete {
		n = min(len(l.extras), exchangeChats)
		t.extras, l.extras = l.extras[:n:n], l.extras[n:]
	}
	if len(l.exchange) == 0 && !l.complete {
		t.exchange = append(t.exchange, "") // even when there is no chat at all
		l.complete = true
	}
	for chat := range l.fresh {
		t.fresh = append(t.fresh, chat)
	}
	slices.Sort(t.fresh)
	clear(l.fresh)
	t.task = l.nextTask()
	return t
}

func (s *Service) takeTask(l *link) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.nextTask()
}

func takeRegisters(l *link) []packet.Register {
	var rs []packet.Register
	for _, r := range l.registers {
		rs = append(rs, r)
	}
	clear(l.registers)
	slices.SortFunc(rs, func(a, b packet.Register) int {
		return cmp.Or(cmp.Compare(a.Chat, b.Chat), cmp.Compare(a.Author, b.Author), cmp.Compare(a.Name, b.Name))
	})
	return rs
}

func (s *Service) read(tx store.ReadTx, l *link, t *turn) ([]packet.Frame, error) {
	frames, err := s.tellLogs(tx, l, t.tell)
	if err != nil {
		return nil, err
	}
	more, err := s.tellChats(tx, l, t.exchange)
	if err != nil {
		return nil, err
	}
	frames = append(frames, more...)
	if more, err = s.tellExtras(tx, l, t.extras); err != nil {
		return nil, err
	}
	frames = append(frames, more...)
	for _, chat := range t.fresh {
		if err := s.findFresh(tx, l, chat); err != nil {
			return nil, err
		}
	}
	if t.task == nil {
		t.task = s.takeTask(l) // what was just found
	}
	if t.task == nil {
		s.signalIfMore(l)
		return frames, nil
	}
	if more, err = s.work(tx, l, *t.task); err != nil {
		return nil, err
	}
	s.signalIfMore(l)
	return append(frames, more...), nil
}

// signalIfMore keeps a pump going whose turn gave no frames though there is more
// to look at.
func (s *Service) signalIfMore(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.tasks)+len(l.exchange)+len(l.extras)+len(l.wants) > 0 {
		l.signal()
	}
}

// findFresh puts the log that a chat's own entries now go to up for pushing. When
// that one is new it is all logs, because another may have begun and ended since
// the last look; and for a peer that does not know the chat, because what opens it
// may be in any.
func (s *Service) findFresh(tx store.ReadTx, l *link, chat packet.ChatID) error {
	var epochs []uint64
	for _, k := range []kind{talk, changes} {
		if k == changes && chat.Kind() != packet.Group {
			continue
		}
		epoch, err := presentEpoch(tx, chat, k)
		if err != nil {
			return err
		}
		if epoch != 0 {
			epochs = append(epochs, epoch)
		}
	}
	s.mu.Lock()
	sh := l.shared[chat]
	opening := sh != nil && !sh.met && l.opensTo(chat)
	begun := sh != nil && sh.met && slices.ContainsFunc(epochs, func(epoch uint64) bool {
		return l.push[packet.Log{Chat: chat, Device: s.device, Epoch: epoch}] == nil
	})
	s.mu.Unlock()
	if opening || begun {
		var err error
		if epochs, err = s.ownEpochs(tx, chat); err != nil {
			return err
		}
	}
	if opening {
		var err error
		if epochs, err = s.openings(tx, l, chat); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh = l.shared[chat]; sh == nil || !sh.met && !opening {
		return nil // the peer's vector comes first
	}
	for _, epoch := range epochs {
		log := packet.Log{Chat: chat, Device: s.device, Epoch: epoch}
		if l.push[log] == nil {
			l.push[log] = &cursor{next: 1, opening: !sh.met}
		}
		l.queue(task{log: log})
	}
	return nil
}

// openings gives the epochs of the logs of this device that may open a chat for
// l's peer, and has those of others served.
func (s *Service) openings(tx store.ReadTx, l *link, chat packet.ChatID) ([]uint64, error) {
	heads, err := tx.Heads(chat)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	sh := l.shared[chat]
	served := sh == nil || sh.served
	if sh != nil {
		sh.served = true
	}
	s.mu.Unlock()
	var epochs []uint64
	for _, h := range heads {
		log := packet.Log{Chat: chat, Device: h.Device, Epoch: h.Epoch}
		first, err := tx.Entries(log, 1, noLimit, 1, 1, false)
		switch {
		case err != nil:
			return nil, err
		case len(first) == 0 || s.kindOf(first[0].Packet.Header.Type, chat) != changes:
		case h.Device == s.device:
			epochs = append(epochs, h.Epoch)
		case h.Device != l.Device && !served:
			s.wanted(l.ID, &packet.Want{Log: log, Ranges: []packet.Range{{First: 1, Last: highest(h.LogVector)}}})
		}
	}
	return epochs, nil
}

// pushOpening pushes what may open a chat to a peer that does not know it. The
// caller holds mu.
func (s *Service) pushOpening(l *link, chat packet.ChatID) {
	if l.opensTo(chat) {
		l.fresh[chat] = struct{}{}
		l.signal()
	}
}

// opensTo says whether the peer, if he may be given something of a chat, told that he
// does not know it, and packets may open it for him.
func (l *link) opensTo(chat packet.ChatID) bool {
	sh := l.shared[chat]
	return l.peerComplete && chat.Kind() == packet.Group && sh != nil && sh.role != guest
}

func (s *Service) work(tx store.ReadTx, l *link, t task) ([]packet.Frame, error) {
	a, err := s.access(tx, t.log.Chat, l.User)
	if err != nil {
		return nil, err
	}
	own := t.serve && t.log.Device == l.Device // may be lost there
	if a == nil || a.role == guest && !own {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(l.serve, t.log) // asked for when it was the peer's to have
		return nil, nil
	}
	last := a.last(t.log)
	if own {
		last = noLimit
	}
	if t.log.Device == s.device {
		limit, err := forkLimit(tx, t.log)
		if err != nil {
			return nil, err
		}
		last = min(last, limit)
	}
	if t.serve {
		return s.serveBatch(a, l, t.log, last)
	}
	return s.pushBatch(a, l, t.log, last)
}

// pushBatch gives the next entries of a log of one's own.
func (s *Service) pushBatch(a *access, l *link, log packet.Log, last uint64) ([]packet.Frame, error) {
	s.mu.Lock()
	c := l.push[log]
	if c == nil || c.held {
		s.mu.Unlock()
		return nil, nil
	}
	next, skip, opening := c.next, c.skip, c.opening
	s.mu.Unlock()
	for len(skip) > 0 && next >= skip[0].First {
		next, skip = max(next, skip[0].Last+1), skip[1:]
	}
	entries, err := a.tx.Entries(log, next, last, turnEntries, turnBytes, false)
	if err != nil {
		return nil, err
	}
	var frames []packet.Frame
	more := false
	if n := len(entries); n > 0 {
		after, err := a.tx.Entries(log, entries[n-1].Packet.Header.Number+1, last, 1, 1, false)
		if err != nil {
			return nil, err
		}
		more = len(after) > 0
	}
	for i := range entries {
		h := &entries[i].Packet.Header
		next = h.Number + 1
		if !contains(skip, h.Number) && (!opening || s.kindOf(h.Type, log.Chat) == changes) {
			if frames, err = a.give(frames, &entries[i].Packet); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// The peer's vector may have come meanwhile and have moved the cursor.
	if c = l.push[log]; c == nil || c.held || c.opening != opening {
		return nil, nil
	}
	c.next = max(c.next, next)
	if more {
		l.queue(task{log: log})
	}
	return frames, nil
}
