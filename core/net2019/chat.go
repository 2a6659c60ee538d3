package net2019

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/internal/failure"
	"github.com/parley-chat/parley/protocol/controlpb"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// epoch of all logs of 2019: nobody else has them, so none is ever begun anew.
const epoch = 1

// logOf is the log kept here for a person in a chat.
func logOf(chat packet.ChatID, id wire.ID) packet.Log {
	return packet.Log{Chat: chat, Device: deviceOf(id), Epoch: epoch}
}

// deviceOf is the device id in place of one that a person of 2019 has not.
func deviceOf(id wire.ID) packet.DeviceID {
	return packet.DeviceIDOf(ed25519.PublicKey(id.Name()))
}

// ownLog is this account's log of a chat.
func (s *Service) ownLog(chat packet.ChatID) packet.Log {
	return packet.Log{Chat: chat, Device: s.cfg.Identity.Device(), Epoch: epoch}
}

// makeChat makes a chat if it is not there; the account is one of its people.
func (s *Service) makeChat(tx store.Tx, chat wire.Chat, title string) (made bool, err error) {
	id := chat.ID()
	_, err = tx.Chat(id)
	if err == nil || !notFound(err) {
		return false, err
	}
	s.mu.Lock()
	own := s.setting.ID
	s.mu.Unlock()
	members := []packet.UserID{s.self}
	for _, member := range chat {
		if member != own {
			members = append(members, packet.UserID(member.Name()))
		}
	}
	if err := tx.PutChat(store.Chat{ID: id, Title: title, CreatedAt: s.now()}); err != nil {
		return false, fmt.Errorf("make chat %s: %w", id, err)
	}
	if err := tx.PutMembership(id, store.Membership{Version: 1, Members: members}); err != nil {
		return false, fmt.Errorf("make member list of chat %s: %w", id, err)
	}
	return true, nil
}

// Draft is a packet to be sent.
type Draft struct {
	ID      packet.PacketID
	Chat    packet.ChatID
	Type    packet.Type
	Content []byte
}

// Append appends d to the account's log of a chat of 2019 inside tx, and changes
// nothing outside of it. After the commit the caller publishes
// bus.EntryAppended. A packet id that is there already gives the first packet.
// Errors: ErrCannot, ErrOff, and the store's.
func (s *Service) Append(tx store.Tx, d Draft) (packet.Packet, error) {
	first, err := tx.EntryByID(d.ID)
	switch {
	case err == nil && first.Packet.Header.Chat == d.Chat && first.Packet.Header.Author == s.self:
		return first.Packet, nil
	case err == nil:
		return packet.Packet{}, fmt.Errorf("packet %s is there already: %w", d.ID, store.ErrExists)
	case !notFound(err):
		return packet.Packet{}, err
	}
	if err := s.mayWrite(d.Chat); err != nil {
		return packet.Packet{}, err
	}
	h := packet.Header{ID: d.ID, Chat: d.Chat, Type: d.Type, Author: s.self}
	p, err := s.put(tx, h, s.ownLog(d.Chat), d.Content, store.EntryHandled)
	if err != nil {
		return packet.Packet{}, fmt.Errorf("append to chat %s: %w", d.Chat, err)
	}
	if kind, _ := wire.KindOf(d.Type); kind.HasBytes() {
		if _, _, err := wire.ParseFile(d.Content); err != nil {
			return packet.Packet{}, failure.New(ErrCannot, "The protocol of 2019 cannot name this file: %v", err).Because("NET2019_FILE_NAME")
		}
	}
	return p, nil
}

// mayWrite says why nothing can be written into a chat of 2019.
func (s *Service) mayWrite(id packet.ChatID) error {
	chat, err := wire.ParseChatID(id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.setting.ID
	switch {
	case !chat.Has(own):
		return failure.New(ErrCannot, "This chat is with an id that you had in 2019 before, not with %s: log in with that one again, or write in another chat.", own).Because("NET2019_OTHER_ID", "id", own)
	case chat.Group() && s.groups[id] == nil:
		return failure.New(ErrCannot, "You have left this group of 2019: make it again to write to its people.").Because("NET2019_LEFT_GROUP")
	case chat.Group():
		return nil
	}
	if peer := other(chat, own); s.people[peer].state != store.ContactAccepted {
		return failure.New(ErrCannot, "%s is no contact any more: add them again (parley contacts add %s) to write.", s.people[peer].name(peer), peer.Name()).Because("NET2019_NO_CONTACT", "user", peer.Name())
	}
	return nil
}

// other is the second person of a private chat.
func other(chat wire.Chat, own wire.ID) wire.ID {
	if chat[0] == own {
		return chat[1]
	}
	return chat[0]
}

// put adds an entry to a log, at its end and below all that is in the chat.
func (s *Service) put(tx store.Tx, h packet.Header, log packet.Log, content []byte, state store.EntryState) (packet.Packet, error) {
	depth, err := tx.Depth(log.Chat)
	if err != nil {
		return packet.Packet{}, err
	}
	if h.Number, err = tx.NextNumber(log); err != nil {
		return packet.Packet{}, err
	}
	h.Device, h.Epoch, h.Depth, h.Membership, h.Delivery = log.Device, log.Epoch, packet.NextDepth(depth), 1, packet.Reliable
	if h.SentAt == 0 {
		h.SentAt = s.now()
	}
	p, err := packet.Seal(h, content, nil)
	if err == nil {
		_, err = tx.PutEntry(store.Entry{Packet: p, State: state})
	}
	return p, err
}

// receive keeps a frame that came, and gives the packet's id. With first, which may
// be nil, more is done in the same transaction.
func (s *Service) receive(ctx context.Context, f wire.Frame, first func(store.Tx, packet.Packet) error) error {
	changed := false
	var p packet.Packet
	err := s.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) (err error) {
		if err := s.mayCome(tx, f); err != nil {
			return err
		}
		if changed, err = s.makeChat(tx, f.Chat, s.title(f.Chat)); err != nil {
			return err
		}
		if p, err = s.keepFrame(tx, f, 0); err == nil && first != nil {
			err = first(tx, p)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep what %s sent: %w", f.Sender.Name(), err)
	}
	if changed {
		bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: f.Chat.ID()})
	}
	bus.Publish(s.cfg.Bus, bus.PacketStored(f.Kind.Type()), bus.Stored{Chat: f.Chat.ID()})
	return nil
}

// mayCome refuses what comes into a chat that was ended meanwhile.
func (s *Service) mayCome(tx store.ReadTx, f wire.Frame) error {
	if f.Chat.Group() {
		if _, err := tx.Value(namespace, keyGroup+string(f.Chat.ID())); !notFound(err) {
			return err
		}
		return errRefused
	}
	c, err := tx.Contact(packet.UserID(f.Sender.Name()))
	if notFound(err) || err == nil && c.State != store.ContactAccepted {
		return errRefused
	}
	return err
}

// keepFrame adds a frame to its sender's log, to be handled by who owns its type.
func (s *Service) keepFrame(tx store.Tx, f wire.Frame, at int64) (packet.Packet, error) {
	p, err := f.Packet(packet.Header{ID: packet.NewPacketID(), Epoch: epoch, Number: 1, Depth: 1, Delivery: packet.Reliable})
	if err != nil {
		return packet.Packet{}, err
	}
	h := p.Header
	h.SentAt = at
	return s.put(tx, h, logOf(h.Chat, f.Sender), p.Content, store.EntryNew)
}

// title is what a chat is called when it is made.
func (s *Service) title(chat wire.Chat) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, id := range chat {
		if id != s.setting.ID {
			names = append(names, s.people[id].name(id))
		}
	}
	return strings.Join(names, ", ")
}

// What somebody says who asks to be a contact is held until that is answered.
const (
	keyHeld  = "held/" // and id, "/", a number: JSON of a held
	maxHeld  = 64      // frames of one person
	maxBytes = 256 << 10
)

type held struct {
	At      int64  `json:"at"`
	Content string `json:"content"`
}

var errHeldFull = errors.New("no more is held of who was not answered yet")

// hold keeps a text of somebody who asks.
func (s *Service) hold(ctx context.Context, f wire.Frame) error {
	return s.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) error {
		c, err := tx.Contact(packet.UserID(f.Sender.Name()))
		if notFound(err) || err == nil && c.State != store.ContactIncoming {
			return errNotAsking
		}
		if err != nil {
			return err
		}
		there, err := tx.Values(namespace, keyHeld+string(f.Sender)+"/", 0)
		if err != nil {
			return err
		}
		size := len(f.Content)
		for _, v := range there {
			size += len(v.Bytes)
		}
		if len(there) >= maxHeld || size > maxBytes {
			return errHeldFull
		}
		b, err := json.Marshal(held{s.now(), f.Content})
		if err != nil {
			return err
		}
		return tx.PutValue(namespace, fmt.Sprintf("%s%s/%03d", keyHeld, f.Sender, len(there)), b)
	})
}

// errNotAsking: the request was answered meanwhile.
var errNotAsking = errors.New("does not ask any more")

// release puts what was held into the chat.
func (st *step) release() error {
	there, err := st.tx.Values(namespace, keyHeld+string(st.id)+"/", 0)
	if err != nil {
		return err
	}
	chat, err := wire.NewChat(st.own, st.id)
	if err != nil {
		return err
	}
	for _, v := range there {
		var h held
		if err := json.Unmarshal(v.Bytes, &h); err != nil {
			return fmt.Errorf("read what %s said: %w", st.id.Name(), err)
		}
		f := wire.Frame{Chat: chat, Port: wire.DefaultPort, Kind: wire.Text, Sender: st.id, Content: h.Content}
		if _, err := st.s.keepFrame(st.tx, f, h.At); err != nil {
			return err
		}
		st.types, st.wakes = append(st.types, wire.Text.Type()), append(st.wakes, bus.Stored{Chat: chat.ID()})
	}
	return st.dropHeld()
}

func (st *step) dropHeld() error {
	there, err := st.tx.Values(namespace, keyHeld+string(st.id)+"/", 0)
	for _, v := range there {
		if err == nil {
			err = st.tx.PutValue(namespace, v.Key, nil)
		}
	}
	return err
}

// Receipts says how far one's own messages of a chat of 2019 came. What it gives is
// good as long as the transaction.
func (s *Service) Receipts(tx store.ReadTx, id packet.ChatID) (func(m *store.Message) ([]*controlpb.RecipientState, error), error) {
	chat, err := wire.ParseChatID(id)
	if err != nil {
		return nil, err
	}
	c, err := tx.Chat(id)
	if err != nil {
		return nil, fmt.Errorf("receipts of chat %s: %w", id, err)
	}
	heads, err := tx.PeerHeads(s.ownLog(id))
	if err != nil {
		return nil, fmt.Errorf("receipts of chat %s: %w", id, err)
	}
	upto := map[packet.UserID]uint64{}
	for _, h := range heads {
		upto[h.User] = h.Upto
	}
	gone := s.gone(chat)
	return func(m *store.Message) ([]*controlpb.RecipientState, error) {
		if !m.Own || m.Entry.Number == 0 {
			return nil, nil
		}
		refused, err := tx.Refused(m.Entry)
		if err != nil {
			return nil, err
		}
		var states []*controlpb.RecipientState
		for _, user := range c.Members {
			if user == s.self {
				continue
			}
			state := &controlpb.RecipientState{User: string(user), Delivery: controlpb.Delivery_DELIVERY_QUEUED}
			if upto[user] >= m.Entry.Number {
				state.Delivery = controlpb.Delivery_DELIVERY_SENT
			} else if gone[user] {
				continue // left the group before it could be sent
			}
			for _, f := range refused {
				if f.User == user {
					state.Delivery, state.Reason = controlpb.Delivery_DELIVERY_FAILED, f.Text
				}
			}
			states = append(states, state)
		}
		return states, nil
	}, nil
}
