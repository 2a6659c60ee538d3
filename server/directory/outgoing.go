package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parley-chat/parley/protocol/directorypb"
	"github.com/parley-chat/parley/protocol/packet"
)

// mark has the session told how user is now.
func (s *Session) mark(user packet.UserID) {
	if s.dir.isClosing() {
		return
	}
	s.mu.Lock()
	if s.dirty == nil {
		s.dirty = map[packet.UserID]struct{}{}
	}
	s.dirty[user] = struct{}{}
	ready := s.ready
	s.mu.Unlock()
	if ready {
		s.wake()
	}
}

func (s *Session) addDelivery(revision uint64) {
	s.mu.Lock()
	ready := s.ready
	// One that comes before the session is ready is found when it begins.
	if ready && len(s.deliveries) < 2*MaxRequests && !slices.Contains(s.deliveries, revision) {
		s.deliveries = append(s.deliveries, revision)
	}
	s.mu.Unlock()
	if ready {
		s.wake()
	}
}

// KeepAlive answers the client's.
func (s *Session) KeepAlive() {
	s.mu.Lock()
	s.keepAlive = true
	s.mu.Unlock()
	s.wake()
}

// Receipt answers the client's Deliver.
func (s *Session) Receipt(r *directorypb.Receipt) {
	s.reply(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_Receipt{Receipt: r}})
}

func (s *Session) goAway(spreadMs uint32) {
	s.reply(&directorypb.SessionResponse{Response: &directorypb.SessionResponse_GoAway{
		GoAway: &directorypb.GoAway{SpreadMs: spreadMs},
	}})
}

// reply queues what cannot be made anew. A client that lets too many of them
// pile up loses its session.
func (s *Session) reply(r *directorypb.SessionResponse) {
	s.mu.Lock()
	if len(s.replies) >= maxReplies {
		s.endLocked(ErrSlow)
	} else {
		s.replies = append(s.replies, r)
	}
	ready := s.ready
	s.mu.Unlock()
	if ready {
		s.wake()
	}
}

// Next gives the next message for the client, or nil when there is none now.
// For one goroutine at a time.
func (s *Session) Next(ctx context.Context) *directorypb.SessionResponse {
	for {
		reply, user, delivery, ok := s.pop()
		switch {
		case !ok:
			return nil
		case reply != nil:
			return reply
		case user != "":
			return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Presence{
				Presence: s.dir.presenceFor(s.user, user),
			}}
		}
		if d := s.delivered(ctx, delivery); d != nil {
			return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Delivered{Delivered: d}}
		}
	}
}

func (s *Session) pop() (reply *directorypb.SessionResponse, user packet.UserID, delivery uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ready {
		return nil, "", 0, false
	}
	if len(s.replies) > 0 {
		reply = s.replies[0]
		if s.replies = s.replies[1:]; len(s.replies) == 0 {
			s.replies = nil
		}
		s.relayBytes -= len(reply.GetRelay().GetPayload())
		return reply, "", 0, true
	}
	if s.keepAlive {
		s.keepAlive = false
		return &directorypb.SessionResponse{Response: &directorypb.SessionResponse_KeepAlive{
			KeepAlive: &directorypb.KeepAlive{SpreadMs: s.dir.spreadMs()},
		}}, "", 0, true
	}
	for user := range s.dirty {
		if delete(s.dirty, user); len(s.dirty) == 0 {
			s.dirty = nil // most sessions are idle: give the memory back
		}
		return nil, user, 0, true
	}
	if len(s.deliveries) > 0 {
		delivery = s.deliveries[0]
		if s.deliveries = s.deliveries[1:]; len(s.deliveries) == 0 {
			s.deliveries = nil
		}
		return nil, "", delivery, true
	}
	return nil, "", 0, false
}

// delivered reads a kept request; nil when it is no longer to be delivered.
func (s *Session) delivered(ctx context.Context, revision uint64) *directorypb.Delivered {
	d := s.dir
	key, ok := d.view.findKept(s.user, revision)
	if !ok {
		return nil
	}
	entry, err := d.requests.get(ctx, requestKey(s.user, key))
	if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && entry.Revision() != revision {
		return nil
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			d.log.Warn("a kept request was not read; it comes with the next session", "error", err)
		}
		return nil
	}
	sender, blocked := d.sender(s.user, key.from)
	p, err := packet.Unmarshal(entry.Value())
	if err != nil || blocked || sender == nil || !signedBy(&p, sender) {
		// Its sender is gone, blocked, or on another device: nobody could check it.
		if err := d.forget(ctx, s.user, revision); err != nil {
			d.log.Warn("a request that nobody wants was not removed", "error", err)
		}
		return nil
	}
	profile := &directorypb.Profile{DisplayName: sender.DisplayName, AvatarHash: sender.AvatarHash}
	if profile.Avatar, err = d.Avatar(ctx, sender); err != nil {
		d.log.Warn("a picture was not read", "error", err)
	}
	return &directorypb.Delivered{
		Delivery: revision, From: string(key.from), Packet: entry.Value(), Devices: devicesOf(sender), Profile: profile,
	}
}

func (d *Directory) sender(to, from packet.UserID) (a *Account, blocked bool) {
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	p := d.view.online[to]
	return d.view.accounts[from], p != nil && p.blocks(from)
}

func signedBy(p *packet.Packet, a *Account) bool {
	return slices.ContainsFunc(a.Devices, func(d Device) bool { return p.Verify(d.Key) == nil })
}

func relaySubject(to, from string) string { return "parley.relay." + to + "." + from }

// Relay hands payload to a contact who is online; else it is dropped.
func (s *Session) Relay(to packet.UserID, payload []byte) error {
	v := &s.dir.view
	v.mu.RLock()
	visible := v.visible(to, s.user)
	v.mu.RUnlock()
	if !visible {
		return nil
	}
	if err := s.dir.conn.Publish(relaySubject(keyOf(to), keyOf(s.user)), payload); err != nil {
		return fmt.Errorf("relay: %w: %w", ErrState, err)
	}
	return nil
}

// applyRelay hands a relayed message to those it is for, if they are here.
func (d *Directory) applyRelay(m *nats.Msg) {
	parts := strings.Split(m.Subject, ".")
	if len(parts) != 4 {
		return
	}
	to, err1 := userOf(parts[2])
	from, err2 := userOf(parts[3])
	if err1 != nil || err2 != nil {
		return
	}
	d.view.mu.RLock()
	defer d.view.mu.RUnlock()
	for _, s := range d.view.sessions[to] {
		s.addRelay(from, m.Data)
	}
}

// addRelay queues a relayed message, or drops it when too much waits already.
func (s *Session) addRelay(from packet.UserID, payload []byte) {
	s.mu.Lock()
	ready := s.ready && s.relayBytes+len(payload) <= maxRelayBytes && len(s.replies) < maxReplies/2
	if ready {
		s.relayBytes += len(payload)
		s.replies = append(s.replies, &directorypb.SessionResponse{Response: &directorypb.SessionResponse_Relay{
			Relay: &directorypb.Relay{User: string(from), Payload: payload},
		}})
	}
	s.mu.Unlock()
	if ready {
		s.wake()
	}
}
