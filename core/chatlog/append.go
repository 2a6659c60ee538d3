package chatlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
)

// Draft is a packet to be sent.
type Draft struct {
	ID      packet.PacketID // zero for a new one
	Chat    packet.ChatID
	Type    packet.Type
	Content []byte
}

// Append appends d to this account's log of the chat, inside tx, and changes
// nothing outside of it. The entry counts as handled: its effects belong to the
// same transaction. After the commit the caller publishes bus.EntryAppended.
// A packet id that this device wrote already gives the first packet, whatever d
// says. Errors: ErrUnknownChat, ErrNotMember, ErrTooLarge, ErrTaken, ErrDraft,
// and the store's.
func (s *Service) Append(tx store.Tx, d Draft) (packet.Packet, error) {
	if !d.ID.IsZero() {
		first, err := tx.EntryByID(d.ID)
		switch {
		case err == nil && first.Packet.Header.Chat == d.Chat && first.Packet.Header.Device == s.device:
			return first.Packet, nil
		case err == nil:
			return packet.Packet{}, fmt.Errorf("packet %s is there already, in chat %s by %s: %w", d.ID, first.Packet.Header.Chat, first.Packet.Header.Author, ErrTaken)
		case !errors.Is(err, store.ErrNotFound):
			return packet.Packet{}, err
		}
	}
	h, err := s.header(tx, d, func(c *store.Chat) error { return s.review(tx, c) })
	if err != nil {
		return packet.Packet{}, err
	}
	depth, err := tx.Depth(d.Chat)
	if err != nil {
		return packet.Packet{}, err
	}
	h.Depth, h.Delivery = packet.NextDepth(depth), packet.Reliable
	p, err := s.seal(tx, h, d.Content)
	if err != nil {
		return packet.Packet{}, fmt.Errorf("append to chat %s: %w", d.Chat, err)
	}
	if _, err := tx.PutEntry(store.Entry{Packet: p, State: store.EntryHandled}); err != nil {
		return packet.Packet{}, fmt.Errorf("append to chat %s: %w", d.Chat, err)
	}
	return p, nil
}

// header checks d and begins its header; first comes before it is told under
// which list d is written.
func (s *Service) header(tx store.ReadTx, d Draft, first func(*store.Chat) error) (packet.Header, error) {
	c, err := tx.Chat(d.Chat)
	if errors.Is(err, store.ErrNotFound) {
		return packet.Header{}, fmt.Errorf("chat %s: %w: add the contact or join the group first", d.Chat, ErrUnknownChat)
	}
	if err != nil {
		return packet.Header{}, err
	}
	if !isMember(&c, s.self) {
		return packet.Header{}, fmt.Errorf("chat %s: %s is %w any more", d.Chat, s.self, ErrNotMember)
	}
	if rosters(d.Type) || d.Chat.Kind() == packet.Net2019 {
		return packet.Header{}, fmt.Errorf("%s in chat %s: %w by the chat log", d.Type, d.Chat, ErrDraft)
	}
	if limit := s.maxContent(d.Type); len(d.Content) > limit {
		return packet.Header{}, fmt.Errorf("%s of %d bytes, at most %d can be sent: %w", d.Type, len(d.Content), limit, ErrTooLarge)
	}
	if d.ID.IsZero() {
		d.ID = packet.NewPacketID()
	}
	if err := first(&c); err != nil {
		return packet.Header{}, err
	}
	stamp, err := s.stamp(tx, &c)
	if err != nil {
		return packet.Header{}, err
	}
	if stamp == 0 {
		if s.kindOf(d.Type, d.Chat) != changes {
			return packet.Header{}, fmt.Errorf("chat %s: %s is %w yet, as far as is known here", d.Chat, s.self, ErrNotMember)
		}
		stamp = c.Membership
	}
	return packet.Header{
		ID: d.ID, Chat: d.Chat, Type: d.Type, Author: s.self, Device: s.device,
		Membership: stamp, SentAt: max(s.cfg.Now().UnixMicro(), 0),
	}, nil
}

func (s *Service) maxContent(t packet.Type) int {
	if limit := s.cfg.Type(t).MaxContent; limit > 0 {
		return min(limit, packet.MaxContent)
	}
	return packet.MaxContent
}

// rosters says whether packets of a type are the roster's.
func rosters(t packet.Type) bool {
	return t == packet.TypeRequest || t == packet.TypeAccept || t == packet.TypeLeave
}

// Emit gives an EPHEMERAL packet to the links of a chat's members that are up,
// just to those of to unless that is empty. It does not wait for them: a link
// that has too many waiting loses the oldest. Errors are Append's.
func (s *Service) Emit(ctx context.Context, d Draft, to []packet.UserID) error {
	var h packet.Header
	err := s.cfg.Store.View(ctx, func(tx store.ReadTx) (err error) {
		h, err = s.header(tx, d, func(*store.Chat) error { return nil })
		return err
	})
	if err != nil {
		return err
	}
	h.Delivery = packet.Ephemeral
	p, err := packet.Seal(h, d.Content, s.cfg.Identity.Sign)
	if err != nil {
		return fmt.Errorf("emit to chat %s: %w", d.Chat, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if sh := l.shared[d.Chat]; sh != nil && sh.role == present && (len(to) == 0 || slices.Contains(to, l.User)) {
			l.emit(&p)
		}
	}
	return nil
}

func (l *link) emit(p *packet.Packet) {
	l.ephemeral = append(l.ephemeral, p)
	l.ephemeralBytes += len(p.Content)
	for len(l.ephemeral) > maxEphemeral || l.ephemeralBytes > maxEphemeralBytes {
		l.ephemeralBytes -= len(l.ephemeral[0].Content)
		l.ephemeral = l.ephemeral[1:]
	}
	l.signal()
}
