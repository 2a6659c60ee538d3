package chatlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of what is kept for one link, whatever its peer sends.
const (
	maxEphemeral      = 64
	maxEphemeralBytes = 1 << 20
	maxRefusals       = 512 // waiting to be sent; the next exchange has the rest
	maxServing        = 256 // logs whose entries the peer wants
	maxStrangeLogs    = 64  // per chat and device: claimed logs of which nothing is here
	maxStrangeDevices = 256 // claimed logs of devices that the book does not know
)

// link is one link and what is to be said on it. All fields but Link and wake
// are guarded by Service.mu. What is to be said is kept as sets of names and not as frames,
// so that it stays small and merges while the peer is slow.
type link struct {
	bus.Link
	wake chan struct{}
	stop context.CancelFunc // ends the pump

	shared       map[packet.ChatID]*shared
	exchange     []packet.ChatID // chats whose vectors are to be told
	extras       []packet.ChatID // chats whose registers and refusals are to be told
	complete     bool            // our first exchange was told
	peerComplete bool            // and the peer's

	ephemeral      []*packet.Packet
	ephemeralBytes int
	tell           map[packet.Log]struct{}       // logs whose vectors are to be told
	wants          map[packet.Log][]packet.Range // to be sent
	refusals       []packet.Refusal
	registers      map[registerKey]packet.Register

	compareAll bool   // all logs are to be compared with the peer's
	compared   uint64 // what grew up to here was
	doubts     map[packet.Log]*doubt
	comparing  []packet.Frame // to be sent

	fresh  map[packet.ChatID]struct{} // chats with new entries of one's own
	push   map[packet.Log]*cursor
	serve  map[packet.Log][]packet.Range // what the peer wants
	tasks  []task                        // logs to send of, in turn
	tasked map[task]struct{}

	claims map[packet.Log]*claim
	audits map[packet.Log]*audit
	asked  map[packet.Log][]packet.Range // what audits were about on this link
}

// shared is a chat that is exchanged on a link.
type shared struct {
	peerIs
	told   bool // our vector of it was told
	served bool // what others wrote that may open it was put up for a peer who does not know it
	met    bool // the peer's vector of it came
	anew   bool // it is shared since the first exchange, which our next vector tells
}

// peerIs is what a peer is in a chat, and if he is leaving what stands for what he may
// still have.
type peerIs struct {
	role     role
	farewell packet.Hash
}

// peerIs gives what user is in a chat.
func (s *Service) peerIs(tx store.ReadTx, c *store.Chat, user packet.UserID) (peerIs, error) {
	is, err := s.role(tx, c, user)
	if err != nil || is != leaving {
		return peerIs{role: is}, err
	}
	b, err := tx.Value(namespace, keyFarewell(c.ID, user))
	return peerIs{leaving, packet.HashOf(b)}, err
}

// cursor is how far a log of one's own was pushed.
type cursor struct {
	next uint64         // the next number to look at
	skip []packet.Range // what the peer has beyond
	sent uint64         // the highest number given to the link
	// report is what the peer last said it has. When entries were given and no
	// more comes back until retry, they are given again: the peer had no room.
	report packet.LogVector
	retry  time.Time
	tries  int
	// opening: the peer does not know the chat, so that only what may open it is
	// for it.
	opening bool
	held    bool // until the audit is over
}

// cursorAt makes a cursor that starts where the peer's vector ends.
func cursorAt(report packet.LogVector) *cursor {
	return &cursor{next: report.Upto + 1, skip: report.Beyond, report: report}
}

// reported moves a cursor by a receipt.
func (c *cursor) reported(report packet.LogVector, now time.Time) {
	if report.Upto < c.report.Upto {
		return
	}
	if report.Upto > c.report.Upto && !c.retry.IsZero() {
		c.tries, c.retry = 0, now.Add(pushAgainAfter)
	}
	c.report = report
	if report.Upto >= c.sent {
		c.retry = time.Time{}
	}
	if report.Upto >= c.next {
		c.next, c.skip = report.Upto+1, report.Beyond
	}
}

// task is one log to send entries of.
type task struct {
	log   packet.Log
	serve bool // of serve, else of push
}

type registerKey struct {
	chat   packet.ChatID
	author packet.UserID
	name   packet.Type
}

func newLink(l bus.Link) *link {
	return &link{
		Link: l, wake: make(chan struct{}, 1), shared: map[packet.ChatID]*shared{},
		tell: map[packet.Log]struct{}{}, wants: map[packet.Log][]packet.Range{}, registers: map[registerKey]packet.Register{},
		fresh: map[packet.ChatID]struct{}{}, push: map[packet.Log]*cursor{}, serve: map[packet.Log][]packet.Range{},
		tasked: map[task]struct{}{}, claims: map[packet.Log]*claim{}, audits: map[packet.Log]*audit{}, asked: map[packet.Log][]packet.Range{},
		compareAll: true, doubts: map[packet.Log]*doubt{},
	}
}

func (l *link) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) queue(t task) {
	if _, ok := l.tasked[t]; !ok {
		l.tasked[t] = struct{}{}
		l.tasks = append(l.tasks, t)
	}
	l.signal()
}

// nextTask takes the first task, nil when there is none.
func (l *link) nextTask() *task {
	if len(l.tasks) == 0 {
		return nil
	}
	next := l.tasks[0]
	l.tasks = l.tasks[1:]
	delete(l.tasked, next)
	return &next
}

// share puts a chat up for exchange.
func (l *link) share(chat packet.ChatID, is peerIs) {
	if l.shared[chat] == nil {
		l.shared[chat] = &shared{peerIs: is, anew: true}
		l.compareAll = true
	}
	l.retell(chat)
}

// retell tells a shared chat (once more).
func (l *link) retell(chat packet.ChatID) {
	if !slices.Contains(l.exchange, chat) {
		l.exchange = append(l.exchange, chat)
	}
	l.signal()
}

// unshare forgets a chat.
func (l *link) unshare(chat packet.ChatID) {
	delete(l.shared, chat)
	delete(l.fresh, chat)
	is := func(id packet.ChatID) bool { return id == chat }
	l.exchange = slices.DeleteFunc(l.exchange, is)
	l.extras = slices.DeleteFunc(l.extras, is)
	dropChat(l.tell, chat)
	dropChat(l.wants, chat)
	dropChat(l.push, chat)
	dropChat(l.serve, chat)
	dropChat(l.claims, chat)
	dropChat(l.audits, chat)
	dropChat(l.asked, chat)
	dropChat(l.doubts, chat)
}

func dropChat[T any](m map[packet.Log]T, chat packet.ChatID) {
	for log := range m {
		if log.Chat == chat {
			delete(m, log)
		}
	}
}

func (s *Service) linkUp(ctx context.Context, up bus.Link) error {
	l := newLink(up)
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		chats, err := tx.Chats()
		if err != nil {
			return err
		}
		for i := range chats {
			is, err := s.peerIs(tx, &chats[i], up.User)
			if err != nil {
				return err
			}
			if is.role != outsider {
				l.exchange = append(l.exchange, chats[i].ID)
				l.shared[chats[i].ID] = &shared{peerIs: is}
			}
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links[up.ID] != nil {
		return err
	}
	s.links[up.ID] = l
	l.signal()
	if s.spawn != nil {
		s.spawn(l)
	}
	return err
}

func (s *Service) linkDown(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.links[id]
	if l == nil {
		return
	}
	if l.stop != nil {
		l.stop()
	}
	delete(s.links, id)
	for _, log := range sortedLogs(l.claims) {
		s.plan(log)
	}
}

// chatChanged takes note of a chat's members.
func (s *Service) chatChanged(ctx context.Context, chat packet.ChatID) error {
	if err := s.memberships(ctx, chat); err != nil {
		return err
	}
	peers, err := s.peers(ctx, chat)
	if errors.Is(err, store.ErrNotFound) {
		s.forget(chat)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at chat %s: %w", chat, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.links {
		is, looked := peers[id]
		sh := l.shared[chat]
		switch {
		case !looked: // linkUp looks
		case is.role == outsider && sh != nil:
			l.unshare(chat)
		case is.role == outsider:
		case sh == nil:
			l.share(chat, is)
			if l.peerComplete {
				s.pushOpening(l, chat)
			}
		case sh.peerIs != is:
			sh.peerIs = is
			l.compareAll = true
			s.compareSoon()
			l.retell(chat)
			s.freshen(l, chat)
		}
	}
	s.planChat(chat)
	return nil
}

// peers gives what the peers of the links are in a chat.
func (s *Service) peers(ctx context.Context, chat packet.ChatID) (map[uint64]peerIs, error) {
	users := map[uint64]packet.UserID{}
	s.mu.Lock()
	for id, l := range s.links {
		users[id] = l.User
	}
	s.mu.Unlock()
	peers := make(map[uint64]peerIs, len(users))
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Chat(chat)
		if err != nil {
			return err
		}
		for id, user := range users {
			if peers[id], err = s.peerIs(tx, &c, user); err != nil {
				return err
			}
		}
		return nil
	})
	return peers, err
}

// forget drops what is in memory of a chat.
func (s *Service) forget(chat packet.ChatID) {
	s.lists.forget(chat)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		l.unshare(chat)
	}
	dropChat(s.pulls, chat)
	s.rumours.forget(chat)
	dropChat(s.named, chat)
	dropChat(s.comparing.grown, chat)
}

// catchUp does what a crash may have left undone.
func (s *Service) catchUp(ctx context.Context) error {
	var chats []store.Chat
	started := s.started
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		all, err := tx.Chats()
		for i := range all {
			now, before, err := judgedBy(tx, all[i].ID)
			if err != nil {
				return err
			}
			if now != before {
				chats = append(chats, all[i])
			}
		}
		if err != nil {
			return err
		}
		// Clocks go back too: no epoch from before may look like a new one.
		last, err := lastEpoch(tx)
		started = max(started, last+1)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at chats: %w", err)
	}
	s.started = started
	for i := range chats {
		if err := s.chatChanged(ctx, chats[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// resync looks at everything anew after events were lost.
func (s *Service) resync(ctx context.Context) {
	s.log.Warn("events were lost: looking at links and chats anew")
	if s.cfg.Links != nil {
		up := map[uint64]bool{}
		for _, l := range s.cfg.Links() {
			up[l.ID] = true
			if err := s.linkUp(ctx, l); err != nil {
				s.log.Error("chat log", "peer", l.User, "error", err)
			}
		}
		s.mu.Lock()
		ids := sortedLinks(s.links)
		s.mu.Unlock()
		for _, id := range ids {
			if !up[id] {
				s.linkDown(id)
			}
		}
	}
	var chats []store.Chat
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		chats, err = tx.Chats()
		return err
	})
	for i := range chats {
		err = errors.Join(err, s.chatChanged(ctx, chats[i].ID))
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("chat log: looking at chats anew", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		for chat := range l.shared {
			l.retell(chat)
		}
	}
}

func sortedLinks[T any](m map[uint64]T) []uint64 {
	ids := make([]uint64, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func sortedLogs[T any](m map[packet.Log]T) []packet.Log {
	logs := make([]packet.Log, 0, len(m))
	for log := range m {
		logs = append(logs, log)
	}
	slices.SortFunc(logs, compareLogs)
	return logs
}
