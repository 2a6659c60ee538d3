package roster

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/parley-chat/parley/core/bus"
	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// incoming is a packet of the three types, as it came over a link or by way of
// the directory; exactly one of the two is set.
type incoming struct {
	received  *bus.Received
	delivered *directorypb.Delivered
}

// Dropped gives the link its credit back; see bus.Dropper. Packets from the
// directory come again with its next session.
func (in incoming) Dropped() {
	if in.received != nil {
		in.received.Dropped()
	}
}

func ours(t packet.Type) bool {
	return t == packet.TypeRequest || t == packet.TypeAccept || t == packet.TypeLeave
}

func (r *Roster) subscribe() {
	bus.Feed(r.cfg.Bus, bus.PacketReceived, r.packets, func(v bus.Received) (incoming, bool) {
		mine := v.Packet != nil && ours(v.Packet.Header.Type) && v.Packet.Header.Delivery == packet.Ephemeral
		return incoming{received: &v}, mine
	})
	bus.Feed(r.cfg.Bus, bus.DirectoryDelivered, r.packets, func(d *directorypb.Delivered) (incoming, bool) {
		return incoming{delivered: d}, d != nil
	})
	r.subscribeStates()
}

func (r *Roster) servePackets(ctx context.Context) error {
	for {
		in, err := r.packets.Next(ctx)
		switch {
		case errors.Is(err, bus.ErrLagged):
			r.cfg.Log.Warn("more contact requests came than can wait; those from the directory come again later")
			continue
		case err != nil:
			return err
		}
		r.handle(ctx, in)
		in.Dropped()
	}
}

func (r *Roster) handle(ctx context.Context, in incoming) {
	if in.delivered != nil {
		r.handleDelivered(ctx, in.delivered)
		return
	}
	link, p := in.received.Link, in.received.Packet
	err := r.handleReceived(ctx, link, p)
	if err != nil && !ended(ctx, err) {
		r.cfg.Log.Warn("packet over link ignored", "type", p.Header.Type, "user", link.User, "error", err)
	}
}

// errDropped is an incoming packet that will never be taken, and why.
var errDropped = errors.New("dropped")

func dropped(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDropped, fmt.Sprintf(format, args...))
}

// handleDelivered handles a packet that the directory keeps until it hears that
// it was taken, which is after the commit or when the packet is good for nothing.
func (r *Roster) handleDelivered(ctx context.Context, d *directorypb.Delivered) {
	err := r.takeDelivered(ctx, d)
	switch {
	case errors.Is(err, errDropped):
		r.cfg.Log.Warn("packet from the directory ignored", "from", d.GetFrom(), "error", err)
	case err != nil:
		if !ended(ctx, err) {
			r.cfg.Log.Error("packet from the directory cannot be stored; it will come again", "from", d.GetFrom(), "error", err)
		}
		return
	}
	callCtx, cancel := call(ctx)
	defer cancel()
	if err := r.cfg.Directory.Took(callCtx, d.GetDelivery()); err != nil && !ended(ctx, err) {
		r.cfg.Log.Info("directory did not hear that a packet was taken; it will come again", "from", d.GetFrom(), "error", err)
	}
}

func (r *Roster) takeDelivered(ctx context.Context, d *directorypb.Delivered) error {
	from, err := packet.ParseUserID(d.GetFrom())
	if err != nil {
		return dropped("%v", err)
	}
	if len(d.GetPacket()) > maxPacket {
		return dropped("packet of %d bytes, at most %d are taken", len(d.GetPacket()), maxPacket)
	}
	p, err := packet.Unmarshal(d.GetPacket())
	if err == nil {
		err = r.check(from, &p)
	}
	if err != nil {
		return dropped("%v", err)
	}
	if r.isBlocked(from) {
		return nil
	}
	return r.update(ctx, store.Synced, from, func(s *step) error {
		if s.state() == store.ContactBlocked {
			return nil
		}
		listed := s.claimable(listedKeys(d.GetDevices()))
		known := pinnedKeysOf(s.c)
		if len(known) == 0 {
			known = listed
		}
		if verifiedBy(&p, known) {
			return s.take(&p, d)
		}
		if !verifiedBy(&p, listed) {
			return dropped("its signature is of none of the keys of %s", from)
		}
		if err := s.observe(listed); err != nil {
			return err
		}
		return s.put(keyHeld, d.GetPacket())
	})
}

// handleReceived takes a packet from its author's own link, where TLS proved
// the key.
func (r *Roster) handleReceived(ctx context.Context, link bus.Link, p *packet.Packet) error {
	if err := r.check(link.User, p); err != nil {
		return err
	}
	if p.Header.Device != link.Device {
		return dropped("it is of device %s and came over a link of %s", p.Header.Device, link.Device)
	}
	if len(p.Signature) > 0 {
		if err := p.Verify(link.Key); err != nil {
			return err
		}
	}
	return r.update(ctx, store.Synced, link.User, func(s *step) error {
		if s.state() == store.ContactBlocked || !has(pinnedKeysOf(s.c), link.Key) {
			return nil
		}
		return s.take(p, nil)
	})
}

func pinnedKeysOf(c *store.Contact) []ed25519.PublicKey {
	if c == nil {
		return nil
	}
	return pinnedKeys(c.Devices)
}

func verifiedBy(p *packet.Packet, keys []ed25519.PublicKey) bool {
	for _, k := range keys {
		if packet.DeviceIDOf(k) == p.Header.Device {
			return p.Verify(k) == nil
		}
	}
	return false
}

// check checks all of a packet that can be checked without knowing its author.
func (r *Roster) check(from packet.UserID, p *packet.Packet) error {
	h := &p.Header
	switch {
	case !ours(h.Type) || h.Delivery != packet.Ephemeral:
		return dropped("type %s is not for the roster", h.Type)
	case h.Author != from:
		return dropped("author is %s, sender %s", h.Author, from)
	case from == r.self || h.Chat != packet.DirectChat(r.self, from):
		return dropped("chat is %s", h.Chat)
	case h.Type == packet.TypeRequest && (len(p.Content) > maxGreeting || !utf8.Valid(p.Content)):
		return dropped("greeting is not text of at most %d bytes", maxGreeting)
	case h.Type != packet.TypeRequest && len(p.Content) > 0:
		return dropped("a %s has no content", h.Type)
	}
	return p.CheckContent()
}

// take lets a packet of a proved author take effect. d is what the directory
// said along with it, nil if it did not come that way.
func (s *step) take(p *packet.Packet, d *directorypb.Delivered) error {
	if fresh, err := s.fresh(&p.Header); err != nil || !fresh {
		return err
	}
	var err error
	switch p.Header.Type {
	case packet.TypeRequest:
		err = s.takeRequest(string(p.Content))
	case packet.TypeAccept:
		if s.state() == store.ContactOutgoing {
			err = s.openChat()
		}
	case packet.TypeLeave:
		err = s.takeLeave()
	}
	if err != nil || s.c == nil || d == nil {
		return err
	}
	s.setProfile(d.GetProfile())
	return s.observe(listedKeys(d.GetDevices()))
}

// fresh says whether a packet is newer than all that were taken of its device,
// and if so remembers it. Strangers leave no trace unless they ask.
func (s *step) fresh(h *packet.Header) (bool, error) {
	if s.c == nil && h.Type != packet.TypeRequest {
		return false, nil
	}
	key := keySeen + string(s.user) + "/" + h.Device.String()
	last, err := readValue(s.tx, key)
	if err != nil || h.SentAt <= decodeTime(last) {
		return false, err
	}
	if err := s.tx.PutValue(namespace, key, encodeTime(h.SentAt)); err != nil {
		return false, fmt.Errorf("store %s: %w", key, err)
	}
	return true, nil
}

func (s *step) takeRequest(greeting string) error {
	switch s.state() {
	case 0, store.ContactAcquaintance:
		if n := s.r.count(func(p person) bool { return p.state == store.ContactIncoming }); n >= maxIncoming {
			return dropped("%d requests wait for an answer already", n)
		}
		if err := s.add(store.ContactIncoming); err != nil {
			return dropped("%v", err)
		}
	case store.ContactIncoming:
	case store.ContactLeft:
		s.c.State = store.ContactIncoming
	case store.ContactOutgoing, store.ContactAccepted:
		// Both asked, or the other side lost our first accept.
		return s.accept()
	}
	s.c.Greeting = greeting
	return nil
}

func (s *step) takeLeave() error {
	switch s.state() {
	case store.ContactIncoming:
		return s.forget()
	case store.ContactAccepted, store.ContactOutgoing:
		s.c.State, s.refresh = store.ContactLeft, true
		s.disconnect = "you left"
		return s.put(keyOutbox, nil)
	}
	return nil
}

// takeHeld takes the packet that was held back until its key was accepted.
func (s *step) takeHeld() error {
	b, err := s.value(keyHeld)
	if err != nil || b == nil {
		return err
	}
	if err := s.put(keyHeld, nil); err != nil {
		return err
	}
	p, err := packet.Unmarshal(b)
	if err != nil || !verifiedBy(&p, pinnedKeys(s.c.Devices)) {
		return nil //nolint:nilerr // of a key that is not in use any more
	}
	if err := s.take(&p, nil); err != nil && !errors.Is(err, errDropped) {
		return err
	}
	return nil
}

func (r *Roster) isBlocked(user packet.UserID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.people[user].state == store.ContactBlocked
}

// count counts people.
func (r *Roster) count(which func(person) bool) int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := 0
	for _, p := range r.people {
		if which(p) {
			n++
		}
	}
	return n
}
