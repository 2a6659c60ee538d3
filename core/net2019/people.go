package net2019

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// Limits. A directory watches a thousand for a session.
const (
	maxPeople   = 800 // contacts and blocked people
	maxIncoming = 100 // who ask and were not answered
	maxGroups   = 100
	maxNickname = 64 // characters
)

// person is what is kept in memory of a contact.
type person struct {
	state    store.ContactState
	nickname string
}

func (p person) name(id wire.ID) string {
	if p.nickname != "" {
		return p.nickname
	}
	return id.Name()
}

// of gives the id of a name.
func of(user packet.UserID) (wire.ID, error) {
	id, err := wire.ParseName(string(user))
	if err != nil {
		return "", failure.New(ErrInvalid, "%.70q is no name of 2019: \"net2019:\" and ten digits, such as net2019:2017000001", string(user)).Because("NET2019_INVALID_NAME", "name", user)
	}
	return id, nil
}

// readPeople fills the memory from the store. Before Serve only.
func (s *Service) readPeople(tx store.ReadTx) error {
	contacts, err := tx.Contacts()
	if err != nil {
		return err
	}
	for _, c := range contacts {
		if id, err := wire.ParseName(string(c.User)); err == nil {
			s.people[id] = person{c.State, c.Nickname}
		}
	}
	return nil
}

// Name is what a person of 2019 is called here.
func (s *Service) Name(user packet.UserID) string {
	id, err := wire.ParseName(string(user))
	if err != nil {
		return string(user)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.people[id].name(id)
}

// Contacts gives all contacts, requests and blocked people of 2019, in the order
// of their names.
func (s *Service) Contacts(ctx context.Context) ([]*controlpb.Contact, error) {
	var list []*controlpb.Contact
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		contacts, err := tx.Contacts()
		if err != nil {
			return err
		}
		for i := range contacts {
			id, err := wire.ParseName(string(contacts[i].User))
			if err != nil {
				continue
			}
			v, err := s.view(tx, id, &contacts[i])
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list contacts of 2019: %w", err)
	}
	return list, nil
}

// Contact gives one person; store.ErrNotFound when there is none of that name.
func (s *Service) Contact(ctx context.Context, user packet.UserID) (*controlpb.Contact, error) {
	id, err := of(user)
	if err != nil {
		return nil, err
	}
	var v *controlpb.Contact
	err = s.cfg.Store.View(ctx, func(tx store.ReadTx) error {
		c, err := tx.Contact(user)
		if err == nil {
			v, err = s.view(tx, id, &c)
		}
		return err
	})
	if notFound(err) {
		return nil, failure.New(store.ErrNotFound, "%s is not among your contacts", user).Because("NO_CONTACT", "user", user)
	}
	return v, err
}

var contactStates = map[store.ContactState]controlpb.ContactState{
	store.ContactIncoming: controlpb.ContactState_CONTACT_STATE_INCOMING,
	store.ContactAccepted: controlpb.ContactState_CONTACT_STATE_CONTACT,
	store.ContactBlocked:  controlpb.ContactState_CONTACT_STATE_BLOCKED,
}

func (s *Service) view(tx store.ReadTx, id wire.ID, c *store.Contact) (*controlpb.Contact, error) {
	v := &controlpb.Contact{
		User: string(c.User), State: contactStates[c.State], Name: person{nickname: c.Nickname}.name(id), Nickname: c.Nickname, Greeting: c.Greeting,
	}
	s.mu.Lock()
	own, r := s.setting.ID, s.run
	s.mu.Unlock()
	if chat, err := wire.NewChat(own, id); err == nil {
		_, err := tx.Chat(chat.ID())
		switch {
		case err == nil:
			v.Chat = string(chat.ID())
		case !notFound(err):
			return nil, err
		}
		if c.State != store.ContactBlocked {
			var trouble error
			if v.Online, v.Linked, trouble = r.presence(chat, id); trouble != nil {
				v.Trouble, v.TroubleReason = trouble.Error(), controlpb.ReasonOf(failure.Reason(trouble))
			}
			if v.Linked {
				v.Path = "net2019"
			}
		}
	}
	return v, nil
}

// step is one change of one person in one transaction.
type step struct {
	s   *Service
	tx  store.Tx
	id  wire.ID
	own wire.ID
	// c is the contact, nil when there is none.
	c       *store.Contact
	before  *store.Contact
	chats   []bus.ChatChange
	wakes   []bus.Stored // with types beside
	types   []packet.Type
	version uint64
}

// update makes a change of one person and shows it.
func (s *Service) update(ctx context.Context, id wire.ID, fn func(*step) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	own := s.setting.ID
	s.mu.Unlock()
	var done *step
	err := s.cfg.Store.Update(context.WithoutCancel(ctx), store.Synced, func(tx store.Tx) error {
		st := &step{s: s, tx: tx, id: id, own: own}
		c, err := tx.Contact(packet.UserID(id.Name()))
		switch {
		case err == nil:
			before := c
			st.c, st.before = &c, &before
		case !notFound(err):
			return fmt.Errorf("read contact %s: %w", id.Name(), err)
		}
		if err := fn(st); err != nil {
			return err
		}
		if err := st.save(); err != nil {
			return err
		}
		st.version = s.seq.Add(1)
		done = st
		return nil
	})
	if err != nil {
		return err
	}
	done.show()
	return nil
}

func (st *step) save() error {
	switch {
	case reflect.DeepEqual(st.c, st.before):
		return nil
	case st.c == nil:
		if err := st.tx.PutValue(namespace, keyLinked+string(st.id), nil); err != nil {
			return err
		}
		return st.tx.DeleteContact(packet.UserID(st.id.Name()))
	}
	if err := st.tx.PutContact(*st.c); err != nil {
		return fmt.Errorf("store contact %s: %w", st.id.Name(), err)
	}
	return st.retitle()
}

// retitle keeps the private chat's title the name of the person.
func (st *step) retitle() error {
	chat, err := wire.NewChat(st.own, st.id)
	if err != nil {
		return nil //nolint:nilerr // no id of one's own yet, no chat
	}
	c, err := st.tx.Chat(chat.ID())
	if notFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if name := (person{nickname: st.c.Nickname}).name(st.id); c.Title != name {
		c.Title = name
		st.chats = append(st.chats, bus.ChatChange{Chat: c.ID})
		return st.tx.PutChat(c)
	}
	return nil
}

// show brings memory up to date with a committed step, and tells of it.
func (st *step) show() {
	s := st.s
	changed := !reflect.DeepEqual(st.c, st.before)
	s.mu.Lock()
	if st.version > s.applied[st.id] {
		s.applied[st.id] = st.version
		if st.c == nil {
			delete(s.people, st.id)
			delete(s.linked, st.id)
		} else {
			s.people[st.id] = person{st.c.State, st.c.Nickname}
		}
	}
	r := s.run
	s.mu.Unlock()
	if changed {
		bus.Publish(s.cfg.Bus, bus.ContactChanged, bus.ContactChange{User: packet.UserID(st.id.Name()), Removed: st.c == nil})
	}
	for _, c := range st.chats {
		bus.Publish(s.cfg.Bus, bus.ChatChanged, c)
	}
	for i, stored := range st.wakes {
		bus.Publish(s.cfg.Bus, bus.PacketStored(st.types[i]), stored)
	}
	if changed {
		r.review()
		wake(r.asks)
		wake(r.steer)
	}
}

func (st *step) state() store.ContactState {
	if st.c == nil {
		return 0
	}
	return st.c.State
}

// count says how many are in one of some states.
func (s *Service) count(states ...store.ContactState) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.people {
		if slices.Contains(states, p.state) {
			n++
		}
	}
	return n
}

// accept makes the person a contact, with a chat.
func (st *step) accept() error {
	if st.state() != store.ContactAccepted && st.s.count(store.ContactAccepted, store.ContactBlocked) >= maxPeople {
		return failure.New(ErrFull, "there are %d contacts of 2019 already, which is the most there can be: remove some first", maxPeople).Because("CONTACTS_FULL", "limit", maxPeople)
	}
	if st.c == nil {
		st.c = &store.Contact{User: packet.UserID(st.id.Name()), CreatedAt: st.s.now()}
	}
	st.c.State, st.c.Greeting = store.ContactAccepted, ""
	return st.openChat()
}

func (st *step) openChat() error {
	chat, err := wire.NewChat(st.own, st.id)
	if err != nil {
		return failure.New(ErrInvalid, "%s is yourself: give the id of somebody else", st.id.Name()).Because("YOURSELF", "user", st.id.Name())
	}
	made, err := st.s.makeChat(st.tx, chat, person{nickname: st.c.Nickname}.name(st.id))
	if made {
		st.chats = append(st.chats, bus.ChatChange{Chat: chat.ID()})
	}
	return err
}

// Request makes a person of 2019 a contact. Nobody is asked: the other side
// knows no answer but to connect.
func (s *Service) Request(ctx context.Context, user packet.UserID, greeting string) error {
	id, err := of(user)
	if err != nil {
		return err
	}
	s.mu.Lock()
	on, own := s.setting.On, s.setting.ID
	s.mu.Unlock()
	switch {
	case !on:
		return errOff
	case id == own:
		return failure.New(ErrInvalid, "%s is yourself: give the id of somebody else", user).Because("YOURSELF", "user", user)
	case greeting != "":
		return failure.New(ErrCannot, "The protocol of 2019 has no greetings: add %s without one, and write to them.", user).Because("NET2019_NO_GREETINGS")
	}
	err = s.update(ctx, id, func(st *step) error {
		switch st.state() {
		case store.ContactAccepted:
			return failure.New(ErrContact, "%s is a contact already", s.Name(user)).Because("IS_CONTACT", "user", user)
		case store.ContactBlocked:
			return failure.New(ErrBlocked, "%s is blocked: unblock first, then add", s.Name(user)).Because("BLOCKED", "user", user)
		case store.ContactIncoming:
			return st.take()
		}
		return st.accept()
	})
	if err == nil {
		s.answerInvited(ctx, id)
	}
	return err
}

// take accepts a request, with what came with it.
func (st *step) take() error {
	if err := st.accept(); err != nil {
		return err
	}
	return st.release()
}

// Answer accepts or declines a request; who is declined is hung up on.
func (s *Service) Answer(ctx context.Context, user packet.UserID, accept bool) error {
	id, err := of(user)
	if err != nil {
		return err
	}
	err = s.update(ctx, id, func(st *step) error {
		switch {
		case accept && st.state() == store.ContactAccepted:
			return nil // asked twice
		case st.state() != store.ContactIncoming:
			return failure.New(store.ErrNotFound, "there is no request of %s to answer", s.Name(user)).Because("NO_REQUEST", "user", user)
		case accept:
			return st.take()
		}
		st.c = nil
		return st.dropHeld()
	})
	if err == nil {
		s.answerInvited(ctx, id)
	}
	return err
}

// Remove ends a contact, with or without the history. Idempotent.
func (s *Service) Remove(ctx context.Context, user packet.UserID, eraseHistory bool) error {
	id, err := of(user)
	if err != nil {
		return err
	}
	err = s.update(ctx, id, func(st *step) error {
		if eraseHistory {
			if err := st.eraseChat(); err != nil {
				return err
			}
		}
		if st.state() == store.ContactBlocked {
			st.c.Before = 0
			return nil
		}
		st.c = nil
		return st.dropHeld()
	})
	if err == nil {
		s.answerInvited(ctx, id)
	}
	return err
}

func (st *step) eraseChat() error {
	chat, err := wire.NewChat(st.own, st.id)
	if err != nil {
		return nil //nolint:nilerr // no id of one's own, no chat
	}
	_, err = st.tx.Chat(chat.ID())
	if notFound(err) {
		return nil
	}
	if err == nil {
		err = st.tx.DeleteChat(chat.ID())
	}
	if err != nil {
		return fmt.Errorf("erase chat %s: %w", chat.ID(), err)
	}
	st.chats = append(st.chats, bus.ChatChange{Chat: chat.ID(), Removed: true})
	return nil
}

// Block blocks a person, contact or not: no connection of theirs is taken.
// Idempotent.
func (s *Service) Block(ctx context.Context, user packet.UserID, block bool) error {
	id, err := of(user)
	if err != nil {
		return err
	}
	err = s.update(ctx, id, func(st *step) error {
		switch {
		case block == (st.state() == store.ContactBlocked):
			return nil
		case block && st.c == nil:
			if s.count(store.ContactAccepted, store.ContactBlocked) >= maxPeople {
				return failure.New(ErrFull, "there are %d contacts and blocked people of 2019 already, which is the most there can be", maxPeople).Because("CONTACTS_FULL", "limit", maxPeople)
			}
			st.c = &store.Contact{User: user, State: store.ContactBlocked, CreatedAt: s.now()}
			return nil
		case block:
			st.c.Before, st.c.State = st.c.State, store.ContactBlocked
			return st.dropHeld()
		case st.c.Before == store.ContactAccepted:
			st.c.State, st.c.Before = st.c.Before, 0
			return nil
		}
		st.c = nil
		return nil
	})
	if err == nil {
		s.answerInvited(ctx, id)
	}
	return err
}

// Rename sets the nickname that is shown here only; empty removes it.
func (s *Service) Rename(ctx context.Context, user packet.UserID, nickname string) error {
	id, err := of(user)
	if err != nil {
		return err
	}
	if !utf8.ValidString(nickname) || utf8.RuneCountInString(nickname) > maxNickname || strings.ContainsAny(nickname, "\n\r\x00") {
		return failure.New(ErrInvalid, "a nickname is one line of at most %d characters", maxNickname).Because("NICKNAME", "limit", maxNickname)
	}
	return s.update(ctx, id, func(st *step) error {
		if st.c == nil {
			return failure.New(store.ErrNotFound, "%s is not among your contacts", user).Because("NO_CONTACT", "user", user)
		}
		st.c.Nickname = nickname
		return nil
	})
}

func (s *Service) now() int64 { return max(s.cfg.Clock().UnixMicro(), 0) }

// watched gives everybody of whom it matters where they are.
func (s *Service) watched() []wire.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []wire.ID
	for id, p := range s.people {
		if p.state == store.ContactAccepted {
			ids = append(ids, id)
		}
	}
	for _, g := range s.groups {
		for _, id := range g.chat {
			if id != s.setting.ID && s.people[id].state != store.ContactBlocked {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// located takes what is said of where somebody is.
func (r *run) located(id wire.ID, where netip.AddrPort, online bool) {
	r.mu.Lock()
	p := r.placeLocked(id)
	changed := p.online != online || online && p.where != where
	if changed {
		for key, pair := range r.pairs {
			if key.peer == id {
				pair.farewell, pair.retry, pair.dialAt = false, backoff{}, time.Time{}
			}
		}
	}
	p.online, p.where = online, where
	r.mu.Unlock()
	if changed {
		r.shown(id)
		wake(r.steer)
	}
}

func (r *run) placeLocked(id wire.ID) *place {
	p := r.places[id]
	if p == nil {
		p = &place{}
		r.places[id] = p
	}
	return p
}

// noneOnline: who says where people are is not there any more.
func (r *run) noneOnline() {
	r.mu.Lock()
	var gone []wire.ID
	for id, p := range r.places {
		if p.online {
			gone = append(gone, id)
		}
		p.online, p.asked = false, time.Time{}
	}
	r.mu.Unlock()
	for _, id := range gone {
		r.shown(id)
	}
}

// shown tells that what is shown of a person changed.
func (r *run) shown(id wire.ID) {
	bus.Publish(r.s.cfg.Bus, bus.ContactChanged, bus.ContactChange{User: packet.UserID(id.Name())})
}
