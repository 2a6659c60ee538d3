package chatlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// vectors takes what a peer says it has.
func (r *run) vectors(l bus.Link, f *packet.Vectors) error {
	for i := range f.Chats {
		if err := r.chatVector(l, &f.Chats[i]); err != nil {
			return err
		}
	}
	if !f.Complete {
		return nil
	}
	r.then(func(s *Service) {
		l := s.links[l.ID]
		if l == nil {
			return
		}
		l.peerComplete = true
		s.compareSoon()
		for chat, sh := range l.shared {
			if !sh.met {
				s.pushOpening(l, chat)
			}
		}
	})
	return nil
}

// chatVector takes a peer's vector of one chat. A chat that is not shared costs a
// look into a map.
func (r *run) chatVector(l bus.Link, v *packet.ChatVector) error {
	first, ok := r.meet(l.ID, v)
	if !ok {
		return nil
	}
	c, err := r.chat(v.Chat)
	if err != nil {
		return err
	}
	is, err := r.role(c, l.User)
	if err != nil || is == outsider {
		return err
	}
	if err := r.loadHeads(c); err != nil {
		return err
	}
	reports := map[packet.Log]packet.LogVector{}
	for _, lv := range v.Logs {
		log := packet.Log{Chat: v.Chat, Device: lv.Device, Epoch: lv.Epoch}
		if lv.Device == r.s.device {
			reports[log] = lv
			continue
		}
		if err := r.claim(l, c, log, lv); err != nil {
			return err
		}
	}
	for _, log := range sortedLogs(c.heads) {
		if log.Device != r.s.device {
			continue
		}
		report, said := reports[log]
		delete(reports, log)
		if !said && !first {
			continue
		}
		report.Device, report.Epoch = log.Device, log.Epoch
		if err := r.report(l, log, c.heads[log].LogVector, report, first); err != nil {
			return err
		}
	}
	for _, log := range sortedLogs(reports) {
		report := reports[log]
		// Of this log of this device nothing is here: it was lost as a whole.
		r.then(func(s *Service) {
			if l := s.links[l.ID]; l != nil && l.shared[log.Chat] != nil {
				s.lost(l, log, packet.LogVector{}, report)
			}
		})
	}
	return nil
}

// meet notes that a vector of a chat came, and tells our own of it once more
// when the peer seems to have learnt of the chat only now. It says whether it is the first one on the link; not ok means that the chat is
// not shared.
func (r *run) meet(id uint64, v *packet.ChatVector) (first, ok bool) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[id]
	if l == nil || l.shared[v.Chat] == nil {
		return false, false
	}
	sh := l.shared[v.Chat]
	m := meeting{id, v.Chat}
	_, met := r.met[m] // in parts, or twice in this batch
	r.met[m] = struct{}{}
	first = !sh.met && !met
	late := v.Anew
	r.then(func(s *Service) {
		l := s.links[id]
		if l == nil || l.shared[v.Chat] == nil {
			return
		}
		l.shared[v.Chat].met = true
		if late {
			l.retell(v.Chat)
		}
		if first {
			// Logs begun since our own vector was read.
			l.fresh[v.Chat] = struct{}{}
			l.signal()
		}
	})
	return first, true
}

// claim takes a peer's vector of another's log.
func (r *run) claim(l bus.Link, c *chatState, log packet.Log, offer packet.LogVector) error {
	have := packet.LogVector{Device: log.Device, Epoch: log.Epoch}
	if head := c.heads[log]; head != nil {
		have = head.LogVector
	}
	limit := r.worth(c, log, &l)
	r.then(func(s *Service) {
		if l := s.links[l.ID]; l != nil && l.shared[log.Chat] != nil {
			s.claimed(l, log, offer, have, limit)
		}
	})
	return nil
}

// worth is the last number of a log that is worth fetching, as far as it is known
// whose it is; l may be a link of its author's, or nil.
func (r *run) worth(c *chatState, log packet.Log, l *bus.Link) uint64 {
	if l != nil && log.Device == l.Device {
		return c.worth(log, l.User)
	}
	if head := c.heads[log]; head != nil {
		return c.worth(log, head.Author)
	}
	if author, _, known := r.s.cfg.Book.Signer(log.Chat, log.Device); known {
		return c.worth(log, author)
	}
	return noLimit
}

// report takes what a peer has of a log of this device: the delivery receipt.
func (r *run) report(l bus.Link, log packet.Log, have, report packet.LogVector, first bool) error {
	known, err := r.peerHead(log, l.Device)
	if err != nil {
		return err
	}
	if first && log.Epoch < r.s.started {
		// Written to before this process began: it may be an old copy.
		if ask := within(all(report), known+1, noLimit); len(ask) > 0 {
			ask = auditOf(ask, highest(have))
			r.audits[auditing{l.ID, log}] = struct{}{}
			r.then(func(s *Service) {
				l := s.links[l.ID]
				if l == nil || l.shared[log.Chat] == nil {
					return
				}
				l.push[log] = cursorAt(report)
				l.push[log].held = true
				s.startAudit(l, log, ask, report)
			})
			return nil
		}
	}
	r.then(func(s *Service) {
		l := s.links[l.ID]
		if l == nil || l.shared[log.Chat] == nil {
			return
		}
		if a := l.audits[log]; a != nil {
			a.report = report
		}
		s.lost(l, log, have, report)
		if c := l.push[log]; c != nil && !c.opening && !first {
			c.reported(report, s.cfg.Now())
			return
		}
		l.push[log] = cursorAt(report)
		l.queue(task{log: log})
	})
	if r.audited(l.ID, log) {
		return nil // known when it is over
	}
	return r.delivered(l, log, min(report.Upto, have.Upto), first)
}

// audited says whether an audit of a log is under way on a link.
func (r *run) audited(id uint64, log packet.Log) bool {
	if _, begins := r.audits[auditing{id, log}]; begins {
		return true
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	l := r.s.links[id]
	return l != nil && l.audits[log] != nil
}

// auditOf leaves the middle of a long audit out, but nothing of what is not
// here.
func auditOf(ask []packet.Range, have uint64) []packet.Range {
	var known uint64
	for _, r := range within(ask, 1, have) {
		known += r.Last - r.First + 1
	}
	if known <= auditWhole {
		return ask
	}
	first, last := ask[0].First, min(ask[len(ask)-1].Last, have)
	return minus(ask, []packet.Range{{First: first + auditWhole/2, Last: last - auditWhole/2}})
}

func (r *run) peerHead(log packet.Log, device packet.DeviceID) (uint64, error) {
	heads, err := r.tx.PeerHeads(log)
	if err != nil {
		return 0, err
	}
	for _, h := range heads {
		if h.Device == device {
			return h.Upto, nil
		}
	}
	return 0, nil
}

// delivered notes how far a peer's device has a log, and tells front ends of the
// messages that moved.
func (r *run) delivered(l bus.Link, log packet.Log, upto uint64, reset bool) error {
	before, changed, err := r.tx.PutPeerHead(log, store.PeerHead{User: l.User, Device: l.Device, Upto: upto}, reset)
	if err != nil || !changed {
		return err
	}
	from, to := min(before, upto), max(before, upto)
	for from < to {
		messages, err := r.tx.OwnMessages(log, from, to, store.MaxPage)
		if err != nil {
			return fmt.Errorf("messages of log %s/%d: %w", log.Chat, log.Epoch, err)
		}
		for i := range messages {
			r.changed(log.Chat, messages[i].ID)
			from = max(from, messages[i].Entry.Number)
		}
		if len(messages) < store.MaxPage {
			break
		}
	}
	return r.copiesDelivered(log, min(before, upto), to)
}

// restored notes again how far peers have a log of this device, now that it is
// here up to where it was lost: a receipt counts no further than that.
func (r *run) restored(log packet.Log, upto uint64) error {
	type receipt struct {
		link   bus.Link
		report packet.LogVector
	}
	var receipts []receipt
	r.s.mu.Lock()
	for _, id := range sortedLinks(r.s.links) {
		l := r.s.links[id]
		if c := l.push[log]; c != nil && !c.opening && l.audits[log] == nil {
			receipts = append(receipts, receipt{l.Link, c.report})
		}
	}
	r.s.mu.Unlock()
	for _, rc := range receipts {
		if err := r.delivered(rc.link, log, min(rc.report.Upto, upto), false); err != nil {
			return err
		}
	}
	return nil
}

// copiesDelivered does the same for messages whose entries were copied to this
// log when an older one was forked.
func (r *run) copiesDelivered(log packet.Log, after, upto uint64) error {
	values, err := r.tx.Values(namespace, prefixArrived(log), 0)
	if err != nil {
		return err
	}
	first, last := keyArrived(packet.EntryKey{Log: log, Number: after}), keyArrived(packet.EntryKey{Log: log, Number: upto})
	for _, v := range values {
		if id, err := packet.PacketIDFromBytes(v.Bytes); err == nil && v.Key > first && v.Key <= last {
			r.changed(log.Chat, id)
		}
	}
	return nil
}

// settle notes the outcome of audits that are over.
func (s *Service) settle(ctx context.Context) {
	s.mu.Lock()
	settled := s.settled
	s.settled = nil
	s.mu.Unlock()
	if len(settled) == 0 {
		return
	}
	var r *run
	err := s.cfg.Store.Update(ctx, store.Lazy, func(tx store.Tx) error {
		r = s.newRun(tx)
		for _, a := range settled {
			s.mu.Lock()
			l := s.links[a.link]
			s.mu.Unlock()
			if l == nil {
				continue
			}
			c, err := r.chat(a.log.Chat)
			if err != nil || !c.known {
				return err
			}
			if err := r.loadHeads(c); err != nil {
				return err
			}
			if head := c.heads[a.log]; head != nil {
				if err := r.unanswered(a, head.LogVector); err != nil {
					return err
				}
				if err := r.delivered(l.Link, a.log, min(a.report.Upto, head.Upto), true); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			s.log.Error("chat log: noting what a peer has", "error", err)
		}
		return // the next link tells it again
	}
	s.conclude(r)
}

// maxDoubt is how many entries are copied because an audit got no answer.
const maxDoubt = 1024

// unanswered takes no risk when a peer does not give back what it says it has: it
// may have deleted it, or have something else under these numbers. What this
// device has there goes into a new epoch.
func (r *run) unanswered(a settling, have packet.LogVector) error {
	doubt := minus(a.doubt, minus(a.doubt, all(have)))
	if len(doubt) == 0 || highest(have)-doubt[0].First >= maxDoubt {
		return nil
	}
	limit, err := forkLimit(r.tx, a.log)
	if err != nil {
		return err
	}
	e, err := r.tx.Entry(packet.EntryKey{Log: a.log, Number: doubt[0].First})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.fork(e.Packet.Header.Key(), e.Packet.Header.Type, limit)
}

// refusals takes a peer's refusals of own entries.
func (r *run) refusals(l bus.Link, f *packet.Refusals) error {
	for _, refusal := range f.Refusals[:min(len(f.Refusals), maxRefusals)] {
		if refusal.Key.Device != r.s.device {
			continue
		}
		c, err := r.chat(refusal.Key.Chat)
		if err != nil {
			return err
		}
		if !c.known || c.Membership == 0 {
			continue
		}
		if err := r.refused(l, c, &refusal); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) refused(l bus.Link, c *chatState, refusal *packet.Refusal) error {
	// One who was removed may still refuse; a stranger may not.
	if !isMember(&c.Chat, l.User) && !isMember(&c.Chat, r.s.self) {
		return nil
	}
	e, err := r.tx.Entry(refusal.Key)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	known, err := r.tx.Refused(refusal.Key)
	if err != nil {
		return err
	}
	now := store.Refused{User: l.User, Reason: refusal.Reason, Text: refusal.Text}
	if slices.Contains(known, now) {
		return nil
	}
	if err := r.tx.PutRefused(refusal.Key, now); err != nil {
		return fmt.Errorf("refusal of %s: %w", refusal.Key, err)
	}
	r.changed(refusal.Key.Chat, e.Packet.Header.ID)
	return nil
}

// Refused has the author of an entry that became a stub told why, if there is a
// link; if not, the next exchange does. For those who make stubs elsewhere.
func (s *Service) Refused(key packet.EntryKey, reason packet.Reason, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.Device == key.Device && len(l.refusals) < maxRefusals {
			l.refusals = append(l.refusals, packet.Refusal{Key: key, Reason: reason, Text: text})
			l.signal()
		}
	}
}
