package chatlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Bounds of registers.
const (
	maxRegisterNames = 64   // of one author in one chat
	maxRegisters     = 4096 // taken from one frame
	readPages        = 4    // pages of messages that front ends hear were read
)

// SetRegister sets a register of this account's in a chat, inside tx. After the
// commit the caller hands the result to Announce. Errors: ErrUnknownChat,
// ErrNotMember, those of packet.SealRegister and of the store.
func (s *Service) SetRegister(tx store.Tx, chat packet.ChatID, name packet.Type, value []byte) (packet.Register, error) {
	c, err := tx.Chat(chat)
	if isNotFound(err) {
		return packet.Register{}, fmt.Errorf("chat %s: %w", chat, ErrUnknownChat)
	}
	if err != nil {
		return packet.Register{}, err
	}
	if !isMember(&c, s.self) {
		return packet.Register{}, fmt.Errorf("chat %s: %s is %w any more", chat, s.self, ErrNotMember)
	}
	old, err := tx.Register(chat, s.self, name)
	if err != nil && !isNotFound(err) {
		return packet.Register{}, err
	}
	r, err := packet.SealRegister(packet.Register{
		Chat: chat, Author: s.self, Device: s.device, Name: name, Value: value,
		Version: max(uint64(max(s.cfg.Now().UnixMicro(), 0)), old.Version+1),
	}, s.cfg.Identity.Sign)
	if err != nil {
		return packet.Register{}, fmt.Errorf("set register %s of chat %s: %w", name, chat, err)
	}
	if _, err := tx.PutRegister(r); err != nil {
		return packet.Register{}, fmt.Errorf("set register %s of chat %s: %w", name, chat, err)
	}
	return r, nil
}

// Announce sends a register to the members of its chat who are linked; the
// others hear of it when they are.
func (s *Service) Announce(r packet.Register) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if sh := l.shared[r.Chat]; sh != nil && sh.role == present {
			l.registers[registerKey{r.Chat, r.Author, r.Name}] = r
			l.signal()
		}
	}
}

// WriteRegister sets and announces a register in a transaction of its own.
func (s *Service) WriteRegister(ctx context.Context, chat packet.ChatID, name packet.Type, value []byte) error {
	var r packet.Register
	err := s.cfg.Store.Update(ctx, store.Synced, func(tx store.Tx) (err error) {
		r, err = s.SetRegister(tx, chat, name, value)
		return err
	})
	if err != nil {
		return err
	}
	s.Announce(r)
	return nil
}

// registers takes registers from a peer.
func (r *run) registers(l bus.Link, f *packet.Registers) error {
	for i := range f.Registers[:min(len(f.Registers), maxRegisters)] {
		if err := r.register(l, &f.Registers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) register(l bus.Link, reg *packet.Register) error {
	c, err := r.chat(reg.Chat)
	if err != nil {
		return err
	}
	if from, err := r.role(c, l.User); err != nil || from != present || !isMember(&c.Chat, reg.Author) || r.s.cfg.Book.Person(reg.Author).Blocked {
		return err
	}
	old, err := r.tx.Register(reg.Chat, reg.Author, reg.Name)
	switch {
	case err == nil:
		if !reg.Supersedes(&old) {
			return nil
		}
	case !isNotFound(err):
		return err
	default:
		if room, err := r.roomForRegister(reg); err != nil || !room {
			return err
		}
	}
	if !r.signed(l, reg) {
		return nil
	}
	newer, err := r.tx.PutRegister(*reg)
	if err != nil || !newer {
		return err
	}
	if reg.Name == packet.RegisterRead {
		return r.read(reg, &old)
	}
	return nil
}

func (r *run) roomForRegister(reg *packet.Register) (bool, error) {
	all, err := r.tx.Registers(reg.Chat)
	names := 0
	for i := range all {
		if all[i].Author == reg.Author {
			names++
		}
	}
	return names < maxRegisterNames, err
}

// signed says whether a register is its author's.
func (r *run) signed(l bus.Link, reg *packet.Register) bool {
	switch {
	case reg.Device == r.s.device:
		return reg.Author == r.s.self && reg.Verify(r.s.cfg.Identity.Key()) == nil
	case reg.Device == l.Device:
		return reg.Author == l.User && reg.Verify(l.Key) == nil
	}
	user, key, ok := r.s.cfg.Book.Signer(reg.Chat, reg.Device)
	return ok && user == reg.Author && reg.Verify(key) == nil
}

// read tells front ends of own messages that another member has read now. Of
// this account itself (another device, or a restored one) it is the place up to
// which the user has read.
func (r *run) read(reg, old *packet.Register) error {
	place, err := packet.OrderKeyFromBytes(reg.Value)
	if err != nil {
		return nil //nolint:nilerr // the author's own loss: it says nothing
	}
	if reg.Author == r.s.self {
		moved, err := r.tx.SetRead(reg.Chat, place)
		if moved {
			r.publish(func(s *Service) {
				bus.Publish(s.cfg.Bus, bus.ChatChanged, bus.ChatChange{Chat: reg.Chat, Content: true})
			})
		}
		return err
	}
	before, _ := packet.OrderKeyFromBytes(old.Value) // the beginning if there is none
	page := store.Page{Before: &place, Inclusive: true, Limit: store.MaxPage}
	for range readPages {
		messages, more, err := r.tx.Messages(reg.Chat, page)
		if err != nil {
			return fmt.Errorf("messages read by %s: %w", reg.Author, err)
		}
		for i := range messages {
			if m := &messages[i]; m.Own && m.Order.Compare(before) > 0 {
				r.changed(m.Chat, m.ID)
			}
		}
		if !more || len(messages) == 0 || messages[0].Order.Compare(before) <= 0 {
			return nil
		}
		page = store.Page{Before: &messages[0].Order, Limit: store.MaxPage}
	}
	return nil
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
