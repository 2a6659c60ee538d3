package net2019

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/parley-chat/parley/core/store"
	"github.com/parley-chat/parley/protocol/packet"
	wire "github.com/parley-chat/parley/protocol/packet/net2019"
)

// accept takes the connections of others.
func (r *run) accept(l net.Listener) {
	var wait backoff
	for {
		c, err := l.Accept()
		if err != nil {
			if r.ctx.Err() != nil {
				return
			}
			r.s.cfg.Log.Warn("connection of 2019 cannot be taken", "error", err)
			if !wait.pause(r.ctx, r.s.cfg.timing) {
				return
			}
			continue
		}
		wait = backoff{}
		conn := c.(*net.TCPConn) //nolint:forcetypeassert // a TCP listener's
		remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		var leave func()
		if err == nil {
			leave, err = r.gate.Enter(remote.Addr())
		}
		if err != nil {
			_ = conn.Close()
			continue
		}
		r.group.Go(func() {
			defer leave()
			l, err := r.greet(conn)
			if err != nil {
				_ = conn.Close()
				r.s.cfg.Log.Debug("connection of 2019 refused", "remote", remote, "reason", err)
				return
			}
			p, ok := r.add(l)
			leave()
			if !ok {
				l.close()
				return
			}
			r.live(p, l)
		})
	}
}

var (
	errNotAsked = errors.New("the first frame asks for no chat with this account")
	errRefused  = errors.New("not to be talked with")
)

// greet reads the first frame of a connection and says what link it is.
func (r *run) greet(conn *net.TCPConn) (*link, error) {
	if err := conn.SetReadDeadline(time.Now().Add(r.s.cfg.timing.first)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, bufferSize)
	f, err := wire.Read(in)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	if !f.Chat.Has(r.set.ID) || f.Sender == r.set.ID {
		return nil, fmt.Errorf("%s in chat %s: %w", f.Sender, f.Chat, errNotAsked)
	}
	switch {
	case f.Kind == wire.Request && !f.Chat.Group():
		err = r.admit(f, "")
	case f.Kind == wire.GroupRequest && f.Chat.Group():
		err = r.admitGroup(f)
	case f.Kind == wire.GroupAccept && f.Chat.Group():
		err = r.admitMember(f)
	default:
		err = fmt.Errorf("kind %d in chat %s: %w", f.Kind, f.Chat, errNotAsked)
	}
	if err != nil {
		return nil, err
	}
	return newLink(r, conn, in, f.Chat, f.Sender, false), nil
}

// admit says whether somebody may talk with this account. Who is not known asks to
// be a contact.
func (r *run) admit(f wire.Frame, greeting string) error {
	s := r.s
	s.mu.Lock()
	state := s.people[f.Sender].state
	s.mu.Unlock()
	switch state {
	case store.ContactAccepted:
		return nil
	case store.ContactBlocked:
		return fmt.Errorf("%s is blocked: %w", f.Sender, errRefused)
	}
	if r.strangers() >= maxStrangers {
		return fmt.Errorf("%d people who are no contacts are connected: %w", maxStrangers, errRefused)
	}
	return s.update(r.ctx, f.Sender, func(st *step) error {
		switch {
		case st.state() == store.ContactBlocked:
			return errRefused
		case st.c != nil:
			return nil
		case s.count(store.ContactIncoming) >= maxIncoming:
			return fmt.Errorf("%d requests wait for an answer: %w", maxIncoming, errRefused)
		}
		st.c = &store.Contact{User: packet.UserID(st.id.Name()), State: store.ContactIncoming, Greeting: greeting, CreatedAt: s.now()}
		return nil
	})
}

// strangers says how many links are with people who are no contacts.
func (r *run) strangers() int {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for key, p := range r.pairs {
		if r.s.people[key.peer].state != store.ContactAccepted {
			n += len(p.links)
		}
	}
	return n
}

// wanted is somebody who is to be dialed.
type wanted struct {
	chat wire.Chat
	peer wire.ID
	kind wire.Kind
	wait time.Duration // for the group's starter to be first
}

// wants gives everybody with whom there should be a link that this account dials.
func (s *Service) wants() []wanted {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.setting.ID
	var all []wanted
	for id, p := range s.people {
		if p.state != store.ContactAccepted {
			continue
		}
		if chat, err := wire.NewChat(own, id); err == nil {
			all = append(all, wanted{chat: chat, peer: id, kind: wire.Request})
		}
	}
	for _, g := range s.groups {
		if !g.chat.Has(own) {
			continue
		}
		for _, id := range g.chat {
			switch {
			case id == own || g.gone[id] || s.people[id].state == store.ContactBlocked:
			case g.starter == own && len(g.gone) == 0:
				all = append(all, wanted{chat: g.chat, peer: id, kind: wire.GroupRequest})
			case g.starter == own: // for others a request would begin it anew
				all = append(all, wanted{chat: g.chat, peer: id, kind: wire.GroupAccept})
			case id != g.starter && own < id:
				all = append(all, wanted{chat: g.chat, peer: id, kind: wire.GroupAccept, wait: s.cfg.timing.mesh})
			}
		}
	}
	return all
}

// dialAll dials whom it is time to dial until the run ends.
func (r *run) dialAll() {
	for {
		timer := time.NewTimer(r.dialDue())
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-r.steer:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// longestWait is how long dialAll waits when nobody is to be dialed at a known time.
const longestWait = time.Hour

// dialDue begins to dial all whose time has come, and says when it is the next's.
func (r *run) dialDue() time.Duration {
	wants := r.s.wants()
	now := r.s.cfg.Clock()
	next := longestWait
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range wants {
		at := r.places[w.peer]
		p := r.pairLocked(w.chat, w.peer)
		if at == nil || !at.online || p.dialing || p.farewell || len(p.links) > 0 {
			continue
		}
		if w.wait > 0 && p.dialAt.IsZero() {
			p.dialAt = now.Add(w.wait)
		}
		if wait := p.dialAt.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		p.dialing = true
		where := at.where
		r.group.Go(func() { r.dial(p, w.kind, where) })
	}
	return next
}

// dial connects to somebody, asks for the chat, and reads until the link ends.
func (r *run) dial(p *pair, kind wire.Kind, where netip.AddrPort) {
	l, err := r.connect(p, kind, where)
	if err == nil {
		var ok bool
		if p, ok = r.add(l); !ok {
			l.close()
			err = net.ErrClosed
		}
	}
	r.mu.Lock()
	dialed := r.pairs[pairKey{p.chat.ID(), p.peer}]
	if dialed != nil {
		dialed.dialing = false
		if err != nil {
			t := r.s.cfg.timing
			dialed.retry.last = min(max(2*dialed.retry.last, t.backoff), t.pause)
			dialed.dialAt = r.s.cfg.Clock().Add(dialed.retry.last)
		}
	}
	r.mu.Unlock()
	if err != nil {
		if r.ctx.Err() == nil {
			r.s.cfg.Log.Debug("somebody of 2019 cannot be connected to", "peer", p.peer.Name(), "where", where, "error", err)
			r.shown(p.peer)
		}
		wake(r.steer)
		return
	}
	r.live(p, l)
}

func (r *run) connect(p *pair, kind wire.Kind, where netip.AddrPort) (*link, error) {
	t := r.s.cfg.timing
	c, err := (&net.Dialer{Timeout: t.dial}).DialContext(r.ctx, "tcp", where.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn) //nolint:forcetypeassert // "tcp"
	l := newLink(r, conn, bufio.NewReaderSize(conn, bufferSize), p.chat, p.peer, true)
	if err := l.write(r.ctx, l.frame(kind, "")); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// due gives who is to be asked for next, of whom the server was asked longest ago:
// where there are many, a round takes longer than the pause. Without anybody it
// says how long there is nobody.
func (r *run) due() (next wire.ID, wait time.Duration) {
	watched := r.s.watched()
	now := r.s.cfg.Clock()
	wait = longestWait
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range watched {
		if left := r.placeLocked(id).asked.Add(r.s.cfg.timing.ask).Sub(now); left < wait {
			next, wait = id, left
		}
	}
	if next == "" || wait > 0 {
		return "", wait
	}
	r.places[next].asked = now
	return next, 0
}

// appended wakes who sends what was written into a chat; an empty one is all.
func (r *run) appended(chat packet.ChatID) {
	r.mu.Lock()
	for key, p := range r.pairs {
		if chat != "" && key.chat != chat {
			continue
		}
		p.farewell = false // something is to be said: dial again
		wake(p.wake)
	}
	r.mu.Unlock()
	wake(r.steer)
}
