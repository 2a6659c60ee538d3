package net2019

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// keyGroup is the prefix of values that say which groups this account is in, each
// followed by a chat id; JSON of a storedGroup.
const keyGroup = "group/"

// group is one that this account is in.
type group struct {
	chat    wire.Chat
	starter wire.ID
	gone    map[wire.ID]bool // who has left
}

type storedGroup struct {
	Starter wire.ID   `json:"starter"`
	Gone    []wire.ID `json:"gone,omitempty"`
}

// readGroups fills the memory from the store. Before Serve only.
func (s *Service) readGroups(tx store.ReadTx) error {
	values, err := tx.Values(namespace, keyGroup, 0)
	if err != nil {
		return err
	}
	for _, v := range values {
		chat, err := wire.ParseChatID(packet.ChatID(strings.TrimPrefix(v.Key, keyGroup)))
		var stored storedGroup
		if err == nil {
			err = json.Unmarshal(v.Bytes, &stored)
		}
		if err != nil {
			return fmt.Errorf("read group %s: %w", v.Key, err)
		}
		g := &group{chat: chat, starter: stored.Starter, gone: map[wire.ID]bool{}}
		for _, id := range stored.Gone {
			g.gone[id] = true
		}
		s.groups[chat.ID()] = g
	}
	return nil
}

func (g *group) put(tx store.Tx) error {
	stored := storedGroup{Starter: g.starter}
	for _, id := range g.chat {
		if g.gone[id] {
			stored.Gone = append(stored.Gone, id)
		}
	}
	b, err := json.Marshal(stored)
	if err == nil {
		err = tx.PutValue(namespace, keyGroup+string(g.chat.ID()), b)
	}
	return err
}

// gone gives who has left a chat.
func (s *Service) gone(chat wire.Chat) map[packet.UserID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := map[packet.UserID]bool{}
	if g := s.groups[chat.ID()]; g != nil {
		for id := range g.gone {
			gone[packet.UserID(id.Name())] = true
		}
	}
	return gone
}

// CreateGroup opens a group with people of 2019.
func (s *Service) CreateGroup(ctx context.Context, users []packet.UserID) (packet.ChatID, error) {
	s.mu.Lock()
	on, own := s.setting.On, s.setting.ID
	s.mu.Unlock()
	if !on {
		return "", errOff
	}
	ids := []wire.ID{own}
	for _, user := range users {
		id, err := of(user)
		if err != nil {
			return "", err
		}
		ids = append(ids, id)
	}
	chat, err := wire.NewChat(ids...)
	if err != nil || !chat.Group() {
		return "", failure.New(ErrInvalid, "a group of 2019 has 3 to %d people, you among them; this would have %d", wire.MaxMembers, len(slices.Compact(slices.Sorted(slices.Values(ids))))).Because("NET2019_GROUP_SIZE", "limit", wire.MaxMembers)
	}
	for _, id := range chat {
		s.mu.Lock()
		state := s.people[id].state
		s.mu.Unlock()
		if state == store.ContactBlocked {
			return "", failure.New(ErrBlocked, "%s is blocked: unblock first", s.Name(packet.UserID(id.Name()))).Because("BLOCKED", "user", id.Name())
		}
	}
	return chat.ID(), s.openGroup(ctx, chat, own)
}

// openGroup makes a group that this account is in, or has it begin anew: nobody is
// gone any more.
func (s *Service) openGroup(ctx context.Context, chat wire.Chat, starter wire.ID) error {
	id := chat.ID()
	s.mu.Lock()
	old, n := s.groups[id], len(s.groups)
	s.mu.Unlock()
	if old == nil && n >= maxGroups {
		return failure.New(ErrFull, "there are %d groups of 2019 already, which is the most there can be: leave some first", maxGroups).Because("NET2019_GROUPS_FULL", "limit", maxGroups)
	}
	g := &group{chat: chat, starter: starter, gone: map[wire.ID]bool{}}
	s.mu.Lock()
	own := s.setting.ID
	anew := old != nil && len(old.gone) > 0
	s.mu.Unlock()
	p := packet.Packet{}
	made := false
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) (err error) {
		if made, err = s.makeChat(tx, chat, s.title(chat)); err != nil {
			return err
		}
		if old == nil {
			if p, err = s.opening(tx, chat, starter, own); err != nil {
				return err
			}
		}
		return g.put(tx)
	})
	if err != nil {
		return fmt.Errorf("open group %s: %w", id, err)
	}
	s.mu.Lock()
	s.groups[id] = g
	r := s.run
	s.mu.Unlock()
	if made || old == nil {
		bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: id})
	}
	if old == nil {
		bus.Publish(s.cfg.Bus, bus.PacketStored(p.Header.Type), bus.Stored{Chat: id})
	}
	r.opened(chat, anew && starter == own)
	r.review()
	wake(r.asks)
	wake(r.steer)
	return nil
}

// opened has everybody of a group dialed who is to be. Those who are linked are told
// when it begins anew: whoever left is to be dialed by them, too. Clients of the
// original are not among them, for whom it had ended.
func (r *run) opened(chat wire.Chat, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.invited, chat.ID())
	for key, p := range r.pairs {
		if key.chat != chat.ID() {
			continue
		}
		p.farewell, p.retry, p.dialAt = false, backoff{}, time.Time{}
		for _, l := range p.links {
			if tell {
				r.group.Go(l.reopen)
			}
		}
	}
}

// reopen says on a link that its group begins anew.
func (l *link) reopen() {
	if l.take(l.run.ctx) != nil {
		return
	}
	defer l.give()
	_ = l.write(l.run.ctx, l.frame(wire.GroupRequest, "")) // a link that is lost is dialed anew, with the same frame
}

// opening is the entry that says who opened a group, for the plugin of groups.
func (s *Service) opening(tx store.Tx, chat wire.Chat, starter, own wire.ID) (packet.Packet, error) {
	h := packet.Header{ID: packet.NewPacketID(), Chat: chat.ID(), Type: wire.GroupRequest.Type()}
	if starter == own {
		h.Author = s.self
		return s.put(tx, h, s.ownLog(chat.ID()), nil, store.EntryNew)
	}
	h.Author = packet.UserID(starter.Name())
	return s.put(tx, h, logOf(chat.ID(), starter), nil, store.EntryNew)
}

// LeaveGroup tells the others that this account has left. Idempotent.
func (s *Service) LeaveGroup(ctx context.Context, id packet.ChatID, eraseHistory bool) error {
	chat, err := wire.ParseChatID(id)
	if err != nil || !chat.Group() {
		return failure.New(ErrInvalid, "%.140q is no group of 2019", string(id))
	}
	removed := false
	err = s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error {
		if err := tx.PutValue(namespace, keyGroup+string(id), nil); err != nil || !eraseHistory {
			return err
		}
		_, err := tx.Chat(id)
		if notFound(err) {
			return nil
		}
		removed = true
		if err == nil {
			err = tx.DeleteChat(id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("leave group %s: %w", id, err)
	}
	s.mu.Lock()
	delete(s.groups, id)
	r := s.run
	s.mu.Unlock()
	bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: id, Removed: removed})
	r.review()
	wake(r.asks)
	return nil
}

// left notes that somebody has left a group.
func (s *Service) left(chat wire.Chat, id wire.ID) {
	s.mu.Lock()
	g := s.groups[chat.ID()]
	if g == nil || g.gone[id] {
		s.mu.Unlock()
		return
	}
	g.gone[id] = true
	s.mu.Unlock()
	err := s.cfg.Store.Update(context.Background(), store.Synced, func(tx store.Tx) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.groups[chat.ID()] != g {
			return nil // left, or opened anew
		}
		return g.put(tx)
	})
	if err != nil {
		s.cfg.Log.Error("that somebody has left a group of 2019 cannot be stored", "chat", chat.ID(), "peer", id.Name(), "error", err)
	}
	bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: chat.ID(), Content: true})
	bus.Publish(s.cfg.Bus, bus.Noticed, bus.Notice{
		Level: "info", Subject: "contact:" + id.Name(), Text: fmt.Sprintf("%s has left the group %s.", s.Name(packet.UserID(id.Name())), s.title(chat)),
		Reason: failure.Because("NET2019_LEFT", "user", id.Name(), "group", s.title(chat)),
	})
}

// returned notes that somebody is in a group again.
func (s *Service) returned(ctx context.Context, g *group, id wire.ID) error {
	s.mu.Lock()
	delete(g.gone, id)
	s.mu.Unlock()
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.groups[g.chat.ID()] != g {
			return nil // left, or opened anew
		}
		return g.put(tx)
	})
	if err != nil {
		return fmt.Errorf("note that %s is in group %s again: %w", id.Name(), g.chat.ID(), err)
	}
	bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: g.chat.ID(), Content: true})
	return nil
}

// admitGroup says whether somebody may open a group: a contact may; for others it
// is opened when they were made one.
func (r *run) admitGroup(f wire.Frame) error {
	s := r.s
	s.mu.Lock()
	state := s.people[f.Sender].state
	g := s.groups[f.Chat.ID()]
	known := g != nil && (g.starter == f.Sender || !g.gone[f.Sender])
	s.mu.Unlock()
	if state == store.ContactBlocked {
		return fmt.Errorf("%s is blocked: %w", f.Sender, errRefused)
	}
	if state == store.ContactAccepted || known {
		return s.openGroup(r.ctx, f.Chat, f.Sender)
	}
	r.mu.Lock()
	full := len(r.invited) >= maxGroups
	if !full {
		r.invited[f.Chat.ID()] = f.Sender
	}
	r.mu.Unlock()
	if full {
		return fmt.Errorf("%d groups wait for an answer: %w", maxGroups, errRefused)
	}
	var others []string
	for _, id := range f.Chat {
		if id != f.Sender && id != r.set.ID {
			others = append(others, id.Name())
		}
	}
	return r.admit(f, "Opens a group with you and "+strings.Join(others, ", "))
}

// answerInvited opens the groups that somebody opened who is a contact now, and
// forgets those of who is none.
func (s *Service) answerInvited(ctx context.Context, id wire.ID) {
	r := s.present()
	s.mu.Lock()
	state := s.people[id].state
	s.mu.Unlock()
	var chats []packet.ChatID
	r.mu.Lock()
	for chat, starter := range r.invited {
		if starter == id && state != store.ContactIncoming {
			chats = append(chats, chat)
			delete(r.invited, chat)
		}
	}
	r.mu.Unlock()
	for _, chatID := range chats {
		chat, err := wire.ParseChatID(chatID)
		if err == nil && state == store.ContactAccepted {
			err = s.openGroup(ctx, chat, id)
		}
		if err != nil {
			s.cfg.Log.Warn("group of 2019 cannot be opened", "chat", chatID, "error", err)
		}
	}
}

// orphanWait is how long a member's connection waits for the group's starter.
const orphanWait = 30 * time.Second

// admitMember takes the connection of a member of a group. It may come before the
// starter's.
func (r *run) admitMember(f wire.Frame) error {
	s := r.s
	id := f.Chat.ID()
	changes := bus.Subscribe(s.cfg.Bus, bus.ChatChanged, 64)
	defer changes.Close()
	ctx, cancel := context.WithTimeout(r.ctx, orphanWait)
	defer cancel()
	for {
		s.mu.Lock()
		g, state := s.groups[id], s.people[f.Sender].state
		gone := g != nil && g.gone[f.Sender]
		s.mu.Unlock()
		r.mu.Lock()
		invited := r.invited[id] != ""
		r.mu.Unlock()
		switch {
		case state == store.ContactBlocked:
			return fmt.Errorf("%s is blocked: %w", f.Sender, errRefused)
		case gone:
			return s.returned(r.ctx, g, f.Sender)
		case g != nil || invited:
			return nil
		}
		if _, err := changes.Next(ctx); err != nil && ctx.Err() != nil {
			return fmt.Errorf("%s is in no group %s: %w", f.Sender, f.Chat, errNotAsked)
		}
	}
}
